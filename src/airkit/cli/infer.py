"""``airkit infer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, Checkpoint, Layers, Run, option
from airkit.cli.output import tell_json
from airkit.cli.progress import listening

Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGES...", help="PNG files, or .npy images or stacks.")
]


def infer(
    settings: Layers,
    images: Images,
    run: Run = DEFAULT_RUN,
    checkpoint: Checkpoint = "best",
    overlay: Annotated[Path | None, option("DIR", "A folder for a picture of each image.")] = None,
    *,
    invert: Annotated[
        bool, typer.Option("--invert", help="Ink is dark on bright: invert the grey levels.")
    ] = False,
) -> None:
    """Count and locate the digits of your own images: one JSON line each.

    Ink is bright on dark. Settings override those of the run.
    """
    with listening() as listener:
        found = airkit.infer(
            images,
            run,
            checkpoint=checkpoint,
            overlay=overlay,
            invert=invert,
            settings=settings,
            listener=listener,
        )
    for each in found:
        tell_json(each, one_line=True)
