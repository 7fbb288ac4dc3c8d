"""Running commands in this process, as if piped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from airkit.cli.app import app

TINY = ["--preset", "tiny", "--source", "strokes", "--train", "40", "--val", "8", "--test", "12"]


def run(*arguments: object) -> Result:
    """Run a command in this process, piped."""
    words = [str(argument) for argument in arguments]
    with mock.patch("typer.testing._get_command", return_value=_program()):
        return CliRunner().invoke(app, words, prog_name="airkit")


@cache
def _program() -> Any:
    """The program; what builds it takes longer than most commands."""
    return get_command(app)


def set_up(folder: Path) -> Path:
    """The folder, with a data file, a trained run and a blank image, under their default names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("make-data", *TINY).exit_code == 0
        assert run("train", "--steps", "2").exit_code == 0
        np.save("canvas.npy", np.zeros((32, 32), np.uint8))
    return folder


def fails(*arguments: object) -> str:
    """The message of a command that fails with exit code 1 and says nothing on stdout."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "a traceback is for bugs"
    assert result.stdout == ""
    return result.stderr


def commands() -> dict[str, Any]:
    """Every command by the words that call it."""
    root = _program()
    found = {"": root}
    for name, command in root.commands.items():
        found[name] = command
        found |= {f"{name} {inner}": it for inner, it in getattr(command, "commands", {}).items()}
    return found
