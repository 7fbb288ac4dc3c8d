"""``airkit info``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import AsJson
from airkit.cli.output import size, tell, tell_json
from airkit.cli.progress import listening
from airkit.system.text import duration


def info(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A data file, checkpoint, run or sweep folder.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read a data file through and check its digest.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a file or a folder of airkit is.

    Data files, checkpoints, run folders and sweeps say whence they are, and from which settings.
    """
    with listening() as listener:
        description = airkit.describe(path, verify=verify, listener=listener)
    if as_json:
        tell_json(description.to_dict())
        return
    facts = [(name.replace("_", " "), _text(name, it)) for name, it in description.facts.items()]
    tell([(description.kind, description.path), *facts])
    typer.echo("settings other than the defaults:")
    changed = [(f"  {key}", airkit.settings.spelled(it)) for key, it in description.changed.items()]
    tell(changed or [("  none", "")])


def _text(name: str, value: object) -> object:
    """A fact for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if name == "seconds" and isinstance(value, float):
        return duration(value)
    if name == "bytes" and isinstance(value, int):
        return size(value)
    return f"{value:.4g}" if isinstance(value, float) else value
