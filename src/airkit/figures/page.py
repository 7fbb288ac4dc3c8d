"""Pages of pictures, frames and text, for the screen and the columns of a paper, by matplotlib.

Pictures are enlarged without blur and frames lie on whole dots of the page's resolution, so that a
PNG is sharp; in PDF and SVG frames and text are vectors over pictures of that resolution.

Legend: H height and W width of a canvas, S longer side of a tile (a canvas as drawn), in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import BboxImage, imsave
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, TransformedBbox
from numpy.typing import NDArray

from airkit.config.rendering import RenderConfig
from airkit.errors import OutputError
from airkit.figures.marks import (
    EDGE,
    LINE,
    MARGIN,
    SMALL,
    TAG,
    Colour,
    Frame,
    Mark,
    Raster,
    Tag,
    Text,
    hexadecimal,
    slot_colour,
)

Extent = tuple[float, float, float, float]
"""Left, top, right and bottom, from the upper left corner."""

HEAT = LinearSegmentedColormap.from_list("looks", ("#ffffff", "#6baed6", "#08306b"))
"""Colours of a map."""
DPI = 72
POINTS = 7
"""Size of small text in print."""
WIDTHS = {"column": 3.25, "page": 6.75}
"""Inches, as in ICML's style."""
FINE = 600
"""Dots per inch in print."""
_NARROW = 360  # a narrower title would take too many lines
_WIDE = 800  # of a sheet at a zoom of 2, so that it is 1,600 pixels wide
_LEAST_NUMBERED = 16  # side of a frame that has a tag
_MAX_PIXELS = 2**26
_MAX_SIDE = 2**15


@dataclass(frozen=True)
class Paper:
    """A size, and what lengths on it are; lengths are pixels of a page at a zoom of 1."""

    width: float = _NARROW
    """Width of a page, for the screen at least."""
    dpi: float = DPI
    """Dots per inch."""
    unit: float = 1.0
    """Points to a pixel of the page."""
    margin: int = MARGIN
    """Blank margin on each side."""
    printed: bool = False
    """Whether the width is that of print, and no wider."""
    titles: bool = True
    """Whether there are a title and notes."""

    @classmethod
    def of(cls, render: RenderConfig) -> Paper:
        """Return what the settings ask for."""
        screen = render.format in ("auto", "png") and render.width == "auto"
        given: dict[str, Any] = {"titles": render.titles}
        if render.width != "auto":
            inches = WIDTHS.get(str(render.width)) or float(render.width)
            unit = POINTS / SMALL
            given |= {"width": inches * DPI / unit, "unit": unit, "margin": 3, "printed": True}
        elif render.scale == "auto":
            given |= {"width": _WIDE}
        dpi = 2 * DPI if screen and render.scale == "auto" else DPI if screen else FINE
        return cls(dpi=dpi if render.dpi == "auto" else render.dpi, **given)


SCREEN = Paper()


class Page:
    """A white page: pictures, frames and tags, in this order from below, and the text on them.

    Lengths are pixels of a page at a zoom of 1, each of which is ``unit`` points long.

    Raises:
        OutputError: it would be too large to draw.
    """

    as_is = False
    """Show grey levels as they are, black being 0, as for pictures of dark objects."""

    def __init__(self, width: float, height: float, dpi: float = DPI, unit: float = 1.0) -> None:
        self.width, self.height, self.dpi, self.unit = width, height, dpi, unit
        across, down = (round(side * self.zoom) for side in (width, height))
        if max(across, down) > _MAX_SIDE or across * down > _MAX_PIXELS:
            raise OutputError(
                "The picture would be too large",
                expected=f"at most {_MAX_SIDE:,} pixels a side and {_MAX_PIXELS:,} in all",
                got=f"{across:,} x {down:,} pixels",
                hint="lower render.scale, render.rows or render.columns, or render.dpi",
            )
        self.texts: list[Text] = []
        self.marks: list[Mark] = []

    @property
    def zoom(self) -> float:
        """Dots of the output to a pixel of the page."""
        return self.dpi * self.unit / DPI

    def tile(
        self, ink: np.ndarray, left: float, top: float, side: int, *, fade: float = 0.0
    ) -> Tile:
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
        return self._add(Raster(left, top, side, pixels, "ink" if inked else "colour", fade))

    def heat(self, heat: np.ndarray, left: float, top: float, side: int) -> Tile:
        """Draw a heat map [H, W] in 0..1, from white to dark blue; ``side`` is S."""
        return self._add(Raster(left, top, side, HEAT(heat, bytes=True)[:, :, :3], "heat"))

    def _add(self, raster: Raster) -> Tile:
        self.marks.append(raster)
        height, width = raster.shape
        scale = raster.side / max(raster.pixels.shape[:2])
        return Tile(self, raster.left, raster.top, width, height, scale)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The page without its text, uint8 [height, width, 3] times the zoom."""
        return _rasterized(self._marked())[:, :, :3]

    def figure(self) -> Figure:
        """Return the page as a figure of its size and resolution."""
        figure = self._marked()
        tags = [mark.text for mark in self.marks if isinstance(mark, Tag)]
        for text in [*self.texts, *tags]:
            figure.text(
                text.x / self.width,
                1 - text.y / self.height,
                text.words,
                fontsize=text.size * self.unit,
                color=hexadecimal(text.colour),
                fontweight="bold" if text.bold else "normal",
                horizontalalignment=text.align,
                verticalalignment="center_baseline",
                parse_math=False,
                zorder=len(self.marks),
            )
        return figure

    def rendered(self) -> np.ndarray:
        """Return the pixels with the text on them, uint8 [height, width, 4] times the zoom."""
        with default_style():
            return _rasterized(self.figure())

    def _marked(self) -> Figure:
        """Return a figure of all but the text."""
        figure = blank_figure(self.width * self.unit, self.height * self.unit, self.dpi)
        for order, mark in enumerate(self.marks):
            for artist in self._artists(mark, figure):
                artist.set_zorder(order)
                figure.add_artist(artist)
        return figure

    def _artists(self, mark: Mark, figure: Figure) -> Iterator[Artist]:
        """Yield what a mark consists of, on whole dots."""
        if isinstance(mark, Frame):
            extent = self._on_dots(mark.left, mark.top, mark.right, mark.bottom)
            yield self._outline(extent, max(1, round(2 * self.zoom)), mark.colour, figure)
        elif isinstance(mark, Tag):
            extent = self._on_dots(mark.left, mark.top, mark.left + TAG, mark.top + TAG)
            fill: dict[str, Any] = {"facecolor": hexadecimal(mark.colour), "linewidth": 0}
            yield self._rectangle(extent, figure, **fill)
        else:
            height, width = mark.shape
            left, top, *_ = self._on_dots(mark.left, mark.top)
            right, bottom = self._on_dots(width, height)
            extent = left, top, left + right, top + bottom
            yield self._image(mark, extent, figure)
            yield self._outline(extent, max(1, round(self.zoom / 2)), EDGE, figure)

    def _on_dots(self, *places: float) -> tuple[Any, ...]:
        """Return places in whole dots."""
        return tuple(round(place * self.zoom) for place in places)

    def _image(self, raster: Raster, extent: Extent, figure: Figure) -> BboxImage:
        """Return an image whose every dot shows the nearest pixel, or the mean of several."""
        left, top, right, bottom = extent
        height = round(self.height * self.zoom)
        corners = np.array([[left, height - bottom], [right, height - top]]) / self.dpi
        faded = 255 - (1 - raster.fade) * (255.0 - raster.pixels)
        larger = right - left >= raster.pixels.shape[1]
        image = BboxImage(
            TransformedBbox(Bbox(corners), figure.dpi_scale_trans),
            interpolation="nearest" if larger else "antialiased",
            origin="upper",
        )
        image.set_data(np.rint(faded).astype(np.uint8).repeat(3 // faded.shape[2], 2))
        return image

    def _outline(self, extent: Extent, thick: int, colour: Colour, figure: Figure) -> Rectangle:
        """Return an outline just outside an extent; all is in dots."""
        left, top, right, bottom = extent
        half = thick / 2
        line: dict[str, Any] = {"edgecolor": hexadecimal(colour), "facecolor": "none"}
        line["linewidth"] = thick * DPI / self.dpi
        return self._rectangle(
            (left - half, top - half, right + half, bottom + half), figure, **line
        )

    def _rectangle(self, extent: Extent, figure: Figure, **look: Any) -> Rectangle:
        left, top, right, bottom = (side / self.dpi for side in extent)
        corner = left, round(self.height * self.zoom) / self.dpi - bottom
        place: dict[str, Any] = {"transform": figure.dpi_scale_trans, "snap": False}
        place["antialiased"] = False
        return Rectangle(corner, right - left, bottom - top, **place, **look)


@dataclass(frozen=True)
class Tile:
    """A canvas on a page, ``scale`` pixels of the page to each of its own."""

    page: Page
    left: float
    top: float
    width: int
    height: int
    scale: float

    def boxes(self, boxes: np.ndarray, colours: Iterable[Colour]) -> None:
        """Draw frames just outside the ink, the first on top.

        Args:
            boxes: (x, y, width, height) in pixels of the canvas, [N, 4].
            colours: N or more.
        """
        for box, colour in reversed([*zip(boxes, colours, strict=False)]):
            self.page.marks.append(self._frame(box, colour))

    def slots(self, boxes: np.ndarray) -> None:
        """Draw the boxes [N, 4] of slots 1 to N in their colours, numbered where there is room."""
        self.boxes(boxes, map(slot_colour, range(len(boxes))))
        for slot, box in reversed([*enumerate(boxes)]):
            frame = self._frame(box, slot_colour(slot))
            if max(frame.right - frame.left, frame.bottom - frame.top) >= _LEAST_NUMBERED:
                self.page.marks.append(self._tag(frame, str(slot + 1)))

    def _frame(self, box: np.ndarray, colour: Colour) -> Frame:
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


def _rasterized(figure: Figure) -> np.ndarray:
    """Return the pixels of a figure, uint8 [height, width, 4]."""
    buffer = BytesIO()
    figure.savefig(buffer, format="rgba", dpi="figure")
    width, height = figure.canvas.get_width_height()
    return np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)


def png(pixels: np.ndarray, **metadata: str) -> bytes:
    """Return pixels, uint8 [height, width, 4], as PNG; ``metadata`` is stored as text."""
    buffer = BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png", metadata=metadata)
    return buffer.getvalue()


def default_style() -> AbstractContextManager[None]:
    """Return a context in which a user's matplotlibrc has no effect."""
    return style.context("default")


def blank_figure(width: float, height: float, dpi: float = DPI) -> Figure:
    """Return a white figure of ``width`` by ``height`` points and a whole number of dots."""
    across, down = (
        math.nextafter(round(side * dpi / DPI), math.inf) / dpi for side in (width, height)
    )
    return Figure(figsize=(across, down), dpi=dpi, facecolor="white")
