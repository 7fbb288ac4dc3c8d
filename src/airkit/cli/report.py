"""``airkit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import AsJson, Checkpoint, Data, Given, configured
from airkit.cli.output import tell_report
from airkit.cli.progress import listening


@configured("report", preset=False)
def report(
    given: Given,
    run: Annotated[
        list[Path],
        typer.Option(
            "--run", metavar="DIR", help="The run folder, or a sweep's; several are compared."
        ),
    ] = [Path("runs/air")],  # noqa: B006 - typer copies it
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The HTML file to write. [default: report.html in the run folder]",
        ),
    ] = None,
    data: Data = None,
    checkpoint: Checkpoint = "best",
    *,
    as_json: AsJson = False,
) -> None:
    """Measure and draw a run, as one HTML file that needs no other.

    Several runs, or the folder of a sweep, are compared on the same canvases.
    Settings are laid over those of the run.
    """
    with listening() as listener:
        written = airkit.report(
            run,
            out=out,
            data=data,
            checkpoint=checkpoint,
            settings=given.layers(),
            listener=listener,
        )
    if as_json:
        tell_report(written)
    else:
        typer.echo(written.path)
