"""What an import decides: colours before its walks, between them grey levels, sizes, settings.

Shapes: N pictures of H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from airkit.config.schema import Config
from airkit.config.sections import PICTURES
from airkit.config.settings import Layer, resolve
from airkit.data.canvases import SPLITS
from airkit.data.imports.levels import blocks, scaled
from airkit.data.imports.pictures import Array, Bad, Pictures, Reading
from airkit.data.imports.survey import MOST, Survey
from airkit.data.look.findings import Findings, look
from airkit.errors import ImageError
from airkit.system.text import argument

COLORS = ("auto", "rgb", "grey")
_SAMPLE = 64
"""Pictures that are looked at for colour."""
_DIFFER = 0.1
"""Least difference of two channels in a colour, as a share of the brightest level."""
_SHARE = 0.002
"""Least share of pixels in colour in colourful pictures; compression makes fewer."""


def if_blank() -> str:
    """The next step where no picture shows anything."""
    behind = argument("behind", 1)
    return f"name other pictures; or, for black objects on a transparent background, {behind}"


@dataclass(frozen=True)
class ImportOptions:
    """What may be given in place of what is found; see ``import_scenes``."""

    most_objects: int | None
    object_size: float | None
    tile: int | None
    pad: bool
    levels: tuple[float, float] | None

    def __post_init__(self) -> None:
        """Refuse a greatest count below 1, and levels not in order; raises ImageError."""
        if self.most_objects is not None and self.most_objects < 1:
            raise ImageError(
                "There cannot be so few objects",
                where=argument("most_objects"),
                expected="at least 1",
                got=self.most_objects,
                hint="leave it out, and it is measured",
            )
        if self.levels is not None and not _in_order(self.levels):
            raise ImageError(
                "Grey levels cannot be used",
                where=argument("levels"),
                expected="two numbers, black and white, such as 0,4095",
                got=",".join(f"{level:g}" for level in self.levels),
                hint="leave it out, and they are found",
            )


def _in_order(levels: tuple[float, ...]) -> bool:
    """Whether these are two finite levels, the lower first."""
    return len(levels) == 2 and -np.inf < levels[0] < levels[1] < np.inf


def check_alike(survey: Survey, options: ImportOptions) -> None:
    """Refuse grey levels of several types, and pictures of several sizes; raises ImageError."""
    if options.levels is None:
        levels = argument("levels", ("LOW", "HIGH"))
        hint = f"convert them; or {levels}, where their levels mean the same"
        _refuse_several("types", {str(it): name for it, name in survey.kinds.items()}, hint)
    if not (options.pad or options.tile):
        sizes = {f"{width} x {height} px": name for (height, width), name in survey.sizes.items()}
        pad, tile = argument("pad", True), argument("tile", "S")
        hint = f"{pad} pads them to the largest, {tile} cuts them into tiles"
        _refuse_several("sizes", sizes, hint)


def configuration(
    given: Sequence[Layer], survey: Survey, options: ImportOptions, reading: Reading
) -> tuple[Config, Findings]:
    """The settings that the data file records, and what a look at the pictures found.

    Args:
        given: the settings of the call.
        survey: what the first walk found.
        options: the options of the call.
        reading: how the pictures were read.

    Raises:
        ConfigError: the settings are not valid.
        ImageError: a picture has more objects than expected, or all are of one grey level.
    """
    if options.most_objects is not None and survey.most > options.most_objects:
        raise ImageError(
            "There are more objects than expected",
            where=argument("most_objects"),
            expected=f"at least {survey.most}, the greatest true count",
            got=options.most_objects,
            hint=argument("most_objects", survey.most),
        )
    shape = survey.canvas
    _check_object_size(options.object_size, max(shape))
    sizes = list(survey.sizes)
    height, width = sizes[0] if len(sizes) == 1 else (0, 0)
    low, high = _limits(survey) if options.levels is None else options.levels
    found = _look(survey, low, high)
    size = min(found.digit_size, max(shape)) if options.object_size is None else options.object_size
    data = {
        "source": PICTURES,
        "canvas_size": max(shape),
        "height": "auto" if shape[0] == shape[1] else shape[0],
        "width": "auto" if shape[0] == shape[1] else shape[1],
        "channels": survey.planes,
        "min_digits": 0,
        "max_digits": options.most_objects or max(found.most_objects, survey.most),
        "count_weights": (),
        "digit_size": float(size),
        "digit_size_sd": 0.0,
        **{split: survey.canvases[split] for split in SPLITS},
    }
    pictures = found.pictures().model_dump() | {
        "height": int(height),
        "width": int(width),
        "channels": next(iter(survey.channels)) if len(survey.channels) == 1 else 0,
        "channel": reading.channel,
        "behind": reading.behind,
        "crop": reading.crop,
        "scale": reading.scale,
        "low": low,
        "high": high,
    }
    return resolve(*given, Layer("airkit import", {"data": data, "pictures": pictures})), found


def _check_object_size(size: float | None, most: int) -> None:
    """Refuse objects that are larger than the canvases, or too small; raises ImageError."""
    if size is not None and not 4 <= size <= most:
        raise ImageError(
            "Objects cannot have this size",
            where=argument("object_size"),
            expected=f"4 to {most} px, the longer side of a picture or tile",
            got=f"{size:g} px",
            hint="leave it out, and it is measured; it is the side of one object after "
            + argument("scale"),
        )


def _refuse_several(what: str, found: Mapping[str, str], hint: str) -> None:
    """Refuse several sizes or types, each with a picture of it; raises ImageError."""
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        expected = f"{one}, as of {first}"
        raise ImageError(
            f"The pictures have several {what}",
            where=second,
            expected=expected,
            got=other,
            hint=hint,
        )


def _look(survey: Survey, low: float, high: float) -> Findings:
    """What a look at some canvases of ``train``'s source finds, with levels as in the file."""
    some = np.stack([scaled(canvas, low, high) for canvas in survey.sample()])
    found, part, whole = look(some), math.prod(some.shape[1:3]), math.prod(survey.canvas)
    many = math.ceil(found.most_objects * whole / part)
    return replace(found, most_objects=min(MOST, many))


def _limits(survey: Survey) -> tuple[float, float]:
    """Grey levels that become black and white.

    The percentiles 0.1 and 99.9 of all pictures, so that a few bright pixels do not leave all
    else black; least and greatest where those are equal. Pictures of 8 bits that use half
    of their range are left as they are.
    """
    levels = survey.levels
    low, high = levels.percentiles(0.1, 99.9)
    if high <= low:
        low, high = levels.least, levels.greatest
    if levels.kind == np.uint8 and high - low > 127:
        return 0.0, 255.0
    if not high > low:
        raise ImageError(
            "All pictures have the same grey level everywhere",
            where="all pictures",
            expected="pictures that show something",
            got=f"{low:g} everywhere",
            hint=if_blank(),
        )
    return low, high


def keeps_colour(color: str, reading: Reading, pictures: Pictures) -> bool:
    """Return whether pictures are to be read in colour.

    Args:
        color: auto, if the first of them are colourful; rgb, always; grey, never.
        reading: how they are read; a channel other than grey is taken alone.
        pictures: those to train on.

    Raises:
        ImageError: there is no such choice.
    """
    if color not in COLORS:
        raise ImageError(
            "Colour cannot be treated so",
            where=argument("color"),
            expected=" or ".join(COLORS),
            got=color,
            hint=argument("color", "auto"),
        )
    if color != "auto" or reading.channel != "grey":
        return color == "rgb" and reading.channel == "grey"
    reading.colour = True
    with reading.unnoticed():
        shares = [_share(picture.levels) for picture in islice(pictures.walk(Bad(True)), _SAMPLE)]
    reading.colour = False
    return bool(shares) and float(np.mean(shares)) > _SHARE


def _share(levels: Array) -> float:
    """Share of the pixels [H, W, 3] that are in colour."""
    least = _DIFFER * max(float(levels.max()), 1e-9)
    with np.errstate(invalid="ignore"):  # infinite levels are refused when they are checked
        found = [np.count_nonzero(np.ptp(block, axis=2) > least) for block in blocks(levels)]
    return sum(found) / levels[..., 0].size
