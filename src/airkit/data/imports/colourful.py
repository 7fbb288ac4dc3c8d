"""Whether the colours of pictures are to be kept."""

from __future__ import annotations

from itertools import islice

import numpy as np

from airkit.data.imports.levels import Array, blocks
from airkit.data.imports.pictures import Bad, Pictures, Reading
from airkit.errors import ImageError
from airkit.system.text import argument

CHOICES = ("auto", "rgb", "grey")
SAMPLE = 64
"""Pictures that are looked at."""
_DIFFER = 0.1
"""Least difference of two channels in a colour, as a share of the brightest level."""
_SHARE = 0.002
"""Least share of pixels in colour in colourful pictures; compression makes fewer."""


def keeps_colour(color: str, reading: Reading, pictures: Pictures) -> bool:
    """Return whether pictures are to be read in colour.

    Args:
        color: auto, if the first of them are colourful; rgb, always; grey, never.
        reading: how they are read; a channel other than grey is taken alone.
        pictures: those to train on.

    Raises:
        ImageError: there is no such choice.
    """
    if color not in CHOICES:
        raise ImageError(
            "Colour cannot be treated so",
            where=argument("color"),
            expected=" or ".join(CHOICES),
            got=color,
            hint=argument("color", "auto"),
        )
    if color != "auto" or reading.channel != "grey":
        return color == "rgb" and reading.channel == "grey"
    reading.colour = True
    with reading.unnoticed():
        shares = [_share(picture.levels) for picture in islice(pictures.walk(Bad(True)), SAMPLE)]
    reading.colour = False
    return bool(shares) and float(np.mean(shares)) > _SHARE


def _share(levels: Array) -> float:
    """Share of the pixels [H, W, 3] that are in colour."""
    least = _DIFFER * max(float(levels.max()), 1e-9)
    with np.errstate(invalid="ignore"):  # infinite levels are refused when they are checked
        found = [np.count_nonzero(np.ptp(block, axis=2) > least) for block in blocks(levels)]
    return sum(found) / levels[..., 0].size
