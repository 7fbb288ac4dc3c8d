"""Composing canvases: digits in, canvases with their truth out. Pure and vectorised.

Canvas i of a split depends on (seed, split, i) alone: every canvas owns a fixed range of words
in counter-based random streams. Arithmetic is on integers, or on floats that hold them exactly,
so that every machine composes the same bytes.

How digits are laid out:

- ``overlap = "sum"``: all digits of a canvas are drawn again until no pixel adds up to more than
  full ink, as in Pyro's generator of multi-MNIST.
- ``overlap = "none"`` or a greatest IoU: digits and sizes are drawn once, then each digit in
  turn is moved until its box obeys the rule towards those already placed (random sequential
  placement). A canvas that runs out of moves starts over with new digits. Ink that still adds
  up, at most the faint rim of two boxes for "none", is clipped at full ink.

The count is drawn first, from a stream of its own, and never again.

Shapes: N canvases, n drawn at one attempt, M digits at most on one, H side of a canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data import raster
from airkit.data.digits import Digits
from airkit.data.draws import draw_counts
from airkit.data.placement import Block, Layouts, draw_layouts, place_digits
from airkit.data.raster import Bytes, Ints, Mask
from airkit.errors import CanvasError

SUM_TRIES = 1000
"""Attempts at one canvas under overlap = "sum"."""
BOX_TRIES = 50
"""Attempts under the rules on boxes, each of which allows many moves."""


@dataclass(frozen=True)
class Canvases:
    """Canvases and their truth; places without a digit hold -1.

    Attributes:
        image: u8 [N, H, H], ink from 0 to 255.
        count: u8 [N], digits on each canvas.
        label: i8 [N, M], class of each digit.
        box: f32 [N, M, 4], x, y, width, height of each digit's ink, in pixels; x and y are the
            left and top edge.
        source_index: i32 [N, M], row of each digit in its source.
    """

    image: Bytes
    count: Bytes
    label: NDArray[np.int8]
    box: NDArray[np.float32]
    source_index: NDArray[np.int32]


def compose(config: DataConfig, split: str, digits: Digits, start: int, stop: int) -> Canvases:
    """Compose canvases ``start`` to ``stop`` (excluded) of ``split``.

    Args:
        config: how canvases are made.
        split: train, val or test.
        digits: the split's pool, which is not empty if canvases may have digits.
        start: number of the first canvas.
        stop: number after the last one.

    Raises:
        CanvasError: the digits cannot be laid out as ``config.overlap`` asks; the count is
            never lowered instead.
    """
    counts = draw_counts(config, split, start, stop)
    canvases = _blank(config, counts)
    step = _block_size(config)
    for low in range(start, stop, step):
        high = min(low + step, stop) - start
        block = Block(config, split, digits, low)
        _fill(block, counts[low - start : high], _slice(canvases, low - start, high))
    return canvases


def _fill(block: Block, counts: Ints, out: Canvases) -> None:
    """Compose the canvases of a block, with ``counts`` [N] digits, into the blank ``out``."""
    lay_out = _paint_sums if block.config.overlap == "sum" else _place_and_paint
    pending = np.arange(len(counts))
    acceptance = _Acceptance(block)
    for attempt in range(_tries(block.config)):
        layouts = draw_layouts(block, pending, counts[pending], attempt)
        good = lay_out(block, layouts, attempt, out.image)
        acceptance.record(layouts.count, good)
        _write_truth(block, layouts, good, out)
        pending = pending[~good]
        if not len(pending):
            return
        out.image[pending] = 0
        if acceptance.hopeless():
            break
    raise _cannot_lay_out(block, int(pending[0]), int(counts[pending[0]]))


def _paint_sums(block: Block, layouts: Layouts, _: int, image: Bytes) -> Mask:
    """Paint layouts where they are; returns which canvases never exceed full ink, [n]."""
    good = np.ones(len(layouts.row), np.bool_)
    painted = []
    for place in range(block.places):
        for canvases, patches in layouts.patches(block.digits, place, good):
            good[canvases] = _paint(layouts, place, canvases, patches, image)
            painted.append((place, canvases, patches))
    for place, canvases, patches in painted:
        layouts.set_ink(place, canvases, patches, good[canvases])
    return good


def _place_and_paint(block: Block, layouts: Layouts, attempt: int, image: Bytes) -> Mask:
    """Place the digits one by one and paint them; returns which canvases got all of theirs, [n]."""
    every = np.ones(len(layouts.row), np.bool_)
    drawn = [
        (place, canvases, patches)
        for place in range(block.places)
        for canvases, patches in layouts.patches(block.digits, place, every)
    ]
    for place, canvases, patches in drawn:
        layouts.set_ink(place, canvases, patches, every[canvases])
    good = place_digits(block, layouts, attempt)
    for place, canvases, patches in drawn:
        _paint(layouts, place, canvases, patches, image)
    return good


def _paint(layouts: Layouts, place: int, canvases: Ints, patches: Bytes, image: Bytes) -> Mask:
    """Add the patches at ``place`` to their canvases; returns which were not clipped."""
    row, corner = layouts.row[canvases], layouts.corner[canvases, place]
    if place:
        return raster.add(image, row, corner, patches)
    raster.fill(image, row, corner, patches)
    return np.ones(len(canvases), np.bool_)


def _write_truth(block: Block, layouts: Layouts, good: Mask, out: Canvases) -> None:
    """Write labels, boxes and source rows of the good canvases to ``out``."""
    used = (np.arange(block.places) < layouts.count[:, None]) & good[:, None]
    canvas, place = np.nonzero(used)
    row, digit = layouts.row[canvas], layouts.digit[canvas, place]
    out.label[row, place] = block.digits.labels[digit]
    out.source_index[row, place] = block.digits.index[digit]
    ink = layouts.ink[canvas, place]
    out.box[row, place, :2] = ink[:, :2] + layouts.corner[canvas, place]
    out.box[row, place, 2:] = ink[:, 2:]


def _tries(config: DataConfig) -> int:
    """Attempts at one canvas before giving up."""
    return SUM_TRIES if config.overlap == "sum" else BOX_TRIES


class _Acceptance:
    """Attempts and accepted layouts by count, to give up early where nearly none is accepted."""

    def __init__(self, block: Block) -> None:
        self._enough = 5 * _tries(block.config)
        self._tried = np.zeros(block.places + 1, np.int64)
        self._accepted = np.zeros(block.places + 1, np.int64)

    def record(self, counts: Ints, good: Mask) -> None:
        """Add attempts at canvases with ``counts`` [n] digits, and which were accepted, [n]."""
        self._tried += np.bincount(counts, minlength=len(self._tried))
        self._accepted += np.bincount(counts[good], minlength=len(self._accepted))

    def hopeless(self) -> bool:
        """Whether many attempts at some count or more were all rejected.

        At such odds some canvas would almost surely use up all its attempts, only much later,
        so that the outcome does not depend on how canvases are grouped into blocks.
        """
        tried, accepted = self._tried[::-1].cumsum(), self._accepted[::-1].cumsum()
        return bool(((tried >= self._enough) & (accepted == 0)).any())


def _cannot_lay_out(block: Block, row: int, count: int) -> CanvasError:
    config = block.config
    rules = {"sum": "no pixel above full ink", "none": "boxes of ink disjoint"}
    rule = rules.get(str(config.overlap), f"no two boxes of ink above an IoU of {config.overlap}")
    looser = "" if config.overlap != "sum" else ", or set data.overlap to none, which packs tighter"
    return CanvasError(
        f"Cannot lay out {count} digits of about {config.digit_size:g} px on a canvas of "
        f"{config.canvas_size}x{config.canvas_size} px",
        where=f"{block.split} canvas {block.start + row}, drawn up to {_tries(config)} times",
        expected=f"{rule} (data.overlap = {config.overlap})",
        hint=f"lower data.max_digits or data.digit_size, raise data.canvas_size{looser}",
    )


def _block_size(config: DataConfig) -> int:
    """How many canvases keep a block's arrays to a few tens of MB."""
    widest = math.floor(config.digit_size_range[1] + 0.5)
    patches = 2**25 // (max(config.max_digits, 1) * widest**2)
    return max(1, min(2**24 // config.canvas_size**2, patches))


def _blank(config: DataConfig, counts: Ints) -> Canvases:
    """Blank canvases with ``counts`` [N], without truth so far."""
    many, places, size = len(counts), max(config.max_digits, 1), config.canvas_size
    return Canvases(
        image=np.zeros((many, size, size), np.uint8),
        count=counts.astype(np.uint8),
        label=np.full((many, places), -1, np.int8),
        box=np.full((many, places, 4), -1, np.float32),
        source_index=np.full((many, places), -1, np.int32),
    )


def _slice(canvases: Canvases, low: int, high: int) -> Canvases:
    """A view of canvases ``low`` to ``high`` (excluded)."""
    return Canvases(**{name: array[low:high] for name, array in vars(canvases).items()})
