"""Errors: one form of message, which ends with what to try next."""

from __future__ import annotations

import ast
import pickle
import re
from itertools import pairwise
from pathlib import Path

import pytest

import airkit
from airkit.errors import AirkitError, ConfigError, Problem, sanitize

ROOT = Path(airkit.__file__).parent
PATHS = re.compile(
    r"(--(run|out|data|config|checkpoint|against|overlay)|airkit (export|info|infer)|check|>) $"
)


def test_the_form_of_a_message() -> None:
    error = AirkitError("No", where=Path("here"), expected=3, got=None, hint="airkit train")
    assert str(error) == "No\n  where     here\n  expected  3\n  try       airkit train"


def test_a_hint_is_required() -> None:
    with pytest.raises(TypeError, match="hint"):
        AirkitError("No")  # type: ignore[call-arg]


def test_problems_of_a_configuration_are_told_together() -> None:
    error = ConfigError([Problem(f"a.k{n}", "--set", "unknown key") for n in range(60)])
    assert str(error).startswith("60 problems in the configuration\n  a.k0 (--set): unknown key\n")
    assert len(str(error).splitlines()) == 52
    assert len(error.problems) == 60


@pytest.mark.parametrize(
    "error",
    [
        AirkitError("No", where="here", got=ValueError("that"), hint="airkit train"),
        ConfigError([Problem("a.b", "--set", "unknown key")]),
    ],
)
def test_an_error_is_pickled_whole(error: AirkitError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.hint) == (type(error), str(error), error.hint)
    assert str(again).splitlines()[-1] == f"  try       {error.hint}"


def test_an_error_may_get_another_hint() -> None:
    error = AirkitError("No", where="here", got=ValueError("that"), hint="airkit train")
    again = pickle.loads(pickle.dumps(error)).advising("airkit eval")
    assert str(again) == "No\n  where     here\n  got       that\n  try       airkit eval"


def test_text_from_files_is_escaped_and_cut() -> None:
    assert sanitize("a\x1b[2J\nb\u202e\udcff") == "a\\x1b[2J\nb\\u202e\\udcff"
    assert sanitize("x" * 9, 4) == "xxxx..."


def test_paths_in_commands_are_quoted() -> None:
    """As a command with a space in it is another one; also outside of errors."""
    unquoted, seen = [], 0
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for before, value in pairwise(node.values):
                if isinstance(before, ast.Constant) and PATHS.search(str(before.value)):
                    seen += 1
                    if "quoted(" not in ast.unparse(value):
                        unquoted.append(f"{path.name}:{node.lineno}")
    assert (unquoted, seen > 9) == ([], True)
