"""Pages of pixels: canvases enlarged without blur, frames on whole pixels, and text.

Canvases and frames are written into an array pixel by pixel, so that nothing is resampled.
Matplotlib writes the text over it and encodes the PNG. At 72 dots per inch a point is a pixel.

Legend: H height and W width of a canvas, S longer side of a tile (a canvas as drawn), in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from airkit.errors import OutputError
from airkit.figures.marks import (
    EDGE,
    LINE,
    TAG,
    Colour,
    Frame,
    Mark,
    Picture,
    Tag,
    Text,
    hexadecimal,
    slot_colour,
)

Array = np.ndarray[Any, Any]

HEAT = LinearSegmentedColormap.from_list("looks", ("#ffffff", "#6baed6", "#08306b"))
"""Colours of a map."""
DPI = 72
_LEAST_NUMBERED = 16  # side of a frame that has a tag
_MAX_PIXELS = 2**26
_MAX_SIDE = 2**15


class Page:
    """A white page: pictures, frames and tags, in this order from below, and the text on them.

    Lengths are pixels of a page at a zoom of 1.

    Raises:
        OutputError: it would be too large to draw.
    """

    as_is = False
    """Show grey levels as they are, black being 0, as for pictures of dark objects."""

    def __init__(self, width: int, height: int, zoom: int = 1) -> None:
        if max(width, height) * zoom > _MAX_SIDE or width * height * zoom**2 > _MAX_PIXELS:
            raise OutputError(
                "The picture would be too large",
                expected=f"at most {_MAX_SIDE:,} pixels a side and {_MAX_PIXELS:,} in all",
                got=f"{width * zoom:,} x {height * zoom:,} pixels",
                hint="lower render.scale, render.rows or render.columns",
            )
        self.width, self.height, self.zoom = width, height, zoom
        self.texts: list[Text] = []
        self.marks: list[Mark] = []

    def tile(self, ink: Array, left: float, top: float, side: int, *, fade: float = 0.0) -> Tile:
        """Draw a canvas or window: grey as dark ink on white unless ``as_is``, colours as they are.

        Args:
            ink: levels in 0..1, [C, H, W].
            left: left edge on the page.
            top: top edge on the page.
            side: S; each pixel of the page shows the nearest one of the canvas.
            fade: share of the ink to take away.
        """
        levels = np.moveaxis(ink.clip(0, 1), 0, 2)
        inked = levels.shape[2] == 1 and not self.as_is
        pixels = np.rint(255 * (1 - levels if inked else levels)).astype(np.uint8)
        return self._add(Picture(left, top, side, pixels, "ink" if inked else "colour", fade))

    def heat(self, heat: Array, left: float, top: float, side: int) -> Tile:
        """Draw a heat map [H, W] in 0..1, from white to dark blue; ``side`` is S."""
        return self._add(Picture(left, top, side, HEAT(heat, bytes=True)[:, :, :3], "heat"))

    def _add(self, picture: Picture) -> Tile:
        self.marks.append(picture)
        height, width = picture.shape
        scale = picture.side / max(picture.pixels.shape[:2])
        return Tile(self, picture.left, picture.top, width, height, scale)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The page without its text, uint8 [height, width, 3] times the zoom."""
        sides = self.height * self.zoom, self.width * self.zoom
        raster = Raster(np.full((*sides, 3), 255, np.uint8), self.zoom)
        for mark in self.marks:
            raster.draw(mark)
        return raster.pixels

    def figure(self) -> Figure:
        """Return the page as a figure of the same number of pixels."""
        figure = blank_figure(self.width * self.zoom, self.height * self.zoom)
        figure.figimage(self.pixels, origin="upper")
        tags = [mark.text for mark in self.marks if isinstance(mark, Tag)]
        for text in [*self.texts, *tags]:
            figure.text(
                text.x * self.zoom,
                (self.height - text.y) * self.zoom,
                text.words,
                transform=IdentityTransform(),
                fontsize=text.size * self.zoom,
                color=hexadecimal(text.colour),
                fontweight="bold" if text.bold else "normal",
                horizontalalignment=text.align,
                verticalalignment="center_baseline",
                parse_math=False,
            )
        return figure

    def rendered(self) -> Array:
        """Return the pixels with the text on them, uint8 [height, width, 4] times the zoom."""
        buffer = BytesIO()
        with default_style():
            self.figure().savefig(buffer, format="rgba")
        sides = self.height * self.zoom, self.width * self.zoom
        return np.frombuffer(buffer.getvalue(), np.uint8).reshape(*sides, 4)


@dataclass(frozen=True)
class Raster:
    """Pixels [height, width, 3] to draw on, ``zoom`` of them to each of a page."""

    pixels: NDArray[np.uint8]
    zoom: int

    def draw(self, mark: Mark) -> None:
        """Draw a mark; what is beyond the page is left out."""
        if isinstance(mark, Picture):
            self._enlarge(mark)
        elif isinstance(mark, Frame):
            self._frame(mark)
        else:
            extent = self._at(mark.left, mark.top, mark.left + TAG, mark.top + TAG)
            left, top, right, bottom = (max(0, it) for it in extent)
            self.pixels[top:bottom, left:right] = mark.colour

    def _enlarge(self, picture: Picture) -> None:
        """Draw a picture with an outline; each pixel shows the nearest one of the picture."""
        left, top = self._at(picture.left, picture.top)
        height, width = (each * self.zoom for each in picture.shape)
        self._outline((left, top, left + width, top + height), 1, EDGE)
        rows, columns = (
            ((np.arange(after) + 0.5) * before / after).astype(int)
            for after, before in zip((height, width), picture.pixels.shape[:2], strict=True)
        )
        faded = 255 - (1 - picture.fade) * (255.0 - picture.pixels[rows][:, columns])
        self.pixels[top : top + height, left : left + width] = np.rint(faded)

    def _frame(self, frame: Frame) -> None:
        extent = self._at(frame.left, frame.top, frame.right, frame.bottom)
        self._outline(extent, 2 * self.zoom, frame.colour)

    def _outline(self, extent: Sequence[int], thick: int, colour: Colour) -> None:
        """Draw an outline just outside an extent (left, top, right, bottom), in pixels."""
        left, top, right, bottom = extent
        x0, y0, x1, y1 = (max(0, it) for it in (left - thick, top - thick, left, top))
        x2, y2, x3, y3 = (max(0, it) for it in (right, bottom, right + thick, bottom + thick))
        self.pixels[y0:y1, x0:x3] = self.pixels[y2:y3, x0:x3] = colour
        self.pixels[y0:y3, x0:x1] = self.pixels[y0:y3, x2:x3] = colour

    def _at(self, *places: float) -> list[int]:
        """Return places in pixels."""
        return [round(place * self.zoom) for place in places]


@dataclass(frozen=True)
class Tile:
    """A canvas on a page, ``scale`` pixels of the page to each of its own."""

    page: Page
    left: float
    top: float
    width: int
    height: int
    scale: float

    def boxes(self, boxes: Array, colours: Iterable[Colour]) -> None:
        """Draw frames just outside the ink, the first on top.

        Args:
            boxes: (x, y, width, height) in pixels of the canvas, [N, 4].
            colours: N or more.
        """
        for box, colour in reversed([*zip(boxes, colours, strict=False)]):
            self.page.marks.append(self._frame(box, colour))

    def slots(self, boxes: Array) -> None:
        """Draw the boxes [N, 4] of slots 1 to N in their colours, numbered where there is room."""
        self.boxes(boxes, map(slot_colour, range(len(boxes))))
        for slot, box in reversed([*enumerate(boxes)]):
            frame = self._frame(box, slot_colour(slot))
            if max(frame.right - frame.left, frame.bottom - frame.top) >= _LEAST_NUMBERED:
                self.page.marks.append(self._tag(frame, str(slot + 1)))

    def _frame(self, box: Array, colour: Colour) -> Frame:
        left, top, width, height = (float(side) * self.scale for side in box)
        left, top = self.left + left, self.top + top
        return Frame(left, top, left + width, top + height, colour)

    def _tag(self, frame: Frame, words: str) -> Tag:
        """Return the tag on top of a frame, or below it where it would leave the tile."""
        above, below = frame.top - 2 - TAG, frame.bottom + 2
        fits = above >= self.top or below + TAG > self.top + self.height
        return Tag(frame.left - 2, max(self.top, above) if fits else below, words, frame.colour)

    def caption(self, words: str, *, line: int = 0, **look: Any) -> None:
        """Write text centred above the tile, or below it on line 1, 2 ..."""
        above = self.top - LINE / 2 - 1
        below = self.top + self.height + LINE * (line - 0.5) + 1
        middle = self.left + self.width / 2
        self.page.texts.append(Text(middle, below if line else above, words, **look))


def png(pixels: Array, **metadata: str) -> bytes:
    """Return pixels, uint8 [height, width, 4], as PNG; ``metadata`` is stored as text."""
    buffer = BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png", metadata=metadata)
    return buffer.getvalue()


def default_style() -> AbstractContextManager[None]:
    """Return a context in which a user's matplotlibrc has no effect."""
    return style.context("default")


def blank_figure(width: int, height: int, zoom: float = 1) -> Figure:
    """Return a white figure of ``width`` by ``height`` pixels, a point being one, times a zoom."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI * zoom, facecolor="white")
