"""A page of pixels: canvases enlarged without blur, frames on whole pixels, and words.

Canvases and frames are set into an array pixel by pixel, so that nothing is resampled;
matplotlib writes the words over it, and the PNG. At 72 dots per inch a point is a pixel, so
that every length here is in pixels of the picture.

Legend: H side of a canvas, S side of a tile (a canvas as drawn).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from airkit.errors import OutputError

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]
Bounds = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the picture, the last two excluded."""

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
"""Frames of inferred objects by slot; the colours begin anew where there are more slots."""
TRUTH: Colour = (95, 95, 115)
"""Frames of true objects."""
INK: Colour = (25, 25, 30)
"""Words that matter."""
FAINT: Colour = (105, 105, 115)
"""Words that explain."""
EDGE: Colour = (205, 205, 212)
"""Edges of canvases."""

MARGIN = 14
GAP = 10
LINE = 16
"""Height of a line of small words."""
SMALL = 11
"""Size of small words."""
TITLE = 15
"""Size of the title."""

_FRAME = 3  # pixels by which frames and edges stand out
_HEAT = colormaps["hot_r"]
_NARROWEST = 360  # a title in fewer pixels would be broken too often
DPI = 72
_MOST_PIXELS = 2**26
_LONGEST = 2**15


def slot_colour(slot: int) -> Colour:
    """The colour of slot 0, 1, 2 ...: red, green, blue, and on."""
    return SLOTS[slot % len(SLOTS)]


@dataclass(frozen=True)
class Text:
    """Words at a place: ``x``, and the ``y`` of their middle, from the page's upper left."""

    x: float
    y: float
    words: str
    size: int = SMALL
    colour: Colour = INK
    bold: bool = False
    align: Literal["left", "center", "right"] = "center"


class Page:
    """A white page of pixels and the words on it.

    Raises:
        OutputError: it would be too large to draw.
    """

    def __init__(self, width: int, height: int) -> None:
        if max(width, height) > _LONGEST or width * height > _MOST_PIXELS:
            raise OutputError(
                "The picture would be too large",
                expected=f"at most {_LONGEST:,} pixels a side and {_MOST_PIXELS:,} in all",
                got=f"{width:,} x {height:,} pixels",
                hint="lower render.scale, render.rows or render.columns",
            )
        self.width, self.height = width, height
        self.texts: list[Text] = []
        self.notes: list[str] = []
        self.cells: list[Bounds] = []
        """Where the cells of a grid are."""
        self.pixels: NDArray[np.uint8] = np.full((height, width, 3), 255, np.uint8)

    def part(self, bounds: Bounds) -> Page:
        """What is within bounds, as a page of its own: pixels, and the words centred there."""
        left, top, right, bottom = bounds
        part = Page(right - left, bottom - top)
        part.pixels[:] = self.pixels[top:bottom, left:right]
        part.texts = [
            replace(text, x=text.x - left, y=text.y - top)
            for text in self.texts
            if left <= text.x < right and top <= text.y < bottom
        ]
        return part

    def tile(self, ink: Array, left: int, top: int, side: int, *, fade: float = 0.0) -> Tile:
        """Draw a canvas or window [H, H], ink in 0..1, dark on white, as ``side`` pixels.

        ``fade`` takes that share of the ink away.
        """
        grey = np.rint(255 * (1 - (1 - fade) * ink.clip(0, 1))).astype(np.uint8)
        return self._enlarged(grey[:, :, None], left, top, side)

    def heat(self, heat: Array, left: int, top: int, side: int) -> Tile:
        """Draw a map of heat [S, S] in 0..1, from white over red to black, as ``side`` pixels."""
        return self._enlarged(_HEAT(heat, bytes=True)[:, :, :3], left, top, side)

    def _enlarged(self, pixels: Array, left: int, top: int, side: int) -> Tile:
        """Draw pixels [S, S, 1] or [S, S, 3] as ``side`` of them, each the nearest, in an edge."""
        self._rectangle(left - 1, top - 1, left + side + 1, top + side + 1, EDGE)
        nearest = ((np.arange(side) + 0.5) * len(pixels) / side).astype(int)
        self.pixels[top : top + side, left : left + side] = pixels[nearest][:, nearest]
        return Tile(self, left, top, side, side / len(pixels))

    def frame(self, left: int, top: int, right: int, bottom: int, *, colour: Colour) -> None:
        """Draw a frame two pixels thick around pixels left..right, top..bottom (ends excluded)."""
        self._rectangle(left - 2, top - 2, right + 2, top, colour)
        self._rectangle(left - 2, bottom, right + 2, bottom + 2, colour)
        self._rectangle(left - 2, top, left, bottom, colour)
        self._rectangle(right, top, right + 2, bottom, colour)

    def _rectangle(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        self.pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = colour

    def figure(self) -> Figure:
        """The page as a figure of exactly its pixels."""
        figure = blank_figure(self.width, self.height)
        figure.figimage(self.pixels, origin="upper")
        for text in self.texts:
            figure.text(
                text.x,
                self.height - text.y,
                text.words,
                transform=IdentityTransform(),
                fontsize=text.size,
                color=fraction(text.colour),
                fontweight="bold" if text.bold else "normal",
                horizontalalignment=text.align,
                verticalalignment="center_baseline",
            )
        return figure

    def png(self, **texts: str) -> bytes:
        """The page as the bytes of a PNG, whatever a user's matplotlibrc says.

        ``texts`` are written into the file, beside the picture.
        """
        buffer = BytesIO()
        with style.context("default"):
            self.figure().savefig(buffer, format="png", dpi=DPI, metadata=texts)
        return buffer.getvalue()


@dataclass(frozen=True)
class Tile:
    """A canvas drawn on a page, ``scale`` pixels to each of its own."""

    page: Page
    left: int
    top: int
    side: int
    scale: float

    def box(self, box: Iterable[float], colour: Colour) -> None:
        """Draw a box (x, y, width, height), in pixels of the canvas, just outside its ink."""
        x, y, width, height = box
        self.page.frame(
            self.left + round(x * self.scale),
            self.top + round(y * self.scale),
            self.left + round((x + width) * self.scale),
            self.top + round((y + height) * self.scale),
            colour=colour,
        )

    def boxes(self, boxes: Array, colours: Iterable[Colour]) -> None:
        """Draw boxes [N, 4], the first on top, in N colours or more."""
        for box, colour in reversed(list(zip(boxes, colours, strict=False))):
            self.box(box, colour)

    def caption(self, words: str, *, line: int = 0, **look: Any) -> None:
        """Write words over the middle of the tile, or under it on line 1, 2 ..."""
        above = self.top - LINE / 2 - 1
        below = self.top + self.side + LINE * (line - 0.5) + 1
        middle = self.left + self.side / 2
        self.page.texts.append(Text(middle, below if line else above, words, **look))


@dataclass(frozen=True)
class Grid:
    """Equal cells under a title: where each begins, and the page to draw them on."""

    page: Page
    top: int
    left: int
    cell: tuple[int, int]
    columns: int

    def corner(self, index: int) -> tuple[int, int]:
        """Left and top of cell ``index``, row after row."""
        row, column = divmod(index, self.columns)
        width, height = self.cell
        return self.left + column * (width + GAP), self.top + row * (height + GAP)

    def bounds(self, index: int) -> Bounds:
        """Where cell ``index`` is, with the frames that stand out of it."""
        (left, top), (width, height) = self.corner(index), self.cell
        return left - _FRAME, top, left + width + _FRAME, top + height + _FRAME


def grid(title: str, notes: list[str], cells: int, columns: int, cell: tuple[int, int]) -> Grid:
    """Lay out a page for ``cells`` cells of (width, height) pixels under a title and notes.

    Raises:
        OutputError: the page would be too large to draw.
    """
    columns = max(1, min(columns, cells))
    rows = -(-cells // columns)
    body = columns * (cell[0] + GAP) - GAP
    width = max(_NARROWEST, body + 2 * MARGIN)
    heading = _heading(title, notes, width - 2 * MARGIN)
    top = MARGIN + round(sum(text.size * 1.6 for text in heading)) + 6
    page = Page(width, top + rows * (cell[1] + GAP) - GAP + MARGIN)
    y = float(MARGIN)
    for text in heading:
        middle = y + text.size * 0.7
        page.texts.append(
            Text(MARGIN, middle, text.words, text.size, text.colour, text.bold, "left")
        )
        y += text.size * 1.6
    layout = Grid(page, top, MARGIN, cell, columns)
    page.notes, page.cells = notes, [layout.bounds(index) for index in range(cells)]
    return layout


def _heading(title: str, notes: list[str], width: int) -> list[Text]:
    """The lines of a title and its notes, broken to ``width`` pixels."""
    lines = [Text(0, 0, line, TITLE, bold=True) for line in _broken(title, width, TITLE * 0.68)]
    for note in notes:
        lines += [Text(0, 0, line, colour=FAINT) for line in _broken(note, width, SMALL * 0.56)]
    return lines


def _broken(words: str, width: int, character: float) -> list[str]:
    return textwrap.wrap(words, max(10, int(width / character)))


def blank_figure(width: int, height: int) -> Figure:
    """A white figure of ``width`` by ``height`` pixels, a point being a pixel."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def fraction(colour: Colour) -> tuple[float, float, float]:
    """A colour as matplotlib has it, each channel in 0..1."""
    red, green, blue = (channel / 255 for channel in colour)
    return red, green, blue
