"""The program: its commands, its version, and the one place where errors become text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from airkit._version import __version__
from airkit.cli import (
    completion,
    config,
    demo,
    evaluate,
    export,
    import_,
    infer,
    info,
    make_data,
    predict,
    process,
    render,
    report,
    reproduce,
    score,
    sweep,
    train,
)
from airkit.cli.options import USAGE, Command, with_options
from airkit.cli.output import aligned, columns, wrapped
from airkit.errors import AirkitError
from airkit.system.signals import EXIT_CODE, handle_signals
from airkit.system.text import SHELL, arguments_of


class Program(TyperGroup):
    """The group of all commands, which turns errors into messages and exit codes."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options before the command; exit with 2 where they are wrong."""
        try:
            return super().make_context(*args, **kwargs)
        except USAGE as error:
            raise _misused(error) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 after an AirkitError, 2 after a typo, 130 after a signal."""
        try:
            with handle_signals(process.interrupt), arguments_of(SHELL):
                return super().invoke(ctx)
        except USAGE as error:
            raise _misused(error) from error
        except AirkitError as error:
            process.unmute_for(error)
            _tell_error(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo(process.INTERRUPTED, err=True)
            raise typer.Exit(EXIT_CODE) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each with its whole summary."""
        del ctx
        rows = [(name, each.get_short_help_str(1000)) for name, each in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _tell_error(error: AirkitError) -> None:
    """Print an error; on a terminal its lines are wrapped below their labels."""
    width = columns(sys.stderr)
    first, *others = f"airkit: {error}".splitlines()
    typer.echo(wrapped(first, width, "  "), err=True)
    for line in others:
        labelled = re.match(r"  (where|expected|got|try) +", line)
        indent = " " * (len(labelled[0]) if labelled else 4)
        typer.echo(wrapped(line, width, indent), err=True)


def _misused(error: Any) -> typer.Exit:
    """Print what was wrong with what was typed, in the form of all errors."""
    command = error.ctx.command_path if error.ctx else "airkit"
    others = getattr(error, "possibilities", None) or ()  # told in a message's form of their own
    told = error.message if others else error.format_message().replace("Value error, ", "")
    what, _, nearest = told.rstrip(".?").partition(". Did you mean ")
    nearest = " or ".join(others) or nearest
    hint = f"{nearest}; {command} --help lists all" if nearest else f"{command} --help"
    _tell_error(AirkitError(what, where=command, hint=hint))
    return typer.Exit(2)


STEPS = (
    ("make-data --max-digits 2", "make canvases of digits: multi-mnist.h5"),
    ("train --steps 2000", "train on them: runs/air"),
    ("eval --split test", "measure counting, boxes and likelihood"),
    ("render --kind steps", "draw what the model saw: runs/air/figures"),
)


def _tell_start() -> None:
    """Print what ``airkit`` does, where nothing is asked for."""
    width = columns(sys.stdout)
    told = "Counts objects without labels, in four steps; none needs an option:"
    rows = [(f"airkit {command}", what) for command, what in STEPS]
    inner = None if width is None else width - 2
    lines = [wrapped(told, width), "", *(f"  {line}" for line in aligned(rows, inner)), ""]
    own = wrapped("For pictures of your own: airkit import FOLDER in place of make-data.", width)
    typer.echo("\n".join([*lines, own, "All commands and options: airkit --help"]))


# Plain help: the same text in a terminal, a pipe and the docs, without loading rich.
app = typer.Typer(
    cls=Program,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"airkit {__version__}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog="From nothing to pictures: airkit make-data && airkit train && airkit eval && "
    "airkit render",
)
def main(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Attend-Infer-Repeat: count and locate objects in pictures, trained without labels."""
    del version
    if ctx.invoked_subcommand is None:
        _tell_start()


COMMANDS: dict[str, Callable[..., None]] = {
    "make-data": make_data.make_data,
    "import": import_.import_scenes,
    "train": train.train,
    "eval": evaluate.evaluate,
    "score": score.score,
    "infer": infer.infer,
    "predict": predict.predict,
    "render": render.render,
    "report": report.report,
    "sweep": sweep.sweep,
    "reproduce": reproduce.reproduce,
    "demo": demo.demo,
    "info": info.info,
    "export": export.export,
    "completion": completion.completion,
}
for _name, _body in COMMANDS.items():
    app.command(_name, cls=Command)(with_options(_name, _body))
app.add_typer(config.app, name="config")
completion.answer()
