"""The program: its commands, its version, and the one place where errors become text."""

from __future__ import annotations

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
    process,
    render,
    report,
    sweep,
    train,
)
from airkit.cli.options import Command, with_options
from airkit.errors import AirkitError
from airkit.system.signals import EXIT_CODE, handle_signals


class Program(TyperGroup):
    """The group of all commands, which turns errors into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 after an AirkitError, with 130 after a signal."""
        try:
            with handle_signals(process.interrupt):
                return super().invoke(ctx)
        except AirkitError as error:
            process.unmute_for(error)
            typer.echo(f"airkit: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo(process.INTERRUPTED, err=True)
            raise typer.Exit(EXIT_CODE) from error


START = """\
Attend-Infer-Repeat on multi-MNIST, in four steps; none needs an option:

  airkit make-data --max-digits 2   make canvases of digits: multi-mnist.h5
  airkit train --steps 2000         train on them: runs/air
  airkit eval --split test          measure counting, boxes and likelihood
  airkit render --kind steps        draw what the model saw: runs/air/figures

All commands and options: airkit --help"""
"""What ``airkit`` prints without arguments."""


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
    """Attend-Infer-Repeat on multi-MNIST: make canvases, train, measure and draw."""
    del version
    if ctx.invoked_subcommand is None:
        typer.echo(START)


COMMANDS: dict[str, Callable[..., None]] = {
    "make-data": make_data.make_data,
    "import": import_.import_scenes,
    "train": train.train,
    "eval": evaluate.evaluate,
    "infer": infer.infer,
    "render": render.render,
    "report": report.report,
    "sweep": sweep.sweep,
    "demo": demo.demo,
    "info": info.info,
    "export": export.export,
    "completion": completion.completion,
}
for _name, _body in COMMANDS.items():
    app.command(_name, cls=Command)(with_options(_name, _body))
app.add_typer(config.app, name="config")
completion.answer()
