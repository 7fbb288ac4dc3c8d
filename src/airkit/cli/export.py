"""``airkit export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import airkit
from airkit.cli.options import AsJson, option
from airkit.cli.output import show, tell_rows
from airkit.cli.progress import listening

if TYPE_CHECKING:
    from airkit.runs.export import Exported


def export(  # noqa: PLR0913 - an option each
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A data file, a checkpoint or a run folder.")
    ],
    out: Annotated[Path, option("DIR", "The folder to write, new or empty.")],
    *,
    split: Annotated[
        str | None, option("train|val|test|all", "Which canvases of a data file. [default: test]")
    ] = None,
    checkpoint: Annotated[
        str | None, option("best|last|FILE", "Which checkpoint of a run folder. [default: best]")
    ] = None,
    measures: Annotated[
        Path | None, option("FILE", "Output of airkit eval --json, for the model's card.")
    ] = None,
    licence: Annotated[
        str | None, option("NAME", "Licence in the card, such as cc-by-4.0. [default: as recorded]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write canvases as COCO, or a trained model as safetensors, with a card about it.

    The content of PATH says which. Every --run takes the folder of a model.
    """
    with listening() as listener:
        done = airkit.export(
            path,
            out,
            split=split,
            checkpoint=checkpoint,
            measures=measures,
            licence=licence,
            force=force,
            listener=listener,
        )
    show(done, as_json, _tell)


def _tell(done: Exported) -> None:
    counts = [(name, f"{number:,}") for name, number in done.counts.items()]
    tell_rows([("folder", done.path), ("format", done.format), *counts])
