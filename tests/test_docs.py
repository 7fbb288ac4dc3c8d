"""The docs: generated parts are current, snippets run, commands parse, links lead somewhere."""

from __future__ import annotations

import doctest
import inspect
import json
import math
import os
import re
import runpy
import shlex
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyro
import pytest
import tiny_runs
import torch
import typer
from command_line import run

import airkit
from airkit.cli.app import app
from airkit.cli.options import FLAGS
from airkit.config import settings
from airkit.config.schema import Config
from airkit.data.make import make_data
from airkit.figures.examples import FIRST
from airkit.model.air import AIR, Unrolled
from airkit.model.guides import Guide, Noise, Peak, Slot, saliency
from airkit.model.pyro_programs import AFTER_ABSENT
from airkit.model.scene import explain
from airkit.runs.export import export
from airkit.web.gather import WORST

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md"]
REFERENCE = runpy.run_path(str(ROOT / "tools" / "reference.py"))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page in some languages."""
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [body for language, body in found if language in languages]


def commands(path: Path) -> list[list[str]]:
    """Every airkit command of a page, as words after ``airkit``."""
    lines = [
        *"\n".join(blocks(path, "bash")).replace("\\\n", " ").splitlines(),
        *(line[2:] for block in blocks(path, "console") for line in block.splitlines()
          if line.startswith("$ ")),
    ]  # fmt: skip
    return [words for line in lines for words in parsed(line)]


def parsed(line: str) -> Iterator[list[str]]:
    """The airkit commands of a line of shell."""
    line = re.sub(r"\s\d?>+&?\s*\S+", "", line)  # what goes where is the shell's to know
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) & set("&|;"):
            if "airkit" in words[:2]:
                yield words[words.index("airkit") + 1 :]
            words = []
        else:
            words.append(word)


def parse(words: list[str]) -> None:
    """Parse a command's options without running it; raises where the program would not take it."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or not words, f"no such command: {words}"
    if not hasattr(command, "commands"):
        command.make_context(command.name, list(words))


def slug(heading: str) -> str:
    """The anchor that the site gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def anchors(path: Path) -> set[str]:
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def links(path: Path) -> list[str]:
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def run_snippets(page: str) -> None:
    """Run a page's Python, top to bottom, in one namespace."""
    names: dict[str, Any] = {"__name__": page}
    for body in blocks(DOCS / page, "python"):
        exec(compile(body, page, "exec"), names)


def test_generated_parts_are_current() -> None:
    assert REFERENCE["stale"]() == [], "run: python tools/reference.py"


def test_a_default_of_several_is_what_would_be_typed() -> None:
    rows = list(REFERENCE["_options"]("report"))
    meaning = "The run folder, or a sweep's; several are compared."
    assert f"| `--run` DIR | `runs/air` | {meaning} |" in rows


def test_the_page_tells_how_many_canvases_a_report_draws() -> None:
    page = " ".join((DOCS / "commands" / "report.md").read_text(encoding="utf-8").split())
    assert f"from the first {FIRST} canvases of the split" in page
    assert f"Each sheet of the worst has up to {WORST}," in page


def test_generated_parts_are_found_stale() -> None:
    text = "<!-- generated: presets -->\n\nold\n\n<!-- /generated -->\n"
    new = REFERENCE["written"](text)
    assert "### tiny" in new
    assert "old" not in new
    assert REFERENCE["written"](new) == new


def test_the_api_page_has_all_that_airkit_exports() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    returned, others = (
        page.partition(f"## {title}")[2].partition("\n## ")[0]
        for title in ("What they return", "Other classes of airkit")
    )
    for name in set(airkit.__all__) - {"__version__", "settings"}:
        assert f"### {name}\n" in page, name
    for name in ("MakeReport", "Measures", "Comparison", "InferredObject", "Row", "Best"):
        assert f"### {name}\n" in returned, name
    assert "airkit.CanvasDataset(path: str | Path" in others
    assert "`from_preset(name: str)`" in page


def test_the_api_page_has_what_a_model_takes_and_returns() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    part = page.partition("## What a model takes and returns\n")[2].partition("\n## ")[0]
    found = set(re.findall("^### (.+)$", part, re.MULTILINE))
    named = {
        name
        for method in (AIR.forward, AIR.draw, AIR.noise, Guide.advance, Guide.encode, explain)
        for name in inspect.get_annotations(method).values()
    }
    ours = {name for name in named if re.fullmatch("[A-Z][a-z]+", str(name))} - {"Tensor", "Any"}
    assert ours | {"Draw"} == found


def test_the_api_page_tells_all_parameters_and_fields() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if re.search(r"\|\s*\|$", line)] == []
    for name in airkit.__all__:
        verb = getattr(airkit, name)
        if inspect.isfunction(verb):
            part = page.partition(f"### {name}\n")[2].partition("\n### ")[0]
            for parameter in inspect.signature(verb).parameters:
                assert f"| `{parameter}` |" in part, (name, parameter)


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nversion: {airkit.__version__}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    assert "arxiv.org/abs/1603.08575" in citation
    assert "arxiv.org/abs/1603.08575" in (DOCS / "results.md").read_text(encoding="utf-8")


def test_bibtex_says_what_the_citation_file_says() -> None:
    page = (DOCS / "how-to" / "cite.md").read_text(encoding="utf-8")
    paper, program = page.partition("```bibtex\n")[2].partition("```")[0].split("\n}\n")[:2]
    assert paper.startswith("@inproceedings{")
    assert "author = {Eslami, S. M. Ali and Heess, Nicolas and " in paper
    assert " and Hinton, Geoffrey E.}," in paper
    assert "title = {Attend, Infer, Repeat: Fast Scene Understanding" in paper
    assert "booktitle = {Advances in Neural Information Processing Systems 29}," in paper
    assert "year = {2016}," in paper
    assert "eprint = {1603.08575}," in paper
    assert program.startswith("@software{airkit,\n")
    assert f"version = {{{airkit.__version__}}}," in program


def test_curves_of_metrics_are_drawn_without_gaps(home: Path) -> None:
    """In a process of its own, as other tests check that nothing loads pyplot."""
    shutil.copytree(tiny_runs.reference(), "runs/air")
    told = "import json; print(json.dumps([[*line.get_ydata()] for line in training.lines]))"
    code = "\n".join([*blocks(DOCS / "run-folder.md", "python"), told])
    environment = {**os.environ, "MPLBACKEND": "agg"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True
    )
    losses, validations = json.loads(found.stdout)
    assert (len(losses), len(validations)) == (7, 5)
    assert all(map(math.isfinite, [*losses, *validations]))


def test_the_row_beside_the_rivals_is_what_was_measured() -> None:
    kept = (ROOT / "benchmarks" / "results" / "success.json").read_text(encoding="utf-8")
    found = json.loads(kept)["sweeps"]["default"]
    many, level = found["attempted"], found["threshold"]
    one = [row["count_accuracy_one_look"] for row in found["rows"]]
    page, short = (
        (DOCS / name).read_text(encoding="utf-8").replace(" %", "%")
        for name in ("results/published.md", "results.md")
    )
    for looks, worst, median, often in (
        ("one look", min(one), statistics.median(one),
         f"{sum(it >= level for it in one)} of {many} at {level:.0%}"),
        ("16 looks together", found["worst"], found["median"],
         f"{found['successes']} of {many} at {level:.0%}"),
    ):  # fmt: skip
        of = f"{looks} | {worst:.2%} the worst of {many} seeds"
        steps = f"{Config().train.steps:,} steps"
        assert f"{of}, {median:.2%} the median | {steps}" in page
        assert f"| {often} |" in page
        assert f"{of} | {often} |" in short
    told = (
        f"Of {many} seeds of the default preset [the worst](docs/results/reliability.md) counts "
        f"{found['worst']:.2%} right with 16 looks together, {min(one):.2%} with one"
    )
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert told in readme.replace(" %", "%")


def test_every_result_names_a_benchmark_that_is_there() -> None:
    page = (DOCS / "results/provenance.md").read_text(encoding="utf-8")
    kept = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    scripts = re.findall(r"`python (benchmarks/[\w/]+\.py)", page)
    assert {path.stem.removesuffix("_gpu") for path in kept} <= {
        Path(script).stem for script in scripts
    }
    gone = re.findall(r"`python (benchmarks/[\w/]+\.py)[^`]*`, replaced by `airkit", page)
    there = {script for script in scripts if (ROOT / script).exists()}
    assert there.isdisjoint(gone)
    assert there.union(gone) == set(scripts)


@pytest.mark.parametrize("module", ["counts", "distributions", "poses", "spatial_transformer"])
def test_examples_in_docstrings_run(module: str) -> None:
    found = doctest.testmod(import_module(f"airkit.model.{module}"))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("kind", [Noise, Peak, Slot, Unrolled, saliency.Glimpse])
def test_help_tells_every_field(kind: Any) -> None:
    for name in kind._fields:
        assert f"\n    {name}: " in (inspect.getdoc(kind) or "")


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_the_pages_say_how_flags_are_passed_in_python(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert 'settings={"train.steps": 500' in text
    assert "by the name that `--help` shows in brackets" in text
    shown = " ".join(run("train", "--help").stdout.split())
    assert "[train.steps, default" in shown


@pytest.mark.parametrize("command", sorted({*FLAGS} - {"config show"}))
def test_flags_of_settings_are_no_arguments_in_python(command: str) -> None:
    """But for the kind of picture, which is both."""
    names = {"eval": "evaluate", "import": "import_scenes", "reproduce": "reproduce_paper"}
    function = getattr(airkit, names.get(command, command.replace("-", "_")))
    taken = inspect.signature(function).parameters
    flags = {flag.strip("-").replace("-", "_") for flag in FLAGS[command]}
    assert "settings" in taken
    assert flags & {*taken} <= {"kind"}


def test_library_snippets_run(home: Path) -> None:
    torch.set_num_threads(1)
    run_snippets("library.md")


@pytest.mark.slow
def test_pyro_snippets_run(home: Path) -> None:
    """The page seeds the generators, and leaves Pyro's store as it found it."""
    torch.set_num_threads(1)
    pyro.clear_param_store()
    with torch.random.fork_rng():
        run_snippets("pyro.md")
    assert not list(pyro.get_param_store())


def test_file_format_snippets_run(home: Path) -> None:
    sizes = {"data.train": 30, "data.val": 20, "data.test": 10, "data.max_digits": 3}
    make_data(settings={"data.source": "strokes", **sizes})
    run_snippets("file-format.md")


def test_export_snippets_run(home: Path) -> None:
    export(tiny_runs.data_file(), "canvases")
    export(tiny_runs.reference(), "weights")
    run_snippets("commands/export.md")


def test_formulas_have_the_numbers_of_the_code() -> None:
    prose = settings.fields()["prior.ratio"].description or ""
    found = re.search(r"object_size / ([\d.]+)\)\^(\d)", prose)
    assert found is not None
    ratio = f"model.object_size / {found[1]})" + {"2": "²", "3": "³"}[found[2]]
    pages = ("model.md", "guide.md", "pyro.md")
    model, guide, programs = ((DOCS / page).read_text(encoding="utf-8") for page in pages)
    assert ratio in model
    assert f"presence are \N{MINUS SIGN}{-AFTER_ABSENT:g}" in programs
    lstm = Config().guide
    for formula in (
        f"deviation is {Config().blur:g} object sizes",
        f"{saliency.ZOOM:g} object sizes wide",
        f"sigmoid({saliency.EDGE_SHARPNESS:g} · ",
        f"exp({saliency.SIZE_STEP:g} o_3)",
        f"sigmoid(o_0 + {saliency.PRESENCE_BIAS:g})",
        f"The two biases, {lstm.presence_bias:g} and "
        f"\N{MINUS SIGN}{-lstm.pose_sd_bias:g} by default",
        *(
            f"softplus(o_{5 + axis} \N{MINUS SIGN} {-saliency.SD_BIAS[1 + axis]:g})"
            for axis in (0, 1)
        ),
    ):
        assert formula in guide


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_commands_parse(path: Path) -> None:
    for words in commands(path):
        parse(words)


def test_commands_are_found() -> None:
    assert len([words for path in TEXTS for words in commands(path)]) > 30
    line = 'airkit make-data && airkit train --set "a.b=1 2" 2>&1 | grep x > y'
    assert list(parsed(line)) == [
        ["make-data"],
        ["train", "--set", "a.b=1 2"],
    ]


@pytest.mark.parametrize("words", [["trian"], ["train", "--epochs", "5"], ["info"]])
def test_wrong_commands_do_not_parse(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"no such command|No such option|Missing parameter"):
        parse(words)


def test_every_command_has_a_page() -> None:
    program: Any = typer.main.get_command(app)
    pages = {page.stem for page in (DOCS / "commands").glob("*.md")}
    assert pages == set(program.commands)
    for command in program.commands:
        assert [command] in [words[:1] for words in commands(DOCS / "commands" / f"{command}.md")]


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if link.startswith(("http:", "https:")):
            continue
        target, _, anchor = link.partition("#")
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), link
        assert not anchor or anchor in anchors(page), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    missing = [page for page in PAGES if f'"{page.relative_to(DOCS).as_posix()}"' not in navigation]
    assert missing == []


def test_nothing_is_fetched_by_a_page() -> None:
    """No image, script or style is from elsewhere; links to follow are another thing."""
    assert "font = false" in (ROOT / "zensical.toml").read_text(encoding="utf-8")
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"!\[[^\]]*\]\(https?:|<(script|link|img|iframe)\b", text), path
