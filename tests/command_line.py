"""Running commands in this process, as if piped."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from airkit.cli.app import app

TINY = ["--preset", "tiny", "--source", "strokes", "--train", "40", "--val", "8", "--test", "12"]


def run(*arguments: object) -> Result:
    """Run a command in this process, piped."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="airkit")


def fails(*arguments: object) -> str:
    """The message of a command that fails with exit code 1 and says nothing on stdout."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "a traceback is for bugs"
    assert result.stdout == ""
    return result.stderr
