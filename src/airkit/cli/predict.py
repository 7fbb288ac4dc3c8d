"""``airkit predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import airkit
from airkit.cli import output
from airkit.cli.infer import Invert, SubFolders
from airkit.cli.options import (
    DEFAULT_RUN,
    AsJson,
    Checkpoint,
    Data,
    Layers,
    SkipBad,
    option,
)
from airkit.cli.progress import listening
from airkit.system.text import duration, size

if TYPE_CHECKING:
    from airkit.evaluation.predict import Written

First = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="The run folder; with --run, the first of IMAGES."),
]
Images = Annotated[
    list[Path] | None,
    typer.Argument(metavar="IMAGES...", help="Pictures, as for infer, in place of a data file."),
]
Out = Annotated[str, option("FILE", "The file to write: .csv, .jsonl, .json, .parquet or .npz.")]


def predict(  # noqa: PLR0913 - an option each
    settings: Layers,
    first: First = None,
    images: Images = None,
    run: Annotated[Path | None, option("DIR", "The run folder. [default: runs/air]")] = None,
    data: Data = None,
    *,
    out: Out,
    samples: Annotated[int, option("K", "Posterior samples to draw for each picture.", min=0)] = 0,
    rows: Annotated[
        str, option("pictures|objects", "Rows of a .csv: one per picture, or per object.")
    ] = "pictures",
    checkpoint: Checkpoint = "best",
    skip_bad: SkipBad = False,
    sub_folders: SubFolders = False,
    invert: Invert = False,
    as_json: AsJson = False,
) -> None:
    """Write all that a model infers about a data file or pictures as one table.

    Counts, posterior, boxes, poses, codes, masks, samples, and truth where known. To count pictures
    of your own, with tiles, overlays and label images, use airkit infer. Settings override those of
    the run.
    """
    if run is not None and first is not None:
        images = [first, *(images or [])]
    run = run or first or DEFAULT_RUN
    read = {"skip_bad": skip_bad, "sub_folders": sub_folders, "invert": invert}
    given: dict[str, Any] = {**read, "data": data, "samples": samples, "rows": rows}
    given |= {"images": images or None, "checkpoint": checkpoint, "settings": settings}
    with listening() as listener:
        written = airkit.write_predictions(out, run, **given, listener=listener)
    output.show(written, as_json, _tell)
    output.check_all_read([*written.bad], f"{written.pictures:,} others are in the file")


def _tell(written: Written) -> None:
    rows = [("predictions", str(written.path)), ("pictures", f"{written.pictures:,}")]
    rows += [("size", size(written.bytes)), ("time", duration(written.seconds))]
    output.tell_rows(rows)
