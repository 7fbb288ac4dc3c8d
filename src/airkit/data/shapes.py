"""Shapes of drawn objects: how much of each pixel a square, ellipse, heart or cell covers.

Every operation on floats here is exactly rounded (``+ - * /``, square root), and sine and cosine
come from a table of rounded values, so that every machine computes the same bytes.

Shapes: K objects, s side of a patch in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airkit.data.raster import Bytes, Floats, Ints

SPRITES = ("square", "ellipse", "heart")
"""Shapes of sprites, each at the place that is its label."""
FULL = 240
"""Cover of a pixel that lies wholly inside an object."""
SUB = 4
"""Sub-pixels along the side of a pixel, for the cover of sprites."""
TURNS = 1024
"""Directions that an object can point in."""
_EDGE = 3.6  # px over which a cell fades out, as a Gaussian blur of sd 0.8 px does
_STEP = 2**22  # sub-pixels computed together


@dataclass(frozen=True)
class Outlines:
    """Outlines of objects, arrays of one shape each.

    Attributes:
        kind: place in ``SPRITES``; meaningless for cells.
        x, y: centre, in pixels from the upper left corner of the object's patch.
        radius: of the circle around the object, in pixels.
        turn: direction, 0 to ``TURNS`` - 1.
        ratio: short semi-axis of a cell over its long one.
    """

    kind: Ints
    x: Floats
    y: Floats
    radius: Floats
    turn: Ints
    ratio: Floats

    def __getitem__(self, index: Any) -> Outlines:
        """Outlines at some places of the arrays."""
        return Outlines(**{name: array[index] for name, array in vars(self).items()})


@cache
def directions() -> tuple[Floats, Floats]:
    """Cosine and sine of each direction, in multiples of 2^-20: f64 [TURNS]."""
    angles = 2 * np.pi / TURNS * np.arange(TURNS)
    return np.rint(np.cos(angles) * 2**20) / 2**20, np.rint(np.sin(angles) * 2**20) / 2**20


def sprite_covers(outlines: Outlines, side: int) -> Bytes:
    """How much of each pixel sprites cover, 0 to ``FULL``: u8 [K, s, s].

    Args:
        outlines: sprites [K].
        side: s, in pixels.
    """
    covers = np.empty((len(outlines.x), side, side), np.uint8)
    step = max(1, _STEP // (side * SUB) ** 2)
    for kind, inside in enumerate((_in_square, _in_ellipse, _in_heart)):
        which = np.flatnonzero(outlines.kind == kind)
        for low in range(0, len(which), step):
            part = which[low : low + step]
            hits = inside(*_local(outlines[part], side, SUB))
            parts = hits.reshape(len(part), side, SUB, side, SUB).view(np.uint8)
            covers[part] = parts.sum((2, 4), dtype=np.uint8) * (FULL // SUB**2)
    return covers


def cell_covers(outlines: Outlines, side: int) -> Bytes:
    """How strongly each pixel of cells shines, 0 to ``FULL``, their edges soft: u8 [K, s, s]."""
    covers = np.empty((len(outlines.x), side, side), np.uint8)
    step = max(1, _STEP // side**2)
    for low in range(0, len(covers), step):
        part = outlines[low : low + step]
        along, across = _local(part, side, 1)
        across /= part.ratio[:, None, None]
        inwards = (1 - np.sqrt(along * along + across * across)) * part.radius[:, None, None]
        ramp = np.clip(inwards / _EDGE + 0.5, 0, 1)
        covers[low : low + step] = ramp * ramp * (3 - 2 * ramp) * FULL + 0.5
    return covers


def _local(outlines: Outlines, side: int, sub: int) -> tuple[Floats, Floats]:
    """Coordinates of sub-pixels along and across objects, in radii: f64 [K, s sub, s sub] each."""
    grid = (np.arange(side * sub) + 0.5) / sub
    x, y = grid - outlines.x[:, None], grid - outlines.y[:, None]
    cosines, sines = (table[outlines.turn] / outlines.radius for table in directions())
    cosines, sines = cosines[:, None], sines[:, None]
    along = (x * cosines)[:, None, :] + (y * sines)[:, :, None]
    across = (y * cosines)[:, :, None] - (x * sines)[:, None, :]
    return along, across


def _in_square(x: Floats, y: Floats) -> NDArray[np.bool_]:
    half = 0.7071  # its corners are on the circle
    return (np.abs(x) < half) & (np.abs(y) < half)


def _in_ellipse(x: Floats, y: Floats) -> NDArray[np.bool_]:
    y = y / 0.6
    return np.asarray(x * x + y * y < 1)


def _in_heart(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Inside (x^2 + y^2 - 1)^3 = x^2 y^3, shrunk into the circle and with its tip below."""
    x, y = x * 1.3, 0.2 - y * 1.3
    square = x * x
    height = y * y
    disc = square + height - 1
    return np.asarray(disc * disc * disc < square * height * y)
