"""Pages of pixels: canvases enlarged without blur, frames on whole pixels, and text.

Canvases and frames are written into an array pixel by pixel, so that nothing is resampled.
Matplotlib writes the text over it and encodes the PNG. At 72 dots per inch a point is a pixel,
so that all lengths here are pixels of the picture.

Legend: H height and W width of a canvas, S longer side of a tile (a canvas as drawn), in pixels.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, style
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from airkit.errors import OutputError

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]
"""Red, green and blue in 0..255."""

SLOTS: tuple[Colour, ...] = (
    (222, 28, 30),  # red
    (10, 145, 45),  # green
    (30, 90, 230),  # blue
    (245, 130, 10),  # orange
    (150, 50, 190),  # purple
    (0, 165, 190),  # cyan
    (235, 80, 175),  # pink
    (135, 85, 35),  # brown
)
"""Frames of inferred objects by slot; repeated where there are more slots."""
TRUTH: Colour = (95, 95, 115)
"""Frames of true objects."""
INK: Colour = (25, 25, 30)
"""Main text."""
FAINT: Colour = (105, 105, 115)
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

_FRAME = 3  # pixels by which frames and outlines extend beyond a cell
_HEAT = colormaps["hot_r"]
_MIN_WIDTH = 360  # a narrower title would take too many lines
DPI = 72
_MAX_PIXELS = 2**26
_MAX_SIDE = 2**15


def drawn(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Height and width of a canvas [H, W, ...] on a page, where its longer side is ``side``."""
    height, width = (max(1, round(side * each / max(shape[:2]))) for each in shape[:2])
    return height, width


def slot_colour(slot: int) -> Colour:
    """Return the colour of slot 0, 1, 2 ...: red, green, blue, and so on."""
    return SLOTS[slot % len(SLOTS)]


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


class Page:
    """A white page: an array of pixels, and the text on it.

    Raises:
        OutputError: it would be too large to draw.
    """

    def __init__(self, width: int, height: int) -> None:
        if max(width, height) > _MAX_SIDE or width * height > _MAX_PIXELS:
            raise OutputError(
                "The picture would be too large",
                expected=f"at most {_MAX_SIDE:,} pixels a side and {_MAX_PIXELS:,} in all",
                got=f"{width:,} x {height:,} pixels",
                hint="lower render.scale, render.rows or render.columns",
            )
        self.width, self.height = width, height
        self.texts: list[Text] = []
        self.pixels: NDArray[np.uint8] = np.full((height, width, 3), 255, np.uint8)

    def tile(self, ink: Array, left: int, top: int, side: int, *, fade: float = 0.0) -> Tile:
        """Draw a canvas or window: grey as dark ink on white, colours as they are.

        Args:
            ink: levels in 0..1, [C, H, W].
            left: left edge on the page.
            top: top edge on the page.
            side: S; each pixel of the page shows the nearest one of the canvas.
            fade: share of the ink to take away.
        """
        levels = np.moveaxis(ink.clip(0, 1), 0, 2)
        away = levels if levels.shape[2] == 1 else 1 - levels
        pixels = np.rint(255 * (1 - (1 - fade) * away)).astype(np.uint8)
        return self._enlarge(pixels, left, top, side)

    def heat(self, heat: Array, left: int, top: int, side: int) -> Tile:
        """Draw a heat map [H, W] in 0..1, white to red to black; ``side`` is S."""
        return self._enlarge(_HEAT(heat, bytes=True)[:, :, :3], left, top, side)

    def _enlarge(self, pixels: Array, left: int, top: int, side: int) -> Tile:
        """Draw pixels [H, W, 1 or 3] with an outline; ``side`` is S."""
        height, width = drawn(pixels.shape, side)
        self._fill(left - 1, top - 1, left + width + 1, top + height + 1, EDGE)
        rows, columns = (
            ((np.arange(after) + 0.5) * before / after).astype(int)
            for after, before in zip((height, width), pixels.shape[:2], strict=True)
        )
        self.pixels[top : top + height, left : left + width] = pixels[rows][:, columns]
        return Tile(self, left, top, width, height, side / max(pixels.shape[:2]))

    def frame(self, left: int, top: int, right: int, bottom: int, *, colour: Colour) -> None:
        """Draw a frame two pixels thick around pixels left..right, top..bottom (ends excluded)."""
        self._fill(left - 2, top - 2, right + 2, top, colour)
        self._fill(left - 2, bottom, right + 2, bottom + 2, colour)
        self._fill(left - 2, top, left, bottom, colour)
        self._fill(right, top, right + 2, bottom, colour)

    def _fill(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        self.pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = colour

    def figure(self) -> Figure:
        """Return the page as a figure of the same number of pixels."""
        figure = blank_figure(self.width, self.height)
        figure.figimage(self.pixels, origin="upper")
        for text in self.texts:
            figure.text(
                text.x,
                self.height - text.y,
                text.words,
                transform=IdentityTransform(),
                fontsize=text.size,
                color=hexadecimal(text.colour),
                fontweight="bold" if text.bold else "normal",
                horizontalalignment=text.align,
                verticalalignment="center_baseline",
                parse_math=False,
            )
        return figure

    def rendered(self) -> Array:
        """Return the pixels with the text on them, uint8 [height, width, 4]."""
        buffer = BytesIO()
        with default_style():
            self.figure().savefig(buffer, format="rgba")
        return np.frombuffer(buffer.getvalue(), np.uint8).reshape(self.height, self.width, 4)


@dataclass(frozen=True)
class Tile:
    """A canvas on a page, ``scale`` pixels of the page to each of its own."""

    page: Page
    left: int
    top: int
    width: int
    height: int
    scale: float

    def boxes(self, boxes: Array, colours: Iterable[Colour]) -> None:
        """Draw frames just outside the ink, the first on top.

        Args:
            boxes: (x, y, width, height) in pixels of the canvas, [N, 4].
            colours: N or more.
        """
        for (x, y, width, height), colour in reversed([*zip(boxes, colours, strict=False)]):
            self.page.frame(
                self.left + round(x * self.scale),
                self.top + round(y * self.scale),
                self.left + round((x + width) * self.scale),
                self.top + round((y + height) * self.scale),
                colour=colour,
            )

    def slots(self, boxes: Array) -> None:
        """Draw the boxes [N, 4] of slots 1 to N, each in its colour."""
        self.boxes(boxes, map(slot_colour, range(len(boxes))))

    def caption(self, words: str, *, line: int = 0, **look: Any) -> None:
        """Write text centred above the tile, or below it on line 1, 2 ..."""
        above = self.top - LINE / 2 - 1
        below = self.top + self.height + LINE * (line - 0.5) + 1
        middle = self.left + self.width / 2
        self.page.texts.append(Text(middle, below if line else above, words, **look))


class Sheet(Page):
    """A page of equal cells, row by row, under a title and notes."""

    canvases = 0
    """Canvases shown."""

    def __init__(
        self, title: str, notes: list[str], cells: int, columns: int, cell: tuple[int, int]
    ) -> None:
        """Lay out ``cells`` cells of ``cell`` (width, height) pixels.

        Raises:
            OutputError: the page would be too large to draw.
        """
        self.notes, self.cells, self.cell = notes, cells, cell
        self.columns = max(1, min(columns, cells))
        width = max(_MIN_WIDTH, self.columns * (cell[0] + GAP) - GAP + 2 * MARGIN)
        heading = _heading(title, notes, width - 2 * MARGIN)
        self.top = MARGIN + round(sum(text.size * 1.6 for text in heading)) + 6
        rows = -(-cells // self.columns)
        super().__init__(width, self.top + rows * (cell[1] + GAP) - GAP + MARGIN)
        y = float(MARGIN)
        for text in heading:
            self.texts.append(replace(text, y=y + text.size * 0.7))
            y += text.size * 1.6

    def corner(self, index: int) -> tuple[int, int]:
        """Return left and top of cell ``index``."""
        row, column = divmod(index, self.columns)
        width, height = self.cell
        return MARGIN + column * (width + GAP), self.top + row * (height + GAP)

    def cell_tile(self, index: int, ink: Array, side: int, down: int = LINE, **look: Any) -> Tile:
        """Draw a canvas in the middle of cell ``index``, ``down`` pixels from its top."""
        left, top = self.corner(index)
        return self.tile(ink, left + (self.cell[0] - side) // 2, top + down, side, **look)

    def parts(self, together: int = 1) -> list[bytes]:
        """Return PNGs of ``together`` neighbouring cells each, without title and notes."""
        found, pixels = [], self.rendered()
        for first in range(0, self.cells, together):
            left, top = self.corner(first)
            right, bottom = self.corner(min(first + together, self.cells) - 1)
            rows = slice(top - _FRAME, bottom + self.cell[1] + _FRAME)
            found.append(png(pixels[rows, left - _FRAME : right + self.cell[0] + _FRAME]))
        return found


def _heading(title: str, notes: list[str], width: int) -> list[Text]:
    """Return the lines of a title and its notes, wrapped to ``width`` pixels."""

    def lines(words: str, character: float) -> list[str]:
        return textwrap.wrap(words, max(10, int(width / character)))

    heading = [Text(MARGIN, 0, line, TITLE, bold=True) for line in lines(title, TITLE * 0.68)]
    for note in notes:
        heading += [Text(MARGIN, 0, line, colour=FAINT) for line in lines(note, SMALL * 0.56)]
    return [replace(text, align="left") for text in heading]


def png(pixels: Array, **metadata: str) -> bytes:
    """Return pixels, uint8 [height, width, 4], as PNG; ``metadata`` is stored as text."""
    buffer = BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png", metadata=metadata)
    return buffer.getvalue()


def default_style() -> AbstractContextManager[None]:
    """Return a context in which a user's matplotlibrc has no effect."""
    return style.context("default")


def blank_figure(width: int, height: int) -> Figure:
    """Return a white figure of ``width`` by ``height`` pixels, a point being a pixel."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def hexadecimal(colour: Colour) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
