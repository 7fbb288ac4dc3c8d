"""The Python API as Markdown: from ``airkit.__all__``, signatures, docstrings and fields."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

import pieces

import airkit
from airkit.model.air import Draw, Object, Unrolled
from airkit.model.distributions import Normal
from airkit.model.guides import Noise, Residual, Slot
from airkit.model.scene import Scene
from airkit.sweeps.engines import Engine, Processes, Submitit
from airkit.system.callbacks import Listener

TAKEN = (airkit.settings.Layer, Listener, Processes, Submitit)
"""Classes of which users make objects to pass on."""

MODEL = (Unrolled, Draw, Object, Noise, Normal, Residual, Slot, Scene)
"""Classes that the methods of a model, its guide and the functions on scenes pass on."""
LEGEND = (
    "B is the number of pictures, C that of their channels, H and W their height and width in "
    "pixels, S the longer of both; T the number of slots, w the side of a window in pixels, P its "
    "channels (C, and a mask where objects hide each other), Z the length of a code. N rows are B, "
    "or several for each picture."
)

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?: .*\n|\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w[\w, ]*): (.*(?:\n     .*)*)", re.MULTILINE)


def reference() -> Iterator[str]:
    """The whole page: verbs, classes that they return, classes that they take, settings."""
    verbs = [each for each in _public() if inspect.isfunction(each)]
    classes = [each for each in _public() if isinstance(each, type)]
    yield from _part("Functions", map(_function, verbs))
    yield from _part("What they return", map(_class, _returned(verbs)))
    yield from _part("What a model takes and returns", [iter((LEGEND, "")), *map(_class, MODEL)])
    yield from _part("What they take", map(_class, TAKEN))
    yield from _part("Other classes of airkit", map(_class, classes))
    yield from ("## airkit.settings", "", pieces.first_line(airkit.settings.__doc__), "")
    yield from pieces.table(("function", "meaning"), map(_row, _functions(airkit.settings)))


def _public() -> list[Any]:
    """What ``airkit`` exports, in alphabetical order."""
    return [getattr(airkit, name) for name in sorted(airkit.__all__, key=str.lower)]


def _part(title: str, items: Iterable[Iterator[str]]) -> Iterator[str]:
    yield from (f"## {title}", "")
    for item in items:
        yield from item


def _function(verb: Callable[..., Any]) -> Iterator[str]:
    """A function: signature, prose, parameters, what it returns, errors."""
    node = _node(verb)
    assert isinstance(node, ast.FunctionDef)
    text, sections = _docstring(verb)
    yield from (f"### {verb.__name__}", "", "```python", *_signature(node), "```", "", *text)
    yield from _entries(("parameter", "meaning"), sections.get("Args", ""))
    links = [f"[`{each.__name__}`](#{each.__name__.lower()})" for each in _named(verb)]
    if links:
        yield from (f"Result: {_shape(node)}{', '.join(links)}.", "")
    yield from _entries(("error", "when"), sections.get("Raises", ""))


def _shape(node: ast.FunctionDef) -> str:
    """What holds the classes that a function returns, where it does not return one as it is."""
    outer, bracket, _ = ast.unparse(node.returns or ast.Constant(None)).partition("[")
    return f"a {outer} of " if bracket else ""


def _class(kind: type) -> Iterator[str]:
    """A class: prose, constructor where it is no dataclass, fields, properties and methods."""
    node = _node(kind)
    assert isinstance(node, ast.ClassDef)
    text, sections = _docstring(kind)
    yield from (f"### {kind.__name__}", "", f"`{kind.__module__}.{kind.__name__}`", "", *text)
    if kind is airkit.Config:
        yield from ("Its sections and settings are on [their page](configuration.md).", "")
        return
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    if kind in _public():
        yield from _constructor(kind.__name__, methods)
    bases = map(_node, filter(is_dataclass, reversed(kind.__mro__[1:])))
    known = [*(base for base in bases if isinstance(base, ast.ClassDef)), node]
    if "Attributes" in sections:
        yield from _entries(("field", "meaning"), sections["Attributes"])
    else:
        yield from _with_blank(pieces.fields(*known))
    rows = [_member(each) for each in methods if _is_for_users(each, kind)]
    yield from _with_blank(pieces.table(("member", "meaning"), rows) if rows else ())
    yield from _entries(("error", "when"), sections.get("Raises", ""))


def _constructor(name: str, methods: Iterable[ast.FunctionDef]) -> Iterator[str]:
    for each in methods:
        if each.name == "__init__":
            call = f"airkit.{name}({', '.join(_parameters(each.args)[1:])})"
            yield from ("```python", call, "```", "")


def _is_for_users(node: ast.FunctionDef, kind: type) -> bool:
    """Whether a method is public, and neither another constructor nor for airkit's own calls."""
    kinds = {ast.unparse(each) for each in node.decorator_list}
    return not (
        node.name.startswith("_")
        or kinds & {"classmethod", "staticmethod"}
        or issubclass(kind, Engine)
    )


def _member(node: ast.FunctionDef) -> tuple[str, str]:
    """A property, or a method with its parameters."""
    names = [ast.unparse(each) for each in node.decorator_list]
    call = (
        ""
        if any(each.endswith("property") for each in names)
        else f"({', '.join(_parameters(node.args)[1:])})"
    )
    return pieces.code(node.name + call), pieces.first_line(ast.get_docstring(node))


def _row(function: Callable[..., Any]) -> tuple[str, str]:
    """A function of a module in one row."""
    node = _node(function)
    assert isinstance(node, ast.FunctionDef)
    call = f"{node.name}({', '.join(_parameters(node.args))})"
    return pieces.code(call), pieces.first_line(inspect.getdoc(function))


def _signature(node: ast.FunctionDef) -> Iterator[str]:
    yield f"airkit.{node.name}("
    yield from (f"    {each}," for each in _parameters(node.args))
    yield f") -> {ast.unparse(node.returns) if node.returns else None}"


def _parameters(given: ast.arguments) -> list[str]:
    """Parameters as the source spells them, but for quotes."""
    bare = [None] * (len(given.args) - len(given.defaults))
    plain = [_parameter(*each) for each in zip(given.args, [*bare, *given.defaults], strict=True)]
    named = [_parameter(*each) for each in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    rest = f"*{ast.unparse(given.vararg)}" if given.vararg else "*"
    return [*plain, *([rest] if given.vararg or named else []), *named]


def _parameter(given: ast.arg, default: ast.expr | None) -> str:
    equals = f" = {ast.unparse(default)}".replace("'", '"') if default else ""
    return ast.unparse(given) + equals


def _node(thing: Any) -> ast.stmt:
    """The source of a function or class, parsed."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def _docstring(thing: Any) -> tuple[list[str], dict[str, str]]:
    """A docstring's paragraphs, each a line and a blank one, and its sections by name."""
    text = (inspect.getdoc(thing) or "") + "\n"
    paragraphs = _SECTION.sub("", text).strip().split("\n\n")
    lines = [line for paragraph in paragraphs for line in (_plain(paragraph), "")]
    return lines, dict(_SECTION.findall(text))


def _plain(paragraph: str) -> str:
    return pieces.prose(paragraph).replace("\\|", "|")


def _entries(heads: tuple[str, str], section: str) -> Iterator[str]:
    """A table of a docstring's ``name: meaning`` entries."""
    rows = [(f"`{name}`", pieces.prose(text)) for name, text in _ENTRY.findall(section)]
    yield from _with_blank(pieces.table(heads, rows) if rows else ())


def _with_blank(lines: Iterable[str]) -> Iterator[str]:
    lines = list(lines)
    yield from (*lines, *([""] if lines else []))


def _returned(verbs: Iterable[Callable[..., Any]]) -> list[type]:
    """Classes of airkit that functions return, and those in their fields, in that order."""
    found: list[type] = []
    waiting = [kind for verb in verbs for kind in _named(verb)]
    while waiting:
        kind = waiting.pop(0)
        if kind not in found and kind is not airkit.Config:
            found.append(kind)
            waiting[:0] = _named(kind)
    return found


def _named(thing: Any) -> list[type]:
    """Classes of airkit in a function's return annotation, or in those of a class's fields."""
    given = inspect.get_annotations(thing)
    told = [given.get("return", "")] if inspect.isfunction(thing) else given.values()
    held = getattr(thing, "__orig_bases__", ())  # as of a list of results
    words = re.findall(r"\w+", " ".join(map(str, [*told, *held])))
    kinds = [getattr(sys.modules[thing.__module__], word, None) for word in dict.fromkeys(words)]
    return [kind for kind in kinds if isinstance(kind, type) and _ours(kind)]


def _functions(module: Any) -> list[Callable[..., Any]]:
    """Public functions that a module defines, in the order of its source."""
    members = vars(module).items()
    return [
        each
        for name, each in members
        if inspect.isfunction(each) and each.__module__ == module.__name__ and name[0] != "_"
    ]


def _ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "airkit"
