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

The count is drawn first, from a stream of its own, and never again. On colour canvases each digit
has a colour of its own, and the rules on full ink hold for each channel.

Shapes: N canvases of H x W pixels, n drawn at one attempt, M digits at most on one, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.canvases import Canvases
from airkit.data.digits import Digits
from airkit.data.placement import (
    DigitBlock,
    Layouts,
    draw_counts,
    draw_layouts,
    place_digits,
    retry,
)
from airkit.data.raster import Bytes, Ints, Mask, extents
from airkit.errors import CanvasError
from airkit.system.text import numbered

SUM_TRIES = 1000
"""Attempts at one canvas under overlap = "sum"."""
BOX_TRIES = 50
"""Attempts under the rules on boxes, each of which allows many moves."""
_TOGETHER = 2
"""Places whose digits are resized together; later ones are in vain where the first do not fit."""


@dataclass(frozen=True)
class Composed(Canvases):
    """Canvases made of digits, of which all but masks is known."""

    count: Bytes
    label: NDArray[np.int8]
    box: NDArray[np.float32]
    source_index: NDArray[np.int32]


def compose(config: DataConfig, split: str, digits: Digits, start: int, stop: int) -> Composed:
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
    canvases = _blank(config, draw_counts(config, split, start, stop))
    widest = math.floor(config.digit_size_range[1] + 0.5)
    patches = 2**25 // (max(config.max_digits, 1) * widest**2)
    step = max(1, min(2**25 // config.canvas_size**2, patches))  # a few tens of MB
    for low in range(start, stop, step):
        part = slice(low - start, min(low + step, stop) - start)
        block = Composed(**{name: array[part] for name, array in canvases.known.items()})
        _fill(DigitBlock(config, split, low, digits), block)
    return canvases if config.channels > 1 else replace(canvases, image=canvases.image[..., 0])


def _fill(block: DigitBlock, out: Composed) -> None:
    """Compose the canvases of a block into ``out``, which is blank but for the counts."""
    counts = out.count.astype(np.int64)
    tries = SUM_TRIES if block.config.overlap == "sum" else BOX_TRIES

    def attempt(rows: Ints, number: int) -> Mask:
        if number:
            out.image[rows] = 0
        layouts = draw_layouts(block, rows, counts[rows], number)
        good = _lay_out(block, layouts, number, out.image)
        _write_truth(block, layouts, good, out)
        return good

    for row in retry(counts, tries, attempt)[:1]:
        raise _cannot_lay_out(block, int(row), int(counts[row]), tries)


def _lay_out(block: DigitBlock, layouts: Layouts, attempt: int, image: Bytes) -> Mask:
    """Paint digits where they obey ``data.overlap``; returns which canvases got all theirs, [n].

    Under "sum" they are painted where they are, and no pixel may exceed full ink; else they are
    moved first.
    """
    good, sums = np.ones(len(layouts.row), np.bool_), block.config.overlap == "sum"
    drawn = []
    for first in range(0, block.places, _TOGETHER):
        places = range(first, min(first + _TOGETHER, block.places))
        parts = [*layouts.patches(block.digits, places, good)]
        for part in parts:
            layouts.ink[part.canvas, part.place] = extents(part.levels)
        drawn += [(place, part) for place in places for part in parts]
        while sums and drawn:
            canvas, whole = layouts.paint(*drawn.pop(0)[::-1], image)
            good[canvas] &= whole
    if not sums:
        good = place_digits(block, layouts, attempt)
    for place, part in drawn:
        layouts.paint(part, place, image)
    return good


def _write_truth(block: DigitBlock, layouts: Layouts, good: Mask, out: Composed) -> None:
    """Write labels, boxes and source rows of the good canvases to ``out``."""
    row, digit, box = (each[good] for each in (layouts.row, layouts.digit, layouts.ink))
    box[..., :2] += layouts.corner[good]
    used = np.arange(block.places) < layouts.count[good, None]
    if len(row) and len(block.digits.labels):
        out.label[row] = np.where(used, block.digits.labels[digit], -1)
        out.source_index[row] = np.where(used, block.digits.index[digit], -1)
        out.box[row] = np.where(used[..., None], box, -1)


def _cannot_lay_out(block: DigitBlock, row: int, count: int, tries: int) -> CanvasError:
    config = block.config
    rules = {"sum": "no pixel above full ink", "none": "boxes of ink disjoint"}
    rule = rules.get(str(config.overlap), f"no two boxes of ink above an IoU of {config.overlap}")
    looser = "" if config.overlap != "sum" else ", or set data.overlap to none, which packs tighter"
    return CanvasError(
        numbered("Cannot lay out {n} {digit|digits} of about ", count)
        + f"{config.digit_size:g} px on a canvas of "
        f"{config.canvas_size}x{config.canvas_size} px",
        where=f"{block.split} canvas {block.start + row}, drawn up to {tries} times",
        expected=f"{rule} (data.overlap = {config.overlap})",
        hint=f"lower data.max_digits or data.digit_size, raise data.canvas_size{looser}",
    )


def _blank(config: DataConfig, counts: Ints) -> Composed:
    """Blank canvases with ``counts`` [N], without truth so far, and images [N, H, H, C].

    Each channel is contiguous.
    """
    many, places, size = len(counts), max(config.max_digits, 1), config.canvas_size
    return Composed(
        image=np.moveaxis(np.zeros((config.channels, many, size, size), np.uint8), 0, 3),
        count=counts.astype(np.uint8),
        label=np.full((many, places), -1, np.int8),
        box=np.full((many, places, 4), -1, np.float32),
        source_index=np.full((many, places), -1, np.int32),
    )
