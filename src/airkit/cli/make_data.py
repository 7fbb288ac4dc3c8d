"""``airkit make-data``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import airkit
from airkit.cli.options import AsJson, Layers, option
from airkit.cli.output import show, tell_rows
from airkit.cli.progress import listening
from airkit.system.text import duration, size

if TYPE_CHECKING:
    from airkit.data.make import MakeReport


def make_data(
    settings: Layers,
    out: Annotated[str, option("FILE", "The HDF5 file to write.")] = "multi-mnist.h5",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    workers: Annotated[
        int, option("N", "Processes that make canvases, one per CPU core.", min=1)
    ] = 1,
    *,
    as_json: AsJson = False,
) -> None:
    """Make canvases of digits, or scenes of sprites or cells, in one HDF5 file.

    Each canvas comes with its true count, boxes and labels; scenes come with masks, too.
    """
    with listening() as listener:
        report = airkit.make_data(
            out, settings=settings, force=force, workers=workers, listener=listener
        )
    show(report, as_json, _tell)


def _tell(report: MakeReport) -> None:
    from airkit.config.sections import DRAWN  # noqa: PLC0415 - not for --help

    tell_rows(
        [
            ("file", f"{report.path} ({size(report.bytes)})"),
            ("canvases", ", ".join(f"{many:,} {split}" for split, many in report.splits.items())),
            ("scenes" if report.source in DRAWN else "digits", report.source),
            ("digest", report.content_digest),
            ("time", duration(report.seconds)),
        ]
    )
