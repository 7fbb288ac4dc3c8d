"""Sheets: equal cells row by row, under a title, notes and a legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from airkit.config.schema import Config, RenderConfig
from airkit.figures.marks import (
    FAINT,
    GAP,
    LINE,
    SMALL,
    TAG,
    TITLE,
    TRUTH,
    Colour,
    Raster,
    Tag,
    Text,
    drawn,
    slot_colour,
)
from airkit.figures.page import SCREEN, Page, Paper, Tile

_LARGEST = 260  # side of a tile where the scale is auto
_PRINTED = 150  # the same in print
_BAR = 6  # squares that a colour bar is as long as, at most
_LETTER = 0.56  # width of a letter of small text, in its sizes
_ORDER = ("found first", "second", "third", "fourth", "and so on")


class Key(NamedTuple):
    """What a colour, or a row of them, stands for."""

    colours: tuple[Colour, ...]
    number: str
    """What is written on the colour."""
    label: str


def found_keys(most: int) -> list[Key]:
    """Return the legend of the boxes of up to ``most`` objects found on a canvas."""
    return [
        Key((slot_colour(slot),), str(slot + 1), label) for slot, label in enumerate(_ORDER[:most])
    ]


TRUTH_KEY = Key((TRUTH,), "", "true box")


class Sheet(Page):
    """A page of equal cells, row by row, under a title, notes and a legend."""

    canvases = 0
    """Canvases shown."""

    def __init__(  # noqa: PLR0913 - a sheet is laid out at once
        self,
        title: str,
        notes: list[str],
        cells: int,
        columns: int,
        cell: tuple[int, int],
        *,
        keys: Sequence[Key] = (),
        paper: Paper = SCREEN,
    ) -> None:
        """Lay out ``cells`` cells of ``cell`` (width, height) pixels.

        Args:
            title: the title, where the paper has titles.
            notes: what is written below it.
            cells: the number of cells.
            columns: cells in a row, at most.
            cell: width and height of a cell.
            keys: the legend.
            paper: what it is drawn on; in print, cells too wide for it are made smaller.

        Raises:
            OutputError: the page would be too large to draw.
        """
        self.notes, self.cells, self.cell, self.keys, self.paper = notes, cells, cell, keys, paper
        self.columns, margin = max(1, min(columns, cells)), paper.margin
        width = max(paper.width, self.columns * (cell[0] + GAP) - GAP + 2 * margin)
        heading = _heading(title, notes, width, margin) if paper.titles else []
        legend = [*_legend(keys, width, margin)]
        below = margin + round(sum(text.size * 1.6 for text in heading))
        lines = 1 + max((line for line, _ in legend), default=-1)
        self.top = below + lines * (LINE + 2) + 6
        rows = -(-cells // self.columns)
        height = self.top + rows * (cell[1] + GAP) - GAP + margin
        unit = paper.unit * paper.width / width if paper.printed else paper.unit
        super().__init__(width, height, paper.dpi, unit)
        y = float(margin)
        for text in heading:
            self.texts.append(replace(text, y=y + text.size * 0.7))
            y += text.size * 1.6
        for line, part in legend:
            down = below + line * (LINE + 2)
            if isinstance(part, Text):
                self.texts.append(replace(part, y=down + part.y))
            else:
                self.marks.append(replace(part, top=down + part.top))

    def corner(self, index: int) -> tuple[int, int]:
        """Return left and top of cell ``index``."""
        row, column = divmod(index, self.columns)
        width, height = self.cell
        return self.paper.margin + column * (width + GAP), self.top + row * (height + GAP)

    def cell_tile(
        self, index: int, ink: np.ndarray, side: int, down: int = LINE, **look: Any
    ) -> Tile:
        """Draw a canvas in the middle of cell ``index``, ``down`` pixels from its top."""
        left, top = self.corner(index)
        _, width = drawn(ink.shape[1:], side)
        return self.tile(ink, left + (self.cell[0] - width) // 2, top + down, side, **look)


def fitted(config: Config, least: int) -> Config:
    """Return the configuration with as many columns of ``least`` pixels as the paper has room for.

    A sheet for the screen has room for all.
    """
    render = config.render
    paper = Paper.of(render)
    if not paper.printed:
        return config
    room = int((paper.width - 2 * paper.margin + GAP) // (least + GAP))
    return config.updated("render", columns=max(1, min(render.columns, room)))


def tile_side(shape: Sequence[int], render: RenderConfig, columns: int) -> int:
    """Return the longer side of a canvas as drawn, before the zoom of a sheet.

    Args:
        shape: height and width of the canvas.
        render: the scale; auto, or a width in print, makes ``columns`` tiles as wide as the sheet,
            none of them larger than is good to see, and on the screen none smaller than its canvas.
        columns: tiles in a row.
    """
    pixels, paper = max(shape), Paper.of(render)
    if render.scale != "auto" and not paper.printed:
        return max(1, round(float(pixels * render.scale)))
    fits = int(paper.width - 2 * paper.margin + GAP) // max(1, columns) - GAP
    if paper.printed:
        return max(1, min(fits, _PRINTED))
    return max(math.ceil(pixels / 2), min(fits, _LARGEST))


def _heading(title: str, notes: list[str], width: float, margin: int) -> list[Text]:
    """Return the lines of a title and its notes, wrapped to ``width`` pixels with its margins."""

    def lines(words: str, character: float) -> list[str]:
        return textwrap.wrap(words, max(10, int((width - 2 * margin) / character)))

    heading = [Text(margin, 0, line, TITLE, bold=True) for line in lines(title, TITLE * 0.68)]
    for note in notes:
        heading += [Text(margin, 0, line, colour=FAINT) for line in lines(note, SMALL * _LETTER)]
    return [replace(text, align="left") for text in heading]


def _legend(
    keys: Sequence[Key], width: float, margin: int
) -> Iterator[tuple[int, Tag | Raster | Text]]:
    """Yield the parts of a legend, each with its line, wrapped to ``width`` with its margins."""
    x, line = margin, 0
    for key in keys:
        side = TAG * min(len(key.colours), _BAR)
        swatch = side + 5
        needed = swatch + round(len(key.label) * SMALL * (_LETTER + 0.04)) + 12
        if x + needed > width - margin and x > margin:
            x, line = margin, line + 1
        if len(key.colours) == 1:
            yield line, Tag(x, 2, key.number, key.colours[0])
        else:
            rows = math.ceil(TAG * len(key.colours) / side)
            bar = np.array([key.colours] * rows, np.uint8)
            yield line, Raster(x, 2, side, bar, "heat")
        yield line, Text(x + swatch, 2 + TAG / 2, key.label, colour=FAINT, align="left")
        x += needed
