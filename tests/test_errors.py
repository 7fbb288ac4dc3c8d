"""Every error says what to try next, and names the command, option or setting for it."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import airkit
from airkit import errors
from airkit.config import settings
from airkit.errors import AirkitError, ConfigError, Problem

ROOT = Path(airkit.__file__).parent
KINDS = {name for name, it in vars(errors).items() if inspect.isclass(it) and name[-5:] == "Error"}
NAMED = re.compile(
    r"airkit [a-z]|idx\.OTHERS|--[a-z]|OPTION\[|pip install|torchrun"
    r"|AIRKIT_[A-Z]+|submitit\.AutoExecutor"
    + "".join(rf"|\b{re.escape(key)}\b" for key in settings.fields())
)
NOTHING_TO_NAME = {
    "Cannot write a file",
    "Cannot write the result",
    "Two images would have the same picture",
    "The image is too small or too large",
    "Not an image that airkit reads",
    "A damaged {kind} file",
    "The array holds no grey images",
}
"""Errors that no command or setting of airkit mends: the hint is about files and disks."""


def _calls() -> Iterator[tuple[str, ast.Call]]:
    """Every place where an error is made, as file and line."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in KINDS:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


CALLS = dict(_calls())


def hint(call: ast.Call) -> ast.expr | None:
    """What an error's maker gives as its hint; ``ConfigError`` has one of its own."""
    found = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
    return found[0] if found else None


def test_the_errors_are_found() -> None:
    assert len(CALLS) > 80
    assert {"AirkitError", "ConfigError", "DataFileError", "OutputError"} <= KINDS


@pytest.mark.parametrize("place", CALLS)
def test_every_error_has_a_hint(place: str) -> None:
    call = CALLS[place]
    if ast.unparse(call.func) == "ConfigError":
        return
    given = hint(call)
    assert given is not None, "an error without a next step"
    assert not (isinstance(given, ast.Constant) and not given.value), "an empty hint"


@pytest.mark.parametrize("place", CALLS)
def test_a_hint_that_is_written_out_names_something(place: str) -> None:
    call = CALLS[place]
    given = hint(call)
    if isinstance(given, ast.Constant | ast.JoinedStr):
        what = ast.unparse(call.args[0])
        excused = any(text in what for text in NOTHING_TO_NAME)
        assert excused != bool(NAMED.search(ast.unparse(given))), ast.unparse(given)


def test_a_hint_is_asked_for() -> None:
    with pytest.raises(TypeError, match="hint"):
        AirkitError("No")  # type: ignore[call-arg]


def test_an_error_keeps_its_hint_between_processes() -> None:
    for error in (
        AirkitError("No", where="here", hint="airkit train"),
        ConfigError([Problem("a.b", "--set", "unknown key")]),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.what, again.hint) == (str(error), error.what, error.hint)
        assert str(error).splitlines()[-1] == f"  try       {error.hint}"


def test_an_error_may_get_another_hint() -> None:
    error = AirkitError("No", where="here", got=ValueError("that"), hint="airkit train")
    again = pickle.loads(pickle.dumps(error)).advising("airkit eval")
    assert str(again) == "No\n  where     here\n  got       that\n  try       airkit eval"


PATHS = re.compile(
    r"(--(run|out|data|config|checkpoint|against|overlay)|airkit (export|info|infer)|check|>) $"
)


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
