"""Generated parts of docs and README: ``python tools/reference.py`` writes, ``--check`` compares.

A part stands in a page between ``<!-- generated: KIND ARGUMENTS -->`` and ``<!-- /generated -->``.
Options come from the program itself, settings from the schema, results from their classes, and
what was measured from ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any

import api
import measured
import typer
from pieces import code, fields, first_line, prose, table

from airkit import errors
from airkit.cli.app import app
from airkit.cli.evaluate import tell_measures
from airkit.cli.options import FLAGS
from airkit.config import settings
from airkit.config.schema import Config
from airkit.evaluation.results import Measures

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_PART = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def pages() -> list[Path]:
    """All pages of the docs, and the README."""
    return [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]


def written(text: str) -> str:
    """A page's text with its generated parts written anew."""
    return _PART.sub(lambda found: f"{found[1]}\n{_part(found[2])}\n\n{found[3]}", text)


def stale() -> list[str]:
    """Names of the pages whose generated parts are not what would be written now."""
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    return [str(page.relative_to(ROOT)) for page, text in texts.items() if written(text) != text]


def _part(words: str) -> str:
    kind, *arguments = words.split()
    return "\n".join(_KINDS[kind](*arguments))


def _options(*words: str) -> Iterator[str]:
    """Arguments and options of a command."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    flags = FLAGS.get(" ".join(words), {})
    rows = []
    for parameter in command.params:
        flag = flags.get(parameter.opts[0])
        if flag is None:
            rows.append((_spelling(parameter), *_own(parameter)))
        else:
            field = settings.fields()[flag.key]
            says = f"{prose(field.description)} Sets [`{flag.key}`]({_anchor(flag.key)})."
            rows.append((_spelling(parameter), _value(field.default), says))
    rows.append(("`--help`, `-h`", "", "Show the help and exit."))
    return table(("option", "default", "meaning"), rows)


def _spelling(parameter: Any) -> str:
    """How an option is written: its names and the kind of its value."""
    if parameter.param_type_name == "argument":
        return code(parameter.metavar)
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    return f"{names} {_choices(parameter.metavar)}" if parameter.metavar else names


def _choices(metavar: str) -> str:
    """The kind of a value, alternatives without the bar that would end a table's cell."""
    *others, last = metavar.split("|")
    return f"{', '.join(others)} or {last}" if others else last


def _own(parameter: Any) -> tuple[str, str]:
    """Default and meaning of an option that is no setting."""
    says, _, default = parameter.help.partition(" [default: ")
    if default:
        return default.removesuffix("]"), says
    default = parameter.default
    plain = default not in (None, False, [], ())
    words = ", ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    return _value(words) if plain else "", says


def _anchor(key: str) -> str:
    """Where a page of ``docs/commands`` finds the table that has a setting."""
    return f"../configuration.md#{key.partition('.')[0]}"


def _fields() -> Iterator[str]:
    """Every setting, one table for each section."""
    for section, outer in Config.model_fields.items():
        keys = [key for key in settings.fields() if key.startswith(f"{section}.")]
        yield from (f"### {section}", "", prose(outer.description), "")
        if keys:
            yield from table(("key", "accepted", "default", "meaning"), map(_field, keys))
            yield ""


def _field(key: str) -> tuple[str, ...]:
    field = settings.fields()[key]
    return f"`{key}`", _accepted(key), _value(field.default), prose(field.description)


def _accepted(key: str) -> str:
    """What a setting accepts, in words; patterns stand as code."""
    words = settings.accepted(key).replace(str(2**63), "2^63")
    return re.sub(r"matching (\S+)", lambda found: f"matching {code(found[1])}", words)


def _presets() -> Iterator[str]:
    """Every preset, with its file."""
    for name, says in settings.presets().items():
        file = resources.files("airkit.config") / "presets" / f"{name}.toml"
        text = file.read_text(encoding="utf-8")
        yield from (f"### {name}", "", f"{says}.", "", "```toml")
        yield text.partition("\n")[2].strip()
        yield from ("```", "")


def _errors() -> Iterator[str]:
    """Every error that a user can mend."""
    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    rows = [
        (f"`{one.__name__}`", first_line(one.__doc__))
        for one in classes
        if issubclass(one, errors.AirkitError)
    ]
    return table(("error", "meaning"), rows)


def _results(module: str, name: str) -> Iterator[str]:
    """Fields of a result class, as its source documents them; the module is not imported."""
    path = ROOT / "src" / Path(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    bases = (base.id for base in kinds[name].bases if isinstance(base, ast.Name))
    return fields(*(kinds[base] for base in bases if base in kinds), kinds[name])


def _main() -> Iterator[str]:
    """The README's main commands."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- main -->\n(```.*?\n```)", text, re.DOTALL)
    assert found is not None, "the README has its main commands after <!-- main -->"
    yield found[1]


def _first_run() -> Iterator[str]:
    """What ``airkit eval`` prints of the README's main commands, up to the time it took."""
    with redirect_stdout(StringIO()) as shown:
        # Results kept from before it was told have no digest, which is not shown.
        tell_measures(Measures(**{"data_digest": "", **measured.first_run()}))
    yield from ("```text", shown.getvalue().partition("\ntime ")[0], "```")


def _citation() -> Iterator[str]:
    """The paper and the program, as ``CITATION.cff`` has them."""
    yield from ("```yaml", (ROOT / "CITATION.cff").read_text(encoding="utf-8").strip(), "```")


def _bibtex() -> Iterator[str]:
    """The same as entries of BibTeX."""
    program, paper = (ROOT / "CITATION.cff").read_text(encoding="utf-8").split("\nreferences:\n")

    def of(part: str, key: str) -> list[str]:
        return re.findall(rf'^[ -]*{key}: "?(.*?)"?$', part, re.MULTILINE)

    given, family = of(paper, "given-names"), of(paper, "family-names")
    authors = [f"{last}, {first}" for last, first in zip(family, given, strict=True)]
    entries: dict[str, dict[str, str]] = {
        "@inproceedings{eslami2016attend": {
            "author": " and ".join(authors),
            "title": of(paper, "title")[0],
            "booktitle": of(paper, "collection-title")[0],
            "year": of(paper, "year")[0],
            "eprint": of(paper, "value")[0].removeprefix("arXiv:"),
            "archiveprefix": "arXiv",
            "url": of(paper, "url")[0],
        },
        "@software{airkit": {
            "author": f"{{{of(program, 'name')[0]}}}",
            "title": of(program, "title")[0],
            "version": of(program, "version")[0],
            "license": of(program, "license")[0],
        },
    }
    yield "```bibtex"
    for head, values in entries.items():
        yield f"{head},"
        yield from (f"  {name} = {{{value}}}," for name, value in values.items())
        yield "}"
    yield "```"


def _rows(part: measured.Part) -> Iterator[str]:
    """A table of what a benchmark measured."""
    return table(*part())


_KINDS: dict[str, Callable[..., Iterator[str]]] = {
    "options": _options,
    "fields": _fields,
    "presets": _presets,
    "errors": _errors,
    "results": _results,
    "main": _main,
    "first-run": _first_run,
    "citation": _citation,
    "bibtex": _bibtex,
    "api": api.reference,
    **{kind: partial(_rows, part) for kind, part in measured.PARTS.items()},
}


def _value(value: object) -> str:
    """A default as it would be written in a file, without a string's quotes."""
    return code(settings.spelled(value))


def main() -> int:
    """Write, or with ``--check`` compare; the exit code is 1 where a page is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    names = stale()
    if parser.parse_args().check:
        sys.stdout.writelines(f"stale: {name}\n" for name in names)
        return int(bool(names))
    for name in names:
        page = ROOT / name
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"written: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
