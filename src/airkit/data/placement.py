"""Drawing scenes: which digits a canvas shows, how large, and where. Pure and vectorised.

Shapes: N canvases composed together, n drawn at one attempt, M digits at most on one, K digits of
one side, s side of a resized digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.draws import Ints, Words, below, halves, owned_words, side_edges
from airkit.data.raster import extents
from airkit.data.resize import Bytes, resize
from airkit.data.sources import SPLITS, Digits
from airkit.system import seeds

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """Canvases composed together, from number ``low`` of the split on."""

    config: DataConfig
    split: str
    digits: Digits
    low: int

    @property
    def places(self) -> int:
        """M: places for digits on a canvas."""
        return max(self.config.max_digits, 1)

    @cached_property
    def sides(self) -> tuple[int, Words]:
        """See ``side_edges``."""
        return side_edges(self.config)

    def words(self, name: str, rows: Ints, attempt: int, width: int) -> Words:
        """What rows (ascending) of the block own in stream ``name``: u64 [n, width]."""
        stream = seeds.sequence(self.config.seed, name, SPLITS.index(self.split), attempt)
        first, last = int(rows[0]), int(rows[-1])
        words = owned_words(stream, self.low + first, self.low + last + 1, width)
        return words[rows - first]


@dataclass(frozen=True)
class Scenes:
    """One drawing of n canvases; places from ``count`` on hold nothing of meaning.

    Attributes:
        row: i64 [n], rows of the canvases in their block.
        count: i64 [n].
        pick: i64 [n, M], row of each digit in the pool.
        side: i64 [n, M], side of its patch.
        corner: i64 [n, M, 2], x and y of its patch on the canvas; drawn anew where
            digits are placed one after the other.
        ink: i64 [n, M, 4], extent of its ink within the patch, once that is is noted.
    """

    row: Ints
    count: Ints
    pick: Ints
    side: Ints
    corner: Ints
    ink: Ints

    def patches(self, digits: Digits, place: int, wanted: Mask) -> Iterator[tuple[Ints, Bytes]]:
        """Resize the digits at ``place`` of the wanted canvases [n].

        Yields those of one side together: whose they are, i64 [K], and they, u8 [K, s, s].
        """
        owners = np.flatnonzero(wanted & (self.count > place))
        sides = self.side[owners, place]
        for side in np.unique(sides):
            owner = owners[sides == side]
            yield owner, resize(digits.images[self.pick[owner, place]], int(side))

    def note_ink(self, place: int, owner: Ints, patches: Bytes, wanted: Mask) -> None:
        """Set the ink of those ``patches`` that are wanted, [K]."""
        if wanted.any():
            self.ink[owner[wanted], place] = extents(patches[wanted])


def draw(block: Block, rows: Ints, count: Ints, attempt: int) -> Scenes:
    """Draw digits, sides and places for rows of the block."""
    words = block.words("canvases", rows, attempt, 2 * block.places)
    words = words.reshape(-1, block.places, 2)
    high, low = halves(words)
    least, edges = block.sides
    side = least + np.searchsorted(edges, low[..., 0], side="right")
    corner = corners(block, side, words[..., 1])
    pick = below(np.uint64(len(block.digits.images)), high[..., 0])
    return Scenes(rows, count, pick, side, corner, np.zeros((*pick.shape, 4), np.int64))


def corners(block: Block, side: Ints, words: Words) -> Ints:
    """Where a patch of ``side`` [...] goes, wholly on the canvas: x and y, i64 [..., 2]."""
    room = (block.config.canvas_size - side + 1).astype(np.uint64)
    return np.stack([below(room, half) for half in halves(words)], -1)
