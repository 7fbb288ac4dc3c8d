"""``airkit import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import airkit
from airkit.cli.options import AsJson, Layers, SkipBad, option
from airkit.cli.output import check_all_read, show, tell_rows
from airkit.cli.progress import listening
from airkit.errors import AirkitError
from airkit.system.text import duration, size

if TYPE_CHECKING:
    from airkit.data.imports.importing import ImportReport

_PICTURES = "A folder, a picture, .npy, .npz, FILE.h5:/PATH or a COCO .json"


def import_scenes(  # noqa: PLR0913 - an option each
    settings: Layers,
    train: Annotated[
        Path, typer.Argument(metavar="PATH", help=f"Pictures to train on. {_PICTURES}.")
    ],
    val: Annotated[Path | None, option("PATH", "Pictures to validate on.")] = None,
    test: Annotated[Path | None, option("PATH", "Pictures to measure on.")] = None,
    *,
    out: Annotated[str, option("FILE", "The data file to write.")] = "pictures.h5",
    most_objects: Annotated[
        int | None, option("N", "Most objects to expect on a picture. [default: measured]", min=1)
    ] = None,
    object_size: Annotated[
        float | None, option("PIXELS", "Typical side of an object. [default: measured]", min=4)
    ] = None,
    counts: Annotated[
        Path | None,
        option("FILE", "True counts: a CSV file of file names, pages if any, and counts."),
    ] = None,
    tile: Annotated[
        int | None,
        option("PIXELS", "Cut pictures into tiles of this side; those of a picture share a split."),
    ] = None,
    pad: Annotated[
        bool, typer.Option("--pad", help="Pad pictures of several sizes to the largest.")
    ] = False,
    crop: Annotated[
        str,
        option("LEFT,TOP,RIGHT,BOTTOM", "Pixels to cut off at the edges first, such as 0,0,0,60."),
    ] = "0,0,0,0",
    scale: Annotated[
        float, option("FACTOR", "Resize pictures first, so that objects have about 14 px.")
    ] = 1.0,
    levels: Annotated[
        str | None,
        option("LOW,HIGH", "Grey levels that become black and white. [default: measured]"),
    ] = None,
    channel: Annotated[
        str,
        option("grey|red|green|blue", "What replaces colour that is not kept; grey is luminance."),
    ] = "grey",
    color: Annotated[
        str, option("auto|rgb|grey", "Keep colours if pictures are colourful, always, or never.")
    ] = "auto",
    behind: Annotated[
        float, option("GREY", "Grey behind transparent pixels: 0 is black, 1 white.", min=0, max=1)
    ] = 0.0,
    skip_bad: SkipBad = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write pictures of your own to a data file, to train and evaluate on.

    Without --val or --test, a tenth of the pictures takes its place. True counts are optional.
    """
    what: dict[str, Any] = {"val": val, "test": test, "counts": counts, "path": out}
    objects = {"most_objects": most_objects, "object_size": object_size, "tile": tile, "pad": pad}
    how = {"channel": channel, "color": color, "behind": behind, "skip_bad": skip_bad}
    how |= {"force": force, "crop": _edges(crop), "scale": scale}
    given = {**what, **objects, **how, "settings": settings, "levels": _limits(levels)}
    with listening() as listener:
        report = airkit.import_scenes(train, **given, listener=listener)
    show(report, as_json, _tell)
    check_all_read(report.skipped, f"{report.path} holds the others")


def _edges(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    try:
        return tuple(int(edge) for edge in text.split(","))
    except ValueError as error:
        raise AirkitError(
            "Cannot read the edges",
            where="--crop",
            expected="four whole numbers, left, top, right and bottom, such as 0,0,0,60",
            got=text,
            hint="leave it out to keep whole pictures",
        ) from error


def _limits(text: str | None) -> tuple[float, float] | None:
    """Two numbers; None where there is no text."""
    if text is None:
        return None
    low, _, high = text.partition(",")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise AirkitError(
            "Cannot read the grey levels",
            where="--levels",
            expected="two numbers, black and white, such as 0,4095",
            got=text,
            hint="leave it out, and they are measured",
        ) from error


def _tell(report: ImportReport) -> None:
    known = {split: ", ".join(names) or "nothing" for split, names in report.truth.items()}
    same = len(set(known.values())) == 1
    truth = known["train"] if same else ", ".join(f"{it} {known[it]}" for it in known)
    colour = ", in colour" if report.channels == 3 else ""
    side = f"{report.width} x {report.height} px{colour}"
    splits = ", ".join(f"{many:,} {split}" for split, many in report.splits.items())
    tell_rows(
        [
            ("file", f"{report.path} ({size(report.bytes)})"),
            ("canvases", f"{splits}; {side}"),
            ("known of them", truth),
            ("grey levels", f"{report.low:g} is black, {report.high:g} white"),
            ("objects", f"at most {report.most_objects}, about {report.object_size:.3g} px"),
            *(("seen", line) for line in report.seen),
            ("digest", report.content_digest),
            ("time", duration(report.seconds)),
        ]
    )
