"""``airkit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, AsJson, Checkpoint, Data, Layers, option
from airkit.cli.output import show
from airkit.cli.progress import listening


def report(
    settings: Layers,
    run: Annotated[
        list[Path], option("DIR", "The run folder, or a sweep's; several are compared.")
    ] = [DEFAULT_RUN],  # noqa: B006 - typer copies it
    out: Annotated[
        str | None,
        option("FILE", "The HTML file to write. [default: report.html in the run folder]"),
    ] = None,
    data: Data = None,
    checkpoint: Checkpoint = "best",
    *,
    as_json: AsJson = False,
) -> None:
    """Write measures and pictures of a run to one HTML file.

    Several runs, or the folder of a sweep, are compared on the same canvases.
    Settings override those of the run.
    """
    with listening() as listener:
        written = airkit.report(
            run,
            out=out,
            data=data,
            checkpoint=checkpoint,
            settings=settings,
            listener=listener,
        )
    show(written, as_json, lambda written: typer.echo(written.path))
