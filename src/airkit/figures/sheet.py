"""Sheets: equal cells row by row, under a title, notes and a legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from airkit.config.schema import RenderConfig
from airkit.figures.marks import (
    FAINT,
    GAP,
    LINE,
    MARGIN,
    SMALL,
    TAG,
    TITLE,
    TRUTH,
    Array,
    Colour,
    Tag,
    Text,
    drawn,
    slot_colour,
)
from airkit.figures.page import Page, Tile

_NARROW = 360  # a narrower title would take too many lines
_WIDE = 800  # of a sheet at a zoom of 2, so that it is 1,600 pixels wide
_LARGEST = 260  # side of a tile where the scale is auto
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
        wide: bool = False,
    ) -> None:
        """Lay out ``cells`` cells of ``cell`` (width, height) pixels.

        Args:
            title: the title.
            notes: what is written below it.
            cells: the number of cells.
            columns: cells in a row, at most.
            cell: width and height of a cell.
            keys: the legend.
            wide: draw at a zoom of 2, at least 1,600 pixels wide.

        Raises:
            OutputError: the page would be too large to draw.
        """
        self.notes, self.cells, self.cell, self.keys = notes, cells, cell, keys
        self.columns = max(1, min(columns, cells))
        least = _WIDE if wide else _NARROW
        width = max(least, self.columns * (cell[0] + GAP) - GAP + 2 * MARGIN)
        heading = _heading(title, notes, width - 2 * MARGIN)
        legend = [*_legend(keys, width - MARGIN)]
        below = MARGIN + round(sum(text.size * 1.6 for text in heading))
        lines = 1 + max((line for line, _ in legend), default=-1)
        self.top = below + lines * (LINE + 2) + 6
        rows = -(-cells // self.columns)
        height = self.top + rows * (cell[1] + GAP) - GAP + MARGIN
        super().__init__(width, height, 2 if wide else 1)
        y = float(MARGIN)
        for text in heading:
            self.texts.append(replace(text, y=y + text.size * 0.7))
            y += text.size * 1.6
        for line, part in legend:
            self._add_key(part, below + line * (LINE + 2))

    def _add_key(self, part: Tag | Text, down: float) -> None:
        """Add a part of the legend ``down`` pixels from the top."""
        if isinstance(part, Tag):
            self.marks.append(replace(part, top=down + part.top))
        else:
            self.texts.append(replace(part, y=down + part.y))

    def corner(self, index: int) -> tuple[int, int]:
        """Return left and top of cell ``index``."""
        row, column = divmod(index, self.columns)
        width, height = self.cell
        return MARGIN + column * (width + GAP), self.top + row * (height + GAP)

    def cell_tile(self, index: int, ink: Array, side: int, down: int = LINE, **look: Any) -> Tile:
        """Draw a canvas in the middle of cell ``index``, ``down`` pixels from its top."""
        left, top = self.corner(index)
        _, width = drawn(ink.shape[1:], side)
        return self.tile(ink, left + (self.cell[0] - width) // 2, top + down, side, **look)


def tile_side(shape: Sequence[int], render: RenderConfig, columns: int) -> int:
    """Return the longer side of a canvas as drawn, before the zoom of a sheet.

    Args:
        shape: height and width of the canvas.
        render: the scale; auto makes ``columns`` tiles as wide as the sheet, none of them larger
            than is good to see, and none smaller than its canvas.
        columns: tiles in a row.
    """
    pixels = max(shape)
    if render.scale != "auto":
        return max(1, round(float(pixels * render.scale)))
    fits = (_WIDE - 2 * MARGIN + GAP) // max(1, columns) - GAP
    return max(math.ceil(pixels / 2), min(fits, _LARGEST))


def _heading(title: str, notes: list[str], width: int) -> list[Text]:
    """Return the lines of a title and its notes, wrapped to ``width`` pixels."""

    def lines(words: str, character: float) -> list[str]:
        return textwrap.wrap(words, max(10, int(width / character)))

    heading = [Text(MARGIN, 0, line, TITLE, bold=True) for line in lines(title, TITLE * 0.68)]
    for note in notes:
        heading += [Text(MARGIN, 0, line, colour=FAINT) for line in lines(note, SMALL * _LETTER)]
    return [replace(text, align="left") for text in heading]


def _legend(keys: Sequence[Key], right: int) -> Iterator[tuple[int, Tag | Text]]:
    """Yield the parts of a legend, each with its line, wrapped before ``right``."""
    x, line = MARGIN, 0
    for key in keys:
        swatch = TAG * len(key.colours) + 5
        width = swatch + round(len(key.label) * SMALL * (_LETTER + 0.04)) + 12
        if x + width > right and x > MARGIN:
            x, line = MARGIN, line + 1
        for place, colour in enumerate(key.colours):
            yield line, Tag(x + TAG * place, 2, key.number, colour)
        yield line, Text(x + swatch, 2 + TAG / 2, key.label, colour=FAINT, align="left")
        x += width
