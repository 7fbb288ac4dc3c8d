"""``airkit infer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import Checkpoint, Given, Run, configured
from airkit.cli.output import tell_json_line
from airkit.cli.progress import listening

Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGES...", help="PNG files, or .npy images or stacks.")
]


@configured("infer", preset=False)
def infer(
    given: Given,
    images: Images,
    run: Run = Path("runs/air"),
    checkpoint: Checkpoint = "best",
    overlay: Annotated[
        Path | None,
        typer.Option("--overlay", metavar="DIR", help="A folder for a picture of each image."),
    ] = None,
    *,
    invert: Annotated[
        bool, typer.Option("--invert", help="Ink is dark on bright: flip the grey levels.")
    ] = False,
) -> None:
    """Count and locate the digits of your own images: one JSON line each.

    Ink is bright on dark. Settings are laid over those of the run.
    """
    with listening() as listener:
        found = airkit.infer(
            images,
            run,
            checkpoint=checkpoint,
            overlay=overlay,
            invert=invert,
            settings=given.layers(),
            listener=listener,
        )
    for each in found:
        tell_json_line(each.to_dict())
