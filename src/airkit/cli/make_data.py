"""``airkit make-data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import airkit
from airkit.cli.options import AsJson, Given, configured
from airkit.cli.output import size, tell, tell_report
from airkit.cli.progress import listening
from airkit.system.text import duration

if TYPE_CHECKING:
    from airkit.data.make import MakeReport


@configured("make-data")
def make_data(
    given: Given,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The HDF5 file to write.")
    ] = Path("multi-mnist.h5"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Processes that make canvases, one a CPU core."),
    ] = 1,
    *,
    as_json: AsJson = False,
) -> None:
    """Make canvases of digits, in one HDF5 file.

    Each canvas comes with its true count, boxes and labels.
    """
    with listening() as listener:
        report = airkit.make_data(
            out, settings=given.layers(), force=force, workers=workers, listener=listener
        )
    if as_json:
        tell_report(report)
    else:
        _tell(report)


def _tell(report: MakeReport) -> None:
    tell(
        [
            ("file", f"{report.path} ({size(report.bytes)})"),
            ("canvases", ", ".join(f"{many:,} {split}" for split, many in report.splits.items())),
            ("digits", report.source),
            ("digest", report.content_digest),
            ("time", duration(report.seconds)),
        ]
    )
