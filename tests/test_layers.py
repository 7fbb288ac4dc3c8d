"""Imports go down only, every library has one home, and only the command line prints."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import airkit
from airkit.cli.app import app
from airkit.cli.config import app as config_app

LAYERS = (
    ("airkit.errors", "airkit.system.callbacks", "airkit.system.statistics", "airkit.system.text"),
    (
        "airkit.config",
        "airkit.settings",
        "airkit.config.toml",
        "airkit.system.seeds",
        "airkit.system.signals",
        "airkit.system.files",
        "airkit.system.processes",
        "airkit.system.locks",
        "airkit.runs.places",
    ),
    ("airkit.data", "airkit.model"),
    ("airkit.model.objectives",),
    (
        "airkit.data.dataset",
        "airkit.data.images",
        "airkit.system.device",
        "airkit.training.memory",
        "airkit.runs.archive",
        "airkit.runs.checks",
        "airkit.runs.checkpoint",
        "airkit.runs.folder",
    ),
    (
        "airkit.evaluation.detection",
        "airkit.evaluation",
        "airkit.evaluation.infer",
        "airkit.evaluation.compare",
        "airkit.figures",
    ),
    ("airkit.training",),
    ("airkit.sweeps",),
    ("airkit.runs.describe", "airkit.exporting"),
    ("airkit.web",),
    ("airkit.web.server",),
    ("airkit.cli", "airkit.__main__"),
)
STRANGERS = {("airkit.data", "airkit.model"), ("airkit.model", "airkit.data")}
TORCH = (
    "airkit.model",
    "airkit.model.objectives",
    "airkit.data.dataset",
    "airkit.system.device",
    "airkit.training.memory",
    "airkit.runs.checks",
    "airkit.runs.checkpoint",
    "airkit.runs.folder",
    "airkit.evaluation.detection",
    "airkit.evaluation",
    "airkit.evaluation.infer",
    "airkit.runs.weights",
    "airkit.evaluation.compare",
    "airkit.figures",
    "airkit.web",
    "airkit.sweeps",
    "airkit.training",
    "airkit.web.server",
)
HOMES = {
    "h5py": ("airkit.data.reader", "airkit.data.writer", "airkit.data.packing"),
    "jinja2": ("airkit.web",),
    "markupsafe": ("airkit.web",),
    "matplotlib": ("airkit.figures",),
    "numpy": ("airkit.system.seeds", "airkit.data", "airkit.data.images", *TORCH),
    "PIL": ("airkit.data.images", "airkit.exporting"),
    "pooch": ("airkit.data",),
    "pydantic": ("airkit.config", "airkit.settings"),
    "pyro": ("airkit.model.pyro_programs", "airkit.model.objectives.nvil"),
    "rich": ("airkit.cli",),
    "safetensors": ("airkit.exporting",),
    "submitit": ("airkit.sweeps.engines",),
    "tensorboard": ("airkit.training.tensorboard",),
    "tomli_w": ("airkit.settings",),
    "torch": TORCH,
    "typer": ("airkit.cli",),
}

ROOT = Path(airkit.__file__).parent


def _sources() -> dict[str, str]:
    """The source of every module of airkit by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("airkit", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def _imports(tree: ast.AST, modules: Mapping[str, str]) -> Iterator[str]:
    """Every module that is imported, at the top, in functions or for type checkers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they go"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else str(node.module)


def _within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def _level(module: str) -> int | None:
    for level, places in enumerate(LAYERS):
        if any(_within(module, place) for place in places):
            return level
    return None


def violations(sources: Mapping[str, str]) -> list[str]:
    """Every broken rule, in words."""
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        if module == "airkit":  # the front door names what is behind it
            continue
        tree = ast.parse(source)
        imports = set(_imports(tree, sources))
        graph[module] = {name for name in imports if _within(name, "airkit") and name != "airkit"}
        found += _broken_layers(module, graph[module])
        found += _homeless(module, imports - graph[module])
        found += _noise(module, tree)
        if "airkit" in imports and not _within(module, "airkit.cli"):
            found += _through_the_front_door(module, tree)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"a circle of imports: {', '.join(sorted(set(error.args[1])))}")
    return found


def _broken_layers(module: str, imports: set[str]) -> Iterator[str]:
    level = _level(module)
    if level is None:
        yield f"{module} is in no layer"
        return
    for name in sorted(imports):
        other = _level(name)
        if other is not None and other > level:
            yield f"{module} (layer {level}) imports {name} (layer {other}) above it"
        for one, two in STRANGERS:
            if _within(module, one) and _within(name, two):
                yield f"{module} imports {name}: {one} and {two} never see each other"


def _homeless(module: str, imports: set[str]) -> Iterator[str]:
    for library in sorted({name.partition(".")[0] for name in imports} - {"airkit"}):
        if library in sys.stdlib_module_names:
            continue
        homes = HOMES.get(library, ())
        if not any(_within(module, home) for home in homes):
            yield f"{module} imports {library}, whose home is {', '.join(homes) or 'nowhere'}"


def _noise(module: str, tree: ast.AST) -> Iterator[str]:
    """Printing and exiting are for the command line."""
    if _within(module, "airkit.cli"):
        return
    for node in ast.walk(tree):
        name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if name in ("print", "exit", "quit", "SystemExit", "sys.exit", "os._exit"):
            yield f"{module} uses {name}, which is for airkit.cli"


def _through_the_front_door(module: str, tree: ast.AST) -> Iterator[str]:
    """Below the command line, the package itself is for its version alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "airkit":
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module == "airkit":
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in set(names) & set(airkit.__all__) - {"__version__", "settings"}:
            yield f"{module} uses airkit.{name} through the front door"


def test_imports_go_down_and_libraries_stay_home() -> None:
    assert violations(_sources()) == []


def test_every_layer_exists() -> None:
    modules = _sources()
    assert [place for places in LAYERS for place in places if place not in modules] == []


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        (
            "airkit.system.files",
            "def f():\n    from airkit.run import RunFolder",
            "airkit.system.files (layer 1) imports airkit.run (layer 4) above it",
        ),
        (
            "airkit.evaluation",
            "from airkit.training import loop",
            "airkit.evaluation (layer 5) imports airkit.training.loop (layer 6) above it",
        ),
        (
            "airkit.model.air",
            "from airkit.canvases import store",
            "airkit.model.air imports airkit.data.reader: airkit.model and airkit.canvases "
            "never see each other",
        ),
        (
            "airkit.data.make",
            "import h5py",
            "airkit.data.make imports h5py, whose home is airkit.data.reader, "
            "airkit.data.writer, airkit.data.packing",
        ),
        (
            "airkit.data.make",
            "from torch import nn",
            f"airkit.data.make imports torch, whose home is {', '.join(TORCH)}",
        ),
        (
            "airkit.runs.folder",
            "import click",
            "airkit.runs.folder imports click, whose home is nowhere",
        ),
        (
            "airkit.runs.folder",
            "print('x')",
            "airkit.runs.folder uses print, which is for airkit.cli",
        ),
        (
            "airkit.runs.folder",
            "import sys\nsys.exit(1)",
            "airkit.runs.folder uses sys.exit, which is for airkit.cli",
        ),
        (
            "airkit.system.seeds",
            "import airkit\nairkit.train()",
            "airkit.system.seeds uses airkit.train through the front door",
        ),
        ("airkit.novel", "", "airkit.novel is in no layer"),
        (
            "airkit.settings",
            "import airkit.seeds",
            "a circle of imports: airkit.seeds, airkit.settings",
        ),
    ],
)
def test_a_broken_rule_is_told(module: str, source: str, broken: str) -> None:
    others = {"airkit.system.seeds": "import airkit.settings"} if "circle" in broken else {}
    known = dict.fromkeys(["airkit.runs.folder", "airkit.training.loop", "airkit.data.reader"], "")
    assert violations({**known, **others, module: source}) == [broken]


def test_command_bodies_are_parse_call_print() -> None:
    """A command has 15 lines at most: the work is the library's."""
    commands = [command.callback for command in app.registered_commands]
    commands += [command.callback for command in config_app.registered_commands]
    names = {command.__name__ for command in commands if command is not None}
    long = {
        f"{module}.{node.name}": lines
        for module, source in _sources().items()
        if _within(module, "airkit.cli")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name in names
        if (lines := _body_lines(node)) > 15
    }
    assert len(names) == 15
    assert long == {}


def _body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1
