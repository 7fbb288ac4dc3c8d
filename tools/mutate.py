"""How many faults the tests catch: small faults drawn over all modules, one at a time.

    python tools/mutate.py [--seed 0] [--count 60] [--jobs 1] [--out FILE]

A fault changes one expression or drops one statement of ``src/airkit``: a comparison, an operator,
a constant, a condition, a call or an assignment. Modules are drawn by their lines of code. Each
fault is put into a copy of the project, where the tests that import the module run until one fails:
first the files that import it themselves, then those that do so through a helper of the tests or
through the modules that use it. ``caught`` names the file that failed; ``survived`` is a fault that
none of them noticed, either because nothing would go wrong (say why) or because a test is missing.
``FILE`` keeps what was found, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = ROOT / "src" / "airkit", ROOT / "tests"
SECONDS = 300  # for the tests of one fault; a fault that makes them hang is caught
MOST = 10  # test files for a fault
COMPARISONS = {"Lt": "<=", "LtE": "<", "Gt": ">=", "GtE": ">", "Eq": "!=", "NotEq": "==",
               "Is": "is not", "IsNot": "is", "In": "not in", "NotIn": "in"}  # fmt: skip
OPERATORS = {"Add": "-", "Sub": "+", "Mult": "/", "Div": "*", "FloorDiv": "*", "Pow": "*"}


def main() -> None:
    """Draw the faults, try each, and tell how many the tests caught."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mutations.json"))
    args = parser.parse_args()
    found = json.loads(args.out.read_text()) if args.out.exists() else []
    drawn = list(draw(args.seed, args.count))[len(found) :]
    with ThreadPoolExecutor(args.jobs) as pool:
        for row in pool.map(trial, drawn):
            found.append(row)
            args.out.write_text(json.dumps(found, indent=1) + "\n")
            where = f"{row['module']}:{row['line']}"
            sys.stdout.write(f"{row['outcome']:<40} {where}  {row['change']}\n")
            sys.stdout.flush()
    caught = sum(row["outcome"] != "survived" for row in found)
    sys.stdout.write(f"{caught} of {len(found)} caught\n")


def draw(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Faults, as where they are and what stands there instead."""
    draws, sources = random.Random(seed), {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if faults := list(candidates(ast.parse(text), text)):
            sources[path] = text, faults
    weights = [len(text.splitlines()) for text, _ in sources.values()]
    for path in draws.choices(list(sources), weights, k=count):
        text, faults = sources[path]
        node, new = draws.choice(faults)
        old = ast.get_source_segment(text, node) or ""
        line = node.lineno
        yield {
            "module": str(path.relative_to(PACKAGE)),
            "line": line,
            "change": f"{' '.join(old.split())[:60]} -> {new[:60]}",
            "source": replaced(text, node, new),
        }


def candidates(tree: ast.Module, text: str) -> Iterator[tuple[Any, str]]:
    """Nodes of a module that can be changed, and what each becomes."""
    for node in inner(tree):
        segment = ast.get_source_segment(text, node) if hasattr(node, "lineno") else None
        if segment is None:
            continue
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = (ast.unparse(each) for each in (node.left, node.comparators[0]))
            yield node, f"({left} {COMPARISONS[type(node.ops[0]).__name__]} {right})"
        elif isinstance(node, ast.BinOp) and type(node.op).__name__ in OPERATORS:
            left, right = ast.unparse(node.left), ast.unparse(node.right)
            yield node, f"({left} {OPERATORS[type(node.op).__name__]} {right})"
        elif isinstance(node, ast.BoolOp):
            joint = " and " if isinstance(node.op, ast.Or) else " or "
            yield node, f"({joint.join(f'({ast.unparse(each)})' for each in node.values)})"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, f"bool({ast.unparse(node.operand)})"
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, str(not node.value)
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield node, f"({segment} + 1)"
        elif isinstance(node, (ast.Raise, ast.AugAssign)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield node, "pass"


def inner(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes within functions, without annotations and docstrings."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                yield from plain(statement)


def plain(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all within it, without annotations, decorators and functions."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "args") and not isinstance(
            node, ast.Call
        ):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST) and not isinstance(each, (ast.FunctionDef, ast.JoinedStr)):
                yield from plain(each)


def replaced(text: str, node: Any, new: str) -> str:
    """The module's text with ``new`` in a node's place."""
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    changed: bytes = before + new.encode() + after
    return changed.decode()


def trial(fault: dict[str, Any]) -> dict[str, Any]:
    """Run the tests of a fault in a copy of the project."""
    source = fault.pop("source")
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "project"
        ignored = shutil.ignore_patterns(".*", "site", "build", "*.h5", "*.json")
        shutil.copytree(ROOT, copy, ignore=ignored)
        (copy / "src" / "airkit" / fault["module"]).write_text(source, encoding="utf-8")
        return {**fault, "outcome": outcome(copy, tests_of(fault["module"]))}


def outcome(copy: Path, files: list[str]) -> str:
    """Whether the tests in ``files`` catch the fault of a copy, and which does."""
    own = {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    try:
        done = subprocess.run(
            command, cwd=copy, env={**os.environ, **own}, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "caught: the tests hang"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return f"caught: {failed[0].split()[1].partition('::')[0]}" if done.returncode else "survived"


def tests_of(module: str) -> list[str]:
    """Test files that import a module: themselves first, then through others.

    Of several the one that bears the module's name is first, then those that import little else.
    """
    wanted, name = {dotted(PACKAGE / module)}, Path(module).stem

    def order(path: Path) -> tuple[bool, int]:
        own = {each for each in imported(path) if each.startswith("airkit")}
        return name not in path.stem, len(own)

    found: list[str] = []
    for _ in range(4):
        names = {path.stem for path in TESTS.rglob("*.py") if imported(path) & wanted}
        near = [
            path for path in sorted(TESTS.glob("test_*.py"), key=order) if imported(path) & wanted
        ]
        found += [f"tests/{path.name}" for path in near if f"tests/{path.name}" not in found]
        if len(found) >= MOST // 2:
            break
        users = {dotted(path) for path in PACKAGE.rglob("*.py") if imported(path) & wanted}
        wanted = wanted | {name for name in names if not name.startswith("test_")} | users
    return found[:MOST]


def dotted(path: Path) -> str:
    """A module's name."""
    inside = path.relative_to(PACKAGE.parent).with_suffix("")
    return ".".join(inside.parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it, or runs by their quoted names."""
    text = path.read_text(encoding="utf-8")
    found = set(re.findall(r'"(airkit(?:\.\w+)+)"', text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


if __name__ == "__main__":
    main()
