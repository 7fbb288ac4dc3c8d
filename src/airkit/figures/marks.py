"""What a page holds, pictures, frames, tags and text, and the colours and sizes of them all.

Lengths are pixels of a page at a zoom of 1, from its upper left corner.

Legend: H height and W width of a canvas, S longer side of a tile (a canvas as drawn).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[int, int, int]
"""Red, green and blue in 0..255."""

SLOTS: tuple[Colour, ...] = (
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (0, 158, 115),  # green
    (204, 121, 167),  # purple
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
)
"""Frames of inferred objects by slot, repeated where there are more slots: colours that eyes of all
kinds tell apart (Okabe and Ito 2008), those that stand out on white and on black first."""
TRUTH: Colour = (125, 125, 135)
"""Frames of true objects, to be seen on white and on black."""
INK: Colour = (25, 25, 30)
"""Main text."""
BAD: Colour = (179, 38, 30)
"""Text on what is wrong."""
FAINT: Colour = (95, 95, 105)
"""Explanatory text."""
EDGE: Colour = (205, 205, 212)
"""Outlines of canvases."""

MARGIN = 14
GAP = 10
LINE = 16
"""Height of a line of small text."""
SMALL = 11
"""Font size of small text."""
TITLE = 15
"""Font size of the title."""
TAG = 9
"""Side of the tag that numbers a frame."""


def drawn(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return height and width of a canvas [H, W, ...] as drawn, its longer side being ``side``."""
    height, width = (max(1, round(side * each / max(shape[:2]))) for each in shape[:2])
    return height, width


def slot_colour(slot: int) -> Colour:
    """Return the colour of slot 0, 1, 2 ...: blue, vermilion, green, and so on."""
    return SLOTS[slot % len(SLOTS)]


def contrasting(colour: Colour) -> Colour:
    """Return black or white, whichever is the easier to read on a colour."""
    linear = (np.array(colour) / 255) ** 2.2
    return (0, 0, 0) if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else (255, 255, 255)


@dataclass(frozen=True)
class Text:
    """Text at ``x``, its middle at ``y``, in pixels from the upper left corner of the page."""

    x: float
    y: float
    words: str
    size: int = SMALL
    colour: Colour = INK
    bold: bool = False
    align: Literal["left", "center", "right"] = "center"


@dataclass(frozen=True)
class Raster:
    """A canvas, window or map, enlarged until its longer side is ``side``."""

    left: float
    top: float
    side: int
    """S."""
    pixels: np.ndarray
    """uint8 [H, W, 1 or 3]."""
    kind: Literal["ink", "colour", "heat"] = "ink"
    fade: float = 0.0
    """Share to take away, towards white."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width as drawn."""
        return drawn(self.pixels.shape, self.side)


@dataclass(frozen=True)
class Frame:
    """A frame two pixels thick just outside ``left``..``right``, ``top``..``bottom``."""

    left: float
    top: float
    right: float
    bottom: float
    colour: Colour


@dataclass(frozen=True)
class Tag:
    """A small filled square, with a number or nothing in it."""

    left: float
    top: float
    words: str
    colour: Colour

    @property
    def text(self) -> Text:
        """What is in it."""
        middle = self.left + TAG / 2, self.top + TAG / 2
        return Text(*middle, self.words, TAG - 1, contrasting(self.colour), bold=True)


Mark = Raster | Frame | Tag


def hexadecimal(colour: Colour) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
