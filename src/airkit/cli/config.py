"""``airkit config``: what the settings are, and whether a file of them is valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import Command, Layers, with_options
from airkit.cli.output import tell_rows

app = typer.Typer(
    rich_markup_mode=None,
    epilog="Later settings override earlier ones: defaults, --preset, --config, then flags and "
    "--set in the order given.",
)


@app.callback(invoke_without_command=True)
def main(ctx: typer.Context) -> None:
    """Show, list and check settings."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def show(settings: Layers) -> None:
    """Print all settings as TOML.

    To start a config file: airkit config show > airkit.toml
    """
    typer.echo(airkit.settings.to_toml(airkit.settings.resolve(*settings)), nl=False)


app.command("show", cls=Command)(with_options("config show", show))


@app.command("schema", cls=Command)
def schema() -> None:
    """Print the JSON Schema of a config file."""
    typer.echo(json.dumps(airkit.settings.json_schema(), indent=2))


@app.command("presets", cls=Command)
def presets() -> None:
    """List the presets."""
    tell_rows(airkit.settings.presets().items())


@app.command("check", cls=Command)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of settings.")],
) -> None:
    """Check a config file and report every problem in it."""
    airkit.settings.resolve(airkit.settings.from_file(file))
    typer.echo(f"{file} is valid")
