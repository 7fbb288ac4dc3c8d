"""Rules of the source tree that import-linter's contract in pyproject.toml does not cover."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airkit
from airkit.cli.app import COMMANDS
from airkit.cli.config import app as config_app

ROOT = Path(airkit.__file__).parent
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("*.py"))
}
TORCH = (
    "data", "evaluation", "figures", "model", "reproduce", "runs", "sweeps", "system", "training",
    "web",
)  # fmt: skip
HOMES = {
    "IPython": ("cli/notebook",),
    "PIL": ("data", "evaluation/found_files", "figures/vector"),
    "airkit": ("cli",),  # the facade: below, modules import each other by name
    "filelock": ("system/locks",),
    "h5py": ("data",),
    "jinja2": ("web",),
    "markupsafe": ("web",),
    "matplotlib": ("figures",),
    "numpy": TORCH,
    "pandas": ("evaluation/predictions",),
    "pooch": ("data",),
    "pyarrow": ("evaluation/prediction_files",),
    "pydantic": ("config", "runs", "system/text"),
    "pyro": ("model/pyro_programs", "model/objectives/nvil"),
    "rich": ("cli",),
    "roifile": ("evaluation/found_files",),
    "safetensors": ("runs",),
    "submitit": ("sweeps/engines",),
    "tensorboard": ("training/tensorboard",),
    "tomli_w": ("config",),
    "torch": TORCH,
    "typer": ("cli",),
}
"""The only places that import a library."""
MOST_LINES = 350


def libraries(tree: ast.AST) -> Iterator[str]:
    """Third-party packages that a module imports, and ``airkit`` where it imports the facade."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        top = {name if name == "airkit" else name.partition(".")[0] for name in names}
        inner = {"airkit"} if "airkit" not in names else set()
        yield from top - inner - sys.stdlib_module_names - {"_typeshed"}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def broken(name: str, source: str) -> list[str]:
    """The rules that a module breaks, in words."""
    tree = ast.parse(source)
    found = [
        f"imports {library}"
        for library in libraries(tree)
        if not name.startswith(HOMES.get(library, ("nowhere",)))
    ]
    for node in ast.walk(tree):
        word = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if word in ("print", "exit", "quit", "SystemExit", "sys.exit", "os._exit"):
            found += [f"uses {word}"] * (not name.startswith("cli/"))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > 60:
            found.append(f"{node.name} has {length(node)} lines")
    lines = len(source.splitlines())
    return found + [f"has {lines} lines"] * (lines > MOST_LINES)


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_keeps_the_rules(name: str) -> None:
    assert broken(name, SOURCES[name]) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("from torch import nn", ["imports torch"]),
        ("def f():\n    import click.core", ["imports click"]),
        ("import airkit", ["imports airkit"]),
        ("import os, airkit.system.text\nfrom airkit.errors import AirkitError", []),
        ("print('x')", ["uses print"]),
        ("import sys\nsys.exit(1)", ["uses sys.exit"]),
        ("def f():\n" + "    pass\n" * 61, ["f has 61 lines"]),
        ("\n" * 351, ["has 351 lines"]),
    ],
)
def test_a_broken_rule_is_found(source: str, told: list[str]) -> None:
    assert broken("config/novel.py", source) == told


def test_few_names_at_the_top() -> None:
    names = {name.partition("/")[0] for name in SOURCES}
    assert len(names) <= 17, names


def test_a_command_parses_calls_and_prints() -> None:
    bodies = [*COMMANDS.values(), *(it.callback for it in config_app.registered_commands)]
    names = {body.__name__ for body in bodies if body is not None}
    found = {
        node.name: length(node)
        for name in SOURCES
        if name.startswith("cli/")
        for node in ast.walk(ast.parse(SOURCES[name]))
        if isinstance(node, ast.FunctionDef) and node.name in names
    }
    assert found.keys() == names
    assert {name: lines for name, lines in found.items() if lines > 15} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {".".join(("airkit", *Path(path).with_suffix("").parts)) for path in SOURCES}
    graph: dict[str, set[str]] = {}
    for path, source in SOURCES.items():
        name = ".".join(("airkit", *Path(path).with_suffix("").parts))
        found = graph[name] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module:
                told = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                found |= told & names
    del graph["airkit.__init__"]  # the facade names all
    TopologicalSorter(graph).prepare()
