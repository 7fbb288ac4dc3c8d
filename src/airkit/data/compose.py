"""Composing canvases: digits in, scenes with their truth out. Pure and vectorised.

Canvas i of a split depends on (seed, split, i) alone: every canvas owns a fixed range of words
in counter-based random streams, so that neither the number of canvases, nor the chunking, nor
what happens to its neighbours can change it. All arithmetic is on whole numbers, or on floats
that hold them exactly, so that every machine composes the same bytes.

How digits are laid out:

- ``overlap = "sum"``: digits, sizes and places of the whole canvas are drawn again until no
  pixel adds up to more than full ink, as in Pyro's generator of multi-MNIST.
- ``overlap = "none"`` or a greatest IoU: digits and sizes are drawn once, then each digit in
  turn is moved until its box obeys the rule towards those already placed (random sequential
  placement). A canvas that runs out of moves starts over with new digits. Ink that still adds
  up, at most the faint rim of two boxes for "none", is cut at full ink.

The count is drawn before all this, from a stream of its own, and never again.

Shapes: N canvases, n drawn at one attempt, M digits at most on one, H = W side of a canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data import raster
from airkit.data.draws import Ints, draw_counts
from airkit.data.placement import Block, Mask, Scenes, draw
from airkit.data.places import place_digits
from airkit.data.resize import Bytes
from airkit.data.sources import Digits
from airkit.errors import CanvasError

SUM_TRIES = 1000  # drawings of one canvas under overlap = "sum"
BOX_TRIES = 50  # and under the rules on boxes, whose every drawing allows many moves


@dataclass(frozen=True)
class Canvases:
    """Canvases and their truth; what a canvas does not use of the M places is -1.

    Attributes:
        image: u8 [N, H, W], ink from 0 to 255.
        count: u8 [N], digits on each canvas.
        label: i8 [N, M], which digits.
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
    """Canvases ``start`` to ``stop`` (excluded) of ``split``, from the pool ``digits``.

    Raises:
        CanvasError: digits are asked for and the pool is empty, or the digits cannot be laid
            out as ``config.overlap`` asks; never a silently lower count.
    """
    if config.max_digits and not len(digits.images):
        raise CanvasError(
            f"There are no digits to make the {split} canvases of",
            expected=f"at least 1 digit, for canvases with up to {config.max_digits}",
            got="an empty pool",
            hint="name another data.source",
        )
    counts = draw_counts(config, split, start, stop)
    canvases = _blank(config, counts)
    step = _canvases_at_once(config)
    for low in range(start, stop, step):
        high = min(low + step, stop) - start
        block = Block(config, split, digits, low)
        _fill(block, counts[low - start : high], _slice(canvases, low - start, high))
    return canvases


def _fill(block: Block, counts: Ints, out: Canvases) -> None:
    """Compose the canvases of a block, with ``counts`` [N] digits, into ``out``, which is blank."""
    pending = np.arange(len(counts))
    odds = _Odds(block)
    for attempt in range(_tries(block.config)):
        scenes = draw(block, pending, counts[pending], attempt)
        if block.config.overlap == "sum":
            good = _summed(block, scenes, out.image)
        else:
            good = _placed(block, scenes, attempt, out.image)
        odds.count(scenes.count, good)
        _write(block, scenes, good, out)
        pending = pending[~good]
        if not len(pending):
            return
        out.image[pending] = 0
        if odds.hopeless():
            break
    raise _cannot_lay_out(block, int(pending[0]), int(counts[pending[0]]))


def _summed(block: Block, scenes: Scenes, image: Bytes) -> Mask:
    """Paint scenes, each until a pixel adds up to more than full ink; which never do: [n]."""
    good = np.ones(len(scenes.row), np.bool_)
    painted = []
    for place in range(block.places):
        for owner, patches in scenes.patches(block.digits, place, good):
            good[owner] = _paint(scenes, place, owner, patches, image)
            painted.append((place, owner, patches))
    for place, owner, patches in painted:
        scenes.note_ink(place, owner, patches, good[owner])
    return good


def _placed(block: Block, scenes: Scenes, attempt: int, image: Bytes) -> Mask:
    """Place the digits of scenes and paint them; which canvases got all of theirs: [n]."""
    every = np.ones(len(scenes.row), np.bool_)
    drawn = [
        (place, owner, patches)
        for place in range(block.places)
        for owner, patches in scenes.patches(block.digits, place, every)
    ]
    for place, owner, patches in drawn:
        scenes.note_ink(place, owner, patches, every[owner])
    good = place_digits(block, scenes, attempt)
    for place, owner, patches in drawn:
        _paint(scenes, place, owner, patches, image)
    return good


def _paint(scenes: Scenes, place: int, owner: Ints, patches: Bytes, image: Bytes) -> Mask:
    """Add the patches at ``place`` to their owners' canvases; which of them were not cut."""
    row, corner = scenes.row[owner], scenes.corner[owner, place]
    if place:
        return raster.add(image, row, corner, patches)
    raster.fill(image, row, corner, patches)
    return np.ones(len(owner), np.bool_)


def _write(block: Block, scenes: Scenes, good: Mask, out: Canvases) -> None:
    """Write the truth of the good canvases to their rows of ``out``."""
    owner, place = np.nonzero((np.arange(block.places) < scenes.count[:, None]) & good[:, None])
    row, pick = scenes.row[owner], scenes.pick[owner, place]
    out.label[row, place] = block.digits.labels[pick]
    out.source_index[row, place] = block.digits.index[pick]
    ink = scenes.ink[owner, place]
    out.box[row, place, :2] = ink[:, :2] + scenes.corner[owner, place]
    out.box[row, place, 2:] = ink[:, 2:]


def _tries(config: DataConfig) -> int:
    """Drawings of one canvas before giving up."""
    return SUM_TRIES if config.overlap == "sum" else BOX_TRIES


class _Odds:
    """Keeps count of drawings, to give up early where nearly none of them can obey the rule."""

    def __init__(self, block: Block) -> None:
        self.enough = 5 * _tries(block.config)
        self.drawn = np.zeros(block.places + 1, np.int64)
        self.good = np.zeros(block.places + 1, np.int64)

    def count(self, counts: Ints, good: Mask) -> None:
        """Note drawings of canvases with ``counts`` [n] digits, and which of them were good."""
        self.drawn += np.bincount(counts, minlength=len(self.drawn))
        self.good += np.bincount(counts[good], minlength=len(self.good))

    def hopeless(self) -> bool:
        """Whether of many drawings with so many digits or more not one was good.

        At such odds some canvas would almost surely use up all its tries, only much later, so
        that giving up now does not make the outcome depend on the chunking.
        """
        drawn, good = self.drawn[::-1].cumsum(), self.good[::-1].cumsum()
        return bool(((drawn >= self.enough) & (good == 0)).any())


def _cannot_lay_out(block: Block, row: int, count: int) -> CanvasError:
    config = block.config
    rules = {"sum": "no pixel above full ink", "none": "boxes of ink disjoint"}
    rule = rules.get(str(config.overlap), f"no two boxes of ink above an IoU of {config.overlap}")
    looser = "" if config.overlap != "sum" else ", or set data.overlap to none, which packs tighter"
    return CanvasError(
        f"Cannot lay out {count} digits of about {config.digit_size:g} px on a canvas of "
        f"{config.canvas_size}x{config.canvas_size} px",
        where=f"{block.split} canvas {block.low + row}, drawn up to {_tries(config)} times",
        expected=f"{rule} (data.overlap = {config.overlap})",
        hint=f"lower data.max_digits or data.digit_size, raise data.canvas_size{looser}",
    )


def _canvases_at_once(config: DataConfig) -> int:
    """How many canvases keep the arrays of a block to a few tens of MB."""
    widest = math.floor(config.digit_size_range[1] + 0.5)
    patches = 2**25 // (max(config.max_digits, 1) * widest**2)
    return max(1, min(2**24 // config.canvas_size**2, patches))


def _blank(config: DataConfig, counts: Ints) -> Canvases:
    """Canvases with their counts, all else blank."""
    many, places, size = len(counts), max(config.max_digits, 1), config.canvas_size
    return Canvases(
        image=np.zeros((many, size, size), np.uint8),
        count=counts.astype(np.uint8),
        label=np.full((many, places), -1, np.int8),
        box=np.full((many, places, 4), -1, np.float32),
        source_index=np.full((many, places), -1, np.int32),
    )


def _slice(canvases: Canvases, low: int, high: int) -> Canvases:
    """A view of canvases ``low`` to ``high``."""
    return Canvases(**{name: array[low:high] for name, array in vars(canvases).items()})
