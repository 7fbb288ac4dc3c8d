"""The program: its commands, its version, and the one place where errors become text."""

from __future__ import annotations

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
    infer,
    info,
    interrupts,
    make_data,
    muting,
    render,
    report,
    sweep,
    train,
)
from airkit.cli.options import Command, SettingsCommand, quietly
from airkit.errors import AirkitError
from airkit.system.signals import EXIT_CODE, caught


class Program(TyperGroup):
    """The group of all commands; tells errors that a user can mend, and only those."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an AirkitError becomes its text and exit code 1, a signal 130."""
        try:
            with caught(interrupts.interrupt):
                return super().invoke(ctx)
        except AirkitError as error:
            muting.tell_once(error)
            typer.echo(f"airkit: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo(interrupts.TOLD, err=True)
            raise typer.Exit(EXIT_CODE) from error


START = """\
Attend-Infer-Repeat on multi-MNIST, in four steps; none needs an option:

  airkit make-data --max-digits 2   make canvases of digits: multi-mnist.h5
  airkit train --steps 2000         train on them: runs/air
  airkit eval --split test          measure counting, boxes and likelihood
  airkit render --kind steps        draw what the model saw: runs/air/figures

All commands and options: airkit --help"""
"""What the program says when nothing is asked of it."""


# Plain help: the same text in a terminal, a pipe and the docs, and no rich to load for it.
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
            "--version", callback=_tell_version, is_eager=True, help="Tell the version and exit."
        ),
    ] = False,
) -> None:
    """Attend-Infer-Repeat on multi-MNIST: make canvases, train, measure and draw."""
    del version
    if ctx.invoked_subcommand is None:
        typer.echo(START)


app.command("make-data", cls=SettingsCommand)(quietly(make_data.make_data))
app.command("train", cls=SettingsCommand)(quietly(train.train))
app.command("eval", cls=SettingsCommand)(quietly(evaluate.evaluate))
app.command("infer", cls=SettingsCommand)(quietly(infer.infer))
app.command("render", cls=SettingsCommand)(quietly(render.render))
app.command("report", cls=SettingsCommand)(quietly(report.report))
app.command("sweep", cls=SettingsCommand)(quietly(sweep.sweep))
app.command("demo", cls=Command)(demo.demo)
app.command("info", cls=Command)(quietly(info.info))
app.command("export", cls=Command)(quietly(export.export))
app.command("completion", cls=Command)(completion.completion)
app.add_typer(config.app, name="config")
completion.answer()
