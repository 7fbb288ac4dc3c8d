"""Where digits go: drawing layouts of canvases, and placing digits so that boxes hardly overlap.

Shapes: n canvases drawn at one attempt, M digits at most on one, K digits of one side, s side of
a resized digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from airkit.config.schema import DataConfig
from airkit.data.digits import SPLITS, Digits
from airkit.data.draws import Words, below, halves, owned_words, side_edges
from airkit.data.raster import Bytes, Ints, Mask, extents, resize
from airkit.system import seeds


@dataclass(frozen=True)
class Block:
    """Consecutive canvases of a split that are composed together, from number ``start`` on."""

    config: DataConfig
    split: str
    digits: Digits
    start: int

    @property
    def places(self) -> int:
        """M, the length of a canvas's lists of digits."""
        return max(self.config.max_digits, 1)

    @cached_property
    def sides(self) -> tuple[int, Words]:
        """The distribution of sides, as ``side_edges`` gives it."""
        return side_edges(self.config)

    def words(self, name: str, rows: Ints, attempt: int, width: int) -> Words:
        """Random words of the block's ``rows`` (ascending) in stream ``name``: u64 [n, width]."""
        stream = seeds.sequence(self.config.seed, name, SPLITS.index(self.split), attempt)
        first, last = int(rows[0]), int(rows[-1])
        words = owned_words(stream, self.start + first, self.start + last + 1, width)
        return words[rows - first]


@dataclass(frozen=True)
class Layouts:
    """Layouts of n canvases; entries from place ``count`` on are meaningless.

    Attributes:
        row: i64 [n], row of each canvas in its block.
        count: i64 [n], digits on each.
        digit: i64 [n, M], row of each digit in the pool.
        side: i64 [n, M], side of its patch.
        corner: i64 [n, M, 2], x and y of its patch's upper left pixel; ``place_digits`` sets it.
        ink: i64 [n, M, 4], x, y, width, height of its ink within the patch; 0 until ``set_ink``.
    """

    row: Ints
    count: Ints
    digit: Ints
    side: Ints
    corner: Ints
    ink: Ints

    def patches(self, digits: Digits, place: int, wanted: Mask) -> Iterator[tuple[Ints, Bytes]]:
        """Resize the digits at ``place`` of the wanted canvases [n], grouped by side.

        Yields:
            Canvases, i64 [K], and their patches, u8 [K, s, s].
        """
        canvases = np.flatnonzero(wanted & (self.count > place))
        sides = self.side[canvases, place]
        for side in np.unique(sides):
            these = canvases[sides == side]
            yield these, resize(digits.images[self.digit[these, place]], int(side))

    def set_ink(self, place: int, canvases: Ints, patches: Bytes, wanted: Mask) -> None:
        """Set ``ink`` at ``place`` of ``canvases`` [K] from their patches, where wanted, [K]."""
        if wanted.any():
            self.ink[canvases[wanted], place] = extents(patches[wanted])


def draw_layouts(block: Block, rows: Ints, count: Ints, attempt: int) -> Layouts:
    """Draw digits, sides and corners for ``rows`` [n] of the block, with ``count`` [n] digits."""
    words = block.words("canvases", rows, attempt, 2 * block.places)
    words = words.reshape(-1, block.places, 2)
    high, low = halves(words)
    least, edges = block.sides
    side = least + np.searchsorted(edges, low[..., 0], side="right")
    corner = _corners(block, side, words[..., 1])
    digit = below(np.uint64(len(block.digits.images)), high[..., 0])
    return Layouts(rows, count, digit, side, corner, np.zeros((*digit.shape, 4), np.int64))


def place_digits(block: Block, layouts: Layouts, attempt: int) -> Mask:
    """Set ``layouts.corner`` digit by digit, moving each until its box obeys ``data.overlap``.

    Returns:
        Which canvases got all their digits before they ran out of moves, [n].
    """
    limit = 0.0 if block.config.overlap == "none" else float(block.config.overlap)
    words = block.words("places", layouts.row, attempt, 64 + 32 * block.places)
    boxes = layouts.ink.copy()
    done = np.zeros_like(layouts.count)
    for move in words.T:
        pending = np.flatnonzero(done < layouts.count)
        if not len(pending):
            break
        place = done[pending]
        corner = _corners(block, layouts.side[pending, place], move[pending])
        layouts.corner[pending, place] = corner
        boxes[pending, place, :2] = layouts.ink[pending, place, :2] + corner
        seen = boxes[pending, : place.max() + 1]
        earlier = np.arange(seen.shape[1]) < place[:, None]
        done[pending] += ~(_overlaps(seen, boxes[pending, place], limit) & earlier).any(1)
    complete: Mask = done == layouts.count
    return complete


def _corners(block: Block, side: Ints, words: Words) -> Ints:
    """Corners of patches of ``side`` [...], uniform over the canvas: x and y, i64 [..., 2]."""
    room = (block.config.canvas_size - side + 1).astype(np.uint64)
    return np.stack([below(room, half) for half in halves(words)], -1)


def _overlaps(boxes: Ints, one: Ints, limit: float) -> Mask:
    """Whether the IoU of ``boxes`` [n, m, 4] with ``one`` [n, 4] exceeds ``limit``: [n, m]."""
    size, one = boxes[..., 2:], one[:, None]
    near = np.maximum(boxes[..., :2], one[..., :2])
    far = np.minimum(boxes[..., :2] + size, one[..., :2] + one[..., 2:])
    shared = np.maximum(far - near, 0).prod(2)
    union = size.prod(2) + one[..., 2:].prod(2) - shared
    overlaps: Mask = shared > limit * union
    return overlaps
