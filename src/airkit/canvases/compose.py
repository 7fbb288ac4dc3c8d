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

Shapes: N canvases, M digits at most on one, K digits in all, S side of a source digit, s side of
a resized one, H = W side of a canvas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from airkit import seeds
from airkit.canvases.digits import SPLITS, Digits
from airkit.canvases.draws import Ints, Words, below, draw_counts, halves, owned_words, side_edges
from airkit.canvases.resize import Bytes, resize
from airkit.config import DataConfig
from airkit.errors import CanvasError

INK = 26
"""Least value of an inked pixel: a tenth of full ink, 255."""

SUM_TRIES = 1000  # drawings of one canvas under overlap = "sum"
BOX_TRIES = 50  # and under the rules on boxes, whose every drawing allows many moves

Mask = NDArray[np.bool_]


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
        block = _Block(config, split, digits, low)
        _fill(block, counts[low - start : high], _slice(canvases, low - start, high))
    return canvases


def extents(patches: Bytes) -> Ints:
    """Where the ink of each patch is: u8 [K, s, s] to i64 [K, 4] of x, y, width, height.

    A patch fainter than ``INK`` throughout has the extent of whatever it shows, a blank one
    its own.
    """
    side = patches.shape[1]
    columns, rows = patches.max(1), patches.max(2)
    greatest = columns.max(1, keepdims=True)
    least = np.where(greatest >= INK, INK, np.minimum(greatest, 1))
    columns, rows = columns >= least, rows >= least
    x, y = columns.argmax(1), rows.argmax(1)
    right, bottom = side - columns[:, ::-1].argmax(1), side - rows[:, ::-1].argmax(1)
    return np.stack([x, y, right - x, bottom - y], 1)


@dataclass(frozen=True)
class _Block:
    """Canvases composed together, from number ``low`` of the split on."""

    config: DataConfig
    split: str
    digits: Digits
    low: int

    @property
    def places(self) -> int:
        """M: places for digits on a canvas."""
        return max(self.config.max_digits, 1)

    @property
    def tries(self) -> int:
        """Drawings of one canvas before giving up."""
        return SUM_TRIES if self.config.overlap == "sum" else BOX_TRIES

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
class _Scenes:
    """One drawing of n canvases; places from ``count`` on hold nothing of meaning.

    Attributes:
        row: i64 [n], rows of the canvases in their block.
        count: i64 [n].
        pick: i64 [n, M], row of each digit in the pool.
        side: i64 [n, M], side of its patch.
        corner: i64 [n, M, 2], x and y of its patch on the canvas; drawn anew where
            digits are placed one after the other.
        ink: i64 [n, M, 4], extent of its ink within the patch.
        patches: for each side, the canvas [k] and place [k] of its patches, and these
            (u8 [k, s, s]).
    """

    row: Ints
    count: Ints
    pick: Ints
    side: Ints
    corner: Ints
    ink: Ints
    patches: list[tuple[Ints, Ints, Bytes]]

    @property
    def boxes(self) -> Ints:
        """Boxes of ink on the canvas: i64 [n, M, 4]."""
        return np.concatenate([self.ink[..., :2] + self.corner, self.ink[..., 2:]], 2)


def _fill(block: _Block, counts: Ints, out: Canvases) -> None:
    """Compose the canvases of a block, with ``counts`` [N] digits, into ``out``."""
    pending = np.arange(len(counts))
    odds = _Odds(block)
    for attempt in range(block.tries):
        scenes = _draw(block, pending, counts[pending], attempt)
        if block.config.overlap == "sum":
            sums = _paint(block, scenes)
            good = sums.max((1, 2)) <= 255
        else:
            good = _place(block, scenes, attempt)
            sums = np.minimum(_paint(block, scenes), 255)
        _write(block, scenes, sums, good, out)
        odds.count(scenes.count, good)
        pending = pending[~good]
        if not len(pending):
            return
        if odds.hopeless():
            break
    raise _cannot_lay_out(block, int(pending[0]), int(counts[pending[0]]))


def _draw(block: _Block, rows: Ints, count: Ints, attempt: int) -> _Scenes:
    """Draw digits, sides and places for rows of the block, and resize the digits."""
    words = block.words("canvases", rows, attempt, 2 * block.places)
    words = words.reshape(-1, block.places, 2)
    high, low = halves(words)
    least, edges = block.sides
    side = least + np.searchsorted(edges, low[..., 0], side="right")
    corner = _corner(block, side, words[..., 1])
    pick = below(np.uint64(len(block.digits.images)), high[..., 0])
    patches = list(_patches(block.digits.images, pick, side, count))
    ink = np.zeros((*pick.shape, 4), np.int64)
    for owner, place, images in patches:
        ink[owner, place] = extents(images)
    return _Scenes(rows, count, pick, side, corner, ink, patches)


def _patches(
    images: Bytes, pick: Ints, side: Ints, count: Ints
) -> Iterator[tuple[Ints, Ints, Bytes]]:
    """The picked digits resized, those of one side together; see ``_Scenes.patches``."""
    owner, place = np.nonzero(np.arange(pick.shape[1]) < count[:, None])
    sides, picks = side[owner, place], pick[owner, place]
    for wanted in np.unique(sides):
        chosen = np.flatnonzero(sides == wanted)
        resized = resize(images[picks[chosen]], int(wanted))
        yield owner[chosen], place[chosen], resized


def _paint(block: _Block, scenes: _Scenes) -> NDArray[np.uint16]:
    """Add the patches up on canvases: u16 [n, H, W]; 100 digits of full ink do not overflow."""
    size = block.config.canvas_size
    sums = np.zeros((len(scenes.count), size, size), np.uint16)
    for owner, place, images in scenes.patches:
        x, y = scenes.corner[owner, place].T
        window = np.lib.stride_tricks.sliding_window_view(
            sums, images.shape[1:], axis=(1, 2), writeable=True
        )
        # patches of one canvas are neighbours here; each pass adds at most one of them
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        for turn in range(int(rank.max()) + 1):
            now = np.flatnonzero(rank == turn)
            window[owner[now], y[now], x[now]] += images[now]
    return sums


def _corner(block: _Block, side: Ints, words: Words) -> Ints:
    """Where a patch of ``side`` [...] goes, wholly on the canvas: x and y, i64 [..., 2]."""
    room = (block.config.canvas_size - side + 1).astype(np.uint64)
    return np.stack([below(room, half) for half in halves(words)], -1)


def _place(block: _Block, scenes: _Scenes, attempt: int) -> Mask:
    """Place digits one after the other, setting ``scenes.corner``; which canvases got all: [n]."""
    limit = 0.0 if block.config.overlap == "none" else float(block.config.overlap)
    words = block.words("places", scenes.row, attempt, 64 + 32 * block.places)
    boxes = scenes.ink.copy()
    done = np.zeros_like(scenes.count)
    for move in words.T:
        now = np.flatnonzero(done < scenes.count)
        if not len(now):
            break
        place = done[now]
        corner = _corner(block, scenes.side[now, place], move[now])
        scenes.corner[now, place] = corner
        boxes[now, place, :2] = scenes.ink[now, place, :2] + corner
        seen = boxes[now, : place.max() + 1]
        earlier = np.arange(seen.shape[1]) < place[:, None]
        done[now] += ~(_clash(seen, boxes[now, place], limit) & earlier).any(1)
    complete: Mask = done == scenes.count
    return complete


def _clash(boxes: Ints, one: Ints, limit: float) -> Mask:
    """Whether boxes [n, m, 4] overlap ``one`` [n, 4] of their canvas too much: [n, m]."""
    size, one = boxes[..., 2:], one[:, None]
    near = np.maximum(boxes[..., :2], one[..., :2])
    far = np.minimum(boxes[..., :2] + size, one[..., :2] + one[..., 2:])
    shared = np.maximum(far - near, 0).prod(2)
    union = size.prod(2) + one[..., 2:].prod(2) - shared
    clash: Mask = shared > limit * union
    return clash


def _write(
    block: _Block, scenes: _Scenes, sums: NDArray[np.uint16], good: Mask, out: Canvases
) -> None:
    """Copy the good canvases to their rows of ``out``."""
    rows, pick = scenes.row[good], scenes.pick[good]
    out.image[rows] = sums[good]
    used = np.arange(block.places) < scenes.count[good, None]
    if not used.any():
        return
    out.label[rows] = np.where(used, block.digits.labels[pick], -1)
    out.source_index[rows] = np.where(used, block.digits.index[pick], -1)
    out.box[rows] = np.where(used[..., None], scenes.boxes[good], -1)


class _Odds:
    """Keeps count of drawings, to give up early where nearly none of them can obey the rule."""

    def __init__(self, block: _Block) -> None:
        self.enough = 5 * block.tries
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


def _cannot_lay_out(block: _Block, row: int, count: int) -> CanvasError:
    config = block.config
    rules = {"sum": "no pixel above full ink", "none": "boxes of ink disjoint"}
    rule = rules.get(str(config.overlap), f"no two boxes of ink above an IoU of {config.overlap}")
    looser = "" if config.overlap != "sum" else ", or set data.overlap to none, which packs tighter"
    return CanvasError(
        f"Cannot lay out {count} digits of about {config.digit_size:g} px on a canvas of "
        f"{config.canvas_size}x{config.canvas_size} px",
        where=f"{block.split} canvas {block.low + row}, drawn up to {block.tries} times",
        expected=f"{rule} (data.overlap = {config.overlap})",
        hint=f"lower data.max_digits or data.digit_size, raise data.canvas_size{looser}",
    )


def _canvases_at_once(config: DataConfig) -> int:
    """How many canvases keep the arrays of a block to a few tens of MB."""
    widest = math.floor(config.digit_size_range[1] + 0.5)
    patches = 2**25 // (max(config.max_digits, 1) * widest**2)
    return max(1, min(2**23 // config.canvas_size**2, patches))


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
