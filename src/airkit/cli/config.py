"""``airkit config``: what the settings are, and whether a file of them is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import Command, Given, SettingsCommand, configured
from airkit.cli.output import tell

app = typer.Typer(
    rich_markup_mode=None,
    epilog="Order, the last one wins: defaults, --preset, --config, then flags and --set "
    "as they come.",
)


@app.callback(invoke_without_command=True)
def main(ctx: typer.Context) -> None:
    """Show, list and check settings."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@configured("config show")
def show(given: Given) -> None:
    """Print all settings as TOML.

    To start a file from: airkit config show > airkit.toml
    """
    typer.echo(airkit.settings.to_toml(airkit.settings.resolve(*given.layers())), nl=False)


app.command("show", cls=SettingsCommand)(show)


@app.command("schema", cls=Command)
def schema() -> None:
    """Print the JSON Schema of a config file."""
    typer.echo(json.dumps(airkit.settings.json_schema(), indent=2))


@app.command("presets", cls=Command)
def presets() -> None:
    """List the presets."""
    tell(airkit.settings.presets().items())


@app.command("check", cls=Command)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of settings.")],
) -> None:
    """Check a config file, and tell every problem in it."""
    airkit.settings.resolve(airkit.settings.from_file(file))
    typer.echo(f"{file} is right")
