"""What ``airkit import`` says of what became of the pictures, where that is not plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from airkit.config.schema import Config
from airkit.data.imports.configuration import ImportOptions
from airkit.data.imports.survey import Survey
from airkit.data.look.findings import Findings
from airkit.data.look.fixed import told, way_out
from airkit.system.text import argument, numbered

LARGE, SMALL = 24, 14
"""Side of objects in pixels above which training is slow, and one that is fine."""
CROWDED = 3
"""Factor of a true count over what is seen on pictures above which it may be a mistake."""
NOTES = {
    "colour": "{n} {picture|pictures} in colour became grey; {rgb} keeps it, {channel} chooses how",
    "transparency": "{n} {picture is|pictures are} transparent in part; {behind} says what is "
    "behind",
    "turn": "{n} {picture was turned as its|pictures were turned as their} EXIF says",
    "companions": "{n} {file whose name ends|files whose names end} in _mask, _overlay and the "
    "like {was|were} passed over",
    "heic": "{n} {photo|photos} in HEIC {was|were} passed over: convert {it|them} to JPEG",
    "no pictures": "{n} {file that is no picture was|files that are no pictures were} passed over",
    "folders": "{n} {folder|folders} inside {was|were} passed over",
    "pickled": "{n} pickled {array was|arrays were} passed over: {it|they} could run code",
    "unfit": "{n} {array|arrays} called counts, boxes, labels or masks {is|are} of other shapes: "
    "passed over",
    "background": "{n} {picture has|pictures have} a mask in each pixel; the first was taken for "
    "the background",
    "no annotations": "{n} {picture|pictures} of a COCO file without annotations: no count is "
    "known",
    "boxes left out": "{n} {annotation|annotations} without an extent, or of crowds, {was|were} "
    "left out, from true counts too",
    "segmentations": "{n} {segmentation was|segmentations were} not read, as other objects have "
    "none",
    "unlisted": "{n} {annotation|annotations} of pictures that are not listed {was|were} passed "
    "over",
    "swapped": "{n} {picture has|pictures have} width and height swapped in the COCO file, as "
    "before a turn by EXIF; boxes are taken for those of the picture as it is seen",
}
"""What was noticed of the pictures, in words for ``numbered``."""


def notes(noticed: Counter[str], survey: Survey, config: Config) -> Iterator[str]:
    """Yield what is to be told of the pictures, a sentence each.

    Args:
        noticed: how many pictures, files and annotations had something of note.
        survey: of the pictures.
        config: the settings that the data file records.
    """
    pictures, shape = config.pictures, config.data.shape
    names = {"rgb": argument("color", "rgb")}
    names |= {name: argument(name) for name in ("channel", "behind")}
    for name, words in NOTES.items():
        if noticed[name]:
            yield numbered(words, noticed[name], **names)
    yield from _of_sizes(config)
    if survey.levels.kind != np.uint8 or (pictures.low, pictures.high) != (0, 255):
        yield (
            f"grey levels {pictures.low:g} to {pictures.high:g} became black to white (found: "
            f"{survey.levels.least:g} to {survey.levels.greatest:g})"
        )
    if survey.side is not None:
        yield from _of_tiles(survey, shape)
    elif any(size != shape for size in survey.sizes):
        to = f"{shape[1]} x {shape[0]} px"
        yield f"padded on the right and below by the median of their border, to {to}"
    for split, many in survey.dropped.items():
        words = "{n} {split} {picture|pictures} left out, which a held-out split has too"
        yield numbered(words, many, split=split)
    held = [split for split in ("val", "test") if not survey.canvases[split]]
    if held:
        yield f"too few pictures for {' and '.join(held)}"


def _of_sizes(config: Config) -> Iterator[str]:
    pictures = config.pictures
    if any(pictures.crop):
        left, top, right, bottom = pictures.crop
        yield f"cut off: {left} px at the left, {top} above, {right} at the right, {bottom} below"
    if pictures.scale != 1:
        yield f"resized by {pictures.scale:g}: sizes named and told are those after it"
    if LARGE < (size := config.object_size) < 0.6 * max(config.data.shape):
        smaller = argument("scale", float(f"{pictures.scale * SMALL / size:.1g}"))
        yield f"objects of about {size:.0f} px make the training slow: {smaller} makes them smaller"


def doubts(
    found: Findings, survey: Survey, config: Config, options: ImportOptions
) -> Iterator[str]:
    """Yield what may go wrong, a sentence each; not of a size or a count that was named."""
    if survey.most > CROWDED * found.most_objects and options.most_objects is None:
        yield (
            f"the greatest true count is {survey.most}, but at most {found.most_objects} objects "
            f"are seen on a picture: is it right? A model of {survey.most} objects is slower"
        )
    if found.fixed:
        yield f"{told(found.fixed)}: {way_out(found.fixed, config)}"
    for doubt in found.doubts:
        if all(getattr(options, name) is None for name in doubt.settled_by):
            yield doubt.text


def _of_tiles(survey: Survey, shape: tuple[int, int]) -> Iterator[str]:
    tiles = f"tiles of {shape[1]} x {shape[0]} px"
    if survey.pictures == survey.canvases.total():
        none = f"{argument('tile', survey.side)} cut none"
        yield f"no picture or region is larger than {tiles}: {none}"
        return
    yield f"pictures cut into {tiles}, the last in a row moved back to the edge"
    if survey.uncounted:
        yield numbered(
            "{n} true {count is of a whole picture|counts are of whole pictures}, which says "
            "nothing of tiles: left out; airkit infer --tile counts whole pictures, to compare",
            survey.uncounted,
        )
    if survey.divided:
        yield numbered(
            "{n} {object is|objects are} cut by borders of tiles; each counts on the tiles "
            "with a quarter of its box, which ends at their border",
            survey.divided,
        )
