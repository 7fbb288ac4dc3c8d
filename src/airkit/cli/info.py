"""``airkit info``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import airkit
from airkit.cli.options import AsJson
from airkit.cli.output import show, tell_rows
from airkit.cli.progress import listening

if TYPE_CHECKING:
    from airkit.runs.describe import Description


def info(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A data file, checkpoint, run or sweep folder.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the whole data file and check its digest.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Describe a data file, checkpoint, run or sweep.

    Prints what it holds, and the settings that it was made with.
    """
    with listening() as listener:
        description = airkit.describe(path, verify=verify, listener=listener)
    show(description, as_json, _tell)


def _tell(description: Description) -> None:
    tell_rows(description.rows())
    _tell_settings("settings other than the defaults", description.changed)
    if description.settled:
        _tell_settings("settings on auto, and what they came to", description.settled)


def _tell_settings(title: str, settings: Mapping[str, Any]) -> None:
    typer.echo(f"{title}:")
    rows = [(f"  {key}", _setting(it)) for key, it in settings.items()]
    tell_rows(rows or [("  none", "")])


def _setting(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else airkit.settings.spelled(value)
