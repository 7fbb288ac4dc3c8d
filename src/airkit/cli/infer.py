"""``airkit infer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, Checkpoint, Layers, Run, SkipBad, option
from airkit.cli.output import check_all_read, tell_json
from airkit.cli.progress import listening

Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...", help="Folders, pictures, .npy, .npz, FILE.h5:/PATH or COCO .json."
    ),
]


SubFolders = Annotated[
    bool, typer.Option("--sub-folders", help="Also read folders inside, one level down.")
]
Invert = Annotated[
    bool, typer.Option("--invert", help="Ink is dark on bright: invert the grey levels.")
]


def infer(  # noqa: PLR0913 - an option each
    settings: Layers,
    images: Images,
    run: Run = DEFAULT_RUN,
    checkpoint: Checkpoint = "best",
    overlay: Annotated[
        Path | None, option("DIR", "A folder for a picture of each image and its objects.")
    ] = None,
    *,
    csv: Annotated[Path | None, option("FILE", "A table to write, with a row per image.")] = None,
    objects: Annotated[
        Path | None, option("FILE", "A table to write, with a row per object.")
    ] = None,
    labels: Annotated[
        Path | None, option("DIR", "A folder for a label image of each image.")
    ] = None,
    rois: Annotated[
        Path | None, option("DIR", "A folder for ImageJ's ROIs of each image, or one .zip.")
    ] = None,
    shapes: Annotated[
        Path | None, option("DIR", "A folder for napari's shapes of each image, or one .csv.")
    ] = None,
    tile: Annotated[
        int | None,
        option("PIXELS", "Cut larger images into overlapping tiles of this side.", min=8),
    ] = None,
    exclude_edges: Annotated[
        bool, typer.Option("--exclude-edges", help="Leave out objects that touch the border.")
    ] = False,
    skip_bad: SkipBad = False,
    sub_folders: SubFolders = False,
    invert: Invert = False,
) -> None:
    """Count and locate the objects in your own images: one JSON line each.

    Its interval (in the table: least, greatest) is the range of counts that has 95 % of the
    model's probability. airkit eval says how far that can be relied on, where counts are known.

    For a run on digits, ink is bright on dark. Settings override those of the run. For a data file,
    or for posteriors, codes, masks and samples as arrays, use airkit predict.
    """
    files = {"overlay": overlay, "csv": csv, "objects": objects, "labels": labels}
    files |= {"rois": rois, "shapes": shapes}
    read = {"invert": invert, "skip_bad": skip_bad, "sub_folders": sub_folders}
    how = {"tile": tile, "exclude_edges": exclude_edges}
    given: dict[str, Any] = {**files, **read, **how, "checkpoint": checkpoint}
    with listening() as listener:
        found = airkit.infer(images, run, **given, settings=settings, listener=listener)
    for each in found:
        tell_json(each, one_line=True)
    check_all_read([*found.bad], f"{len(found):,} other images were counted")
