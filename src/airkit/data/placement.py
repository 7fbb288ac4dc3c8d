"""What is drawn at random: counts, layouts and colours; and places where boxes hardly overlap.

Random numbers are counter-based: canvas i owns a fixed range of a stream's words. They are drawn by
comparing and multiplying integers, so that no machine's rounding changes them; operations on
colours are exactly rounded.

Shapes: n canvases drawn at one attempt, M digits at most on one, K digits of one side, s side of
a resized digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.canvases import SPLITS
from airkit.data.digits import Digits
from airkit.data.raster import Bytes, Floats, Ints, Mask, add, resize
from airkit.system import seeds

Words = NDArray[np.uint64]

SATURATION = (0.5, 1.0)
"""Least and greatest saturation of a colour; hues are uniform."""
_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


@dataclass(frozen=True)
class Block:
    """Consecutive canvases of a split that are composed together, from number ``start`` on."""

    config: DataConfig
    split: str
    start: int

    @property
    def places(self) -> int:
        """M, the length of a canvas's lists of digits."""
        return max(self.config.max_digits, 1)

    def words(self, name: str, rows: Ints, attempt: int, width: int) -> Words:
        """Random words of the block's ``rows`` (ascending) in stream ``name``: u64 [n, width]."""
        stream = seeds.sequence(self.config.seed, name, SPLITS.index(self.split), attempt)
        first, last = int(rows[0]), int(rows[-1])
        words = owned_words(stream, self.start + first, self.start + last + 1, width)
        return words[rows - first]


@dataclass(frozen=True)
class DigitBlock(Block):
    """A block of canvases of digits."""

    digits: Digits

    @cached_property
    def sides(self) -> tuple[int, Words]:
        """The distribution of sides, as ``side_edges`` gives it."""
        return side_edges(self.config)


@dataclass(frozen=True)
class Layouts:
    """Layouts of n canvases; entries from place ``count`` on are meaningless.

    Attributes:
        row: i64 [n], row of each canvas in its block.
        count: i64 [n], digits on each.
        digit: i64 [n, M], row of each digit in the pool.
        side: i64 [n, M], side of its patch.
        corner: i64 [n, M, 2], x and y of its patch's upper left pixel; ``place_digits`` sets it.
        ink: i64 [n, M, 4], x, y, width, height of its ink within the patch; ``compose`` sets it.
        tint: i64 [n, M, C], level of each channel at full ink, 0 to 255.
    """

    row: Ints
    count: Ints
    digit: Ints
    side: Ints
    corner: Ints
    ink: Ints
    tint: Ints

    def patches(self, digits: Digits, places: range, wanted: Mask) -> Iterator[Patches]:
        """Resize the digits at ``places`` of the wanted canvases [n], those of a side together."""
        some = slice(places.start, places.stop)
        there = (np.array(places)[:, None] < self.count) & wanted
        sides = self.side[:, some].T[there].astype(np.int16)  # 16 bits are sorted by radix
        order = np.argsort(sides, kind="stable")
        place, canvas = (each[order] for each in np.nonzero(there))
        cuts = np.flatnonzero(np.diff(sides[order], prepend=-1, append=-1))
        for first, last in pairwise(cuts):
            at = canvas[first:last], place[first:last] + places.start
            side = int(self.side[at[0][0], at[1][0]])
            yield Patches(*at, resize(digits.images[self.digit[at]], side))

    def paint(self, patches: Patches, place: int, image: Bytes) -> tuple[Ints, Mask]:
        """Add the patches at ``place`` to ``image`` [N, H, H, C], where earlier ones are already.

        Returns:
            Their canvases, [k], and as ``add``, for all channels together.
        """
        these = patches.at(place)
        canvas = patches.canvas[these]
        where, good = (self.row[canvas], self.corner[canvas, place]), np.ones(len(canvas), np.bool_)
        levels, channels = patches.levels[these], image.shape[3]
        for channel in range(channels if len(canvas) else 0):
            tinted = levels
            if channels > 1:
                full = self.tint[canvas, place, channel, None, None]
                tinted = ((levels * full + 127) // 255).astype(np.uint8)
            good &= add(image[..., channel], *where, tinted, blank=place == 0)
        return canvas, good


class Patches(NamedTuple):
    """Resized digits of one side, in the order of their places."""

    canvas: Ints
    """Canvas of each, [K]."""
    place: Ints
    """Place of each among the digits of its canvas, [K]."""
    levels: Bytes
    """Their ink, u8 [K, s, s]."""

    def at(self, place: int) -> slice:
        """Those at a place."""
        return slice(*np.searchsorted(self.place, [place, place + 1]).tolist())


def draw_layouts(block: DigitBlock, rows: Ints, count: Ints, attempt: int) -> Layouts:
    """Draw digits, sides and corners for ``rows`` [n] of the block, with ``count`` [n] digits."""
    words = block.words("canvases", rows, attempt, 2 * block.places)
    words = words.reshape(-1, block.places, 2)
    high, low = halves(words[..., 0])
    least, edges = block.sides
    side = least + np.searchsorted(edges, low, side="right")
    corner = _corners(block, side, words[..., 1])
    digit = below(np.uint64(len(block.digits.images)), high)
    tint = np.rint(255 * colours(block, rows, attempt)).astype(np.int64)
    return Layouts(rows, count, digit, side, corner, np.zeros((*digit.shape, 4), np.int64), tint)


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
    return np.asarray(done == layouts.count)


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
    return np.asarray(shared > limit * union)


def colours(block: Block, rows: Ints, attempt: int) -> Floats:
    """Colours of value 1 for the objects of ``rows`` [n] of a block: f64 [n, M, C].

    They have a stream of their own; on grey canvases all are 1, and nothing is drawn.
    """
    if block.config.channels == 1:
        return np.ones((len(rows), block.places, 1))
    words = block.words("colours", rows, attempt, block.places)
    hue, share = (half.astype(np.float64) / 2**32 for half in halves(words))
    low, high = SATURATION
    return from_hsv(hue, low + (high - low) * share)


def from_hsv(hue: Floats, saturation: Floats) -> Floats:
    """Red, green and blue of value 1 (A. R. Smith 1978, "Color gamut transform pairs").

    Args:
        hue: 0 (red) to 1 (red again), [...].
        saturation: 0 (white) to 1, [...].

    Returns:
        f64 [..., 3].

    >>> from_hsv(np.array([0.0, 0.5]), np.array([1.0, 0.5])).tolist()
    [[1.0, 0.0, 0.0], [0.5, 1.0, 1.0]]
    """
    # distance on the circle of hues, in sixths, from red, green and blue
    away = np.abs((6 * hue[..., None] - np.array([0.0, 2.0, 4.0]) + 3) % 6 - 3)
    grey: Floats = np.clip(away - 1, 0, 1)
    return 1 - saturation[..., None] * grey


def draw_counts(config: DataConfig, split: str, start: int, stop: int) -> Ints:
    """Number of digits on canvases ``start`` to ``stop`` (excluded) of ``split``: i64 [n].

    The counts have a stream of their own, so that laying out a canvas never changes its count.
    """
    weights = config.count_weights or (1.0,) * (config.max_digits - config.min_digits + 1)
    parts = np.cumsum(np.array(weights) / max(weights))
    edges = np.floor(parts / parts[-1] * 2**32).astype(np.uint64)
    stream = seeds.sequence(config.seed, "counts", SPLITS.index(split))
    words = owned_words(stream, start, stop, 1)[:, 0] >> _HALF
    return config.min_digits + np.searchsorted(edges, words, side="right")


def side_edges(config: DataConfig) -> tuple[int, Words]:
    """Distribution of a patch's side, for inverse transform sampling with 32-bit words.

    Sides are round(N(digit_size, digit_size_sd)) given that the normal is within three standard
    deviations. Probabilities are multiples of 2^-20, far coarser than the error of any erf.

    Returns:
        The least side, and the cumulative probabilities of it and of each greater side, in
        units of 2^-32: u64 [sides].
    """
    mean, sd = config.digit_size, config.digit_size_sd
    least, most = (math.floor(end + 0.5) for end in config.digit_size_range)
    tail = math.erf(3 / math.sqrt(2))
    inner = [math.erf((side + 0.5 - mean) / sd / math.sqrt(2)) for side in range(least, most)]
    shares = [*((1 + value / tail) / 2 for value in inner), 1.0]
    return least, np.array([round(share * 2**20) << 12 for share in shares], np.uint64)


def retry(counts: Ints, tries: int, attempt: Callable[[Ints, int], Mask]) -> Ints:
    """Compose canvases, those that fail again and again.

    Args:
        counts: objects on each canvas, [N]; canvases without any need no attempt.
        tries: attempts at one canvas.
        attempt: composes some rows, i64 [n], at attempt 0, 1 ...; returns which succeeded, [n].

    Returns:
        The rows that never succeeded; none if all is well.
    """
    pending = np.flatnonzero(counts)
    tried, accepted = np.zeros((2, int(counts.max(initial=0)) + 1), np.int64)  # by count
    for number in range(tries):
        if not len(pending):
            break
        good = attempt(pending, number)
        tried += np.bincount(counts[pending], minlength=len(tried))
        accepted += np.bincount(counts[pending[good]], minlength=len(tried))
        pending = pending[~good]
        # Where so many attempts at some count or more were all rejected, some canvas would almost
        # surely use up all of its own, only much later: the outcome is the same for any blocks.
        if ((tried[::-1].cumsum() >= 5 * tries) & (accepted[::-1].cumsum() == 0)).any():
            break
    return pending


def halves(words: Words) -> tuple[Words, Words]:
    """The upper and the lower 32 bits of each word."""
    return words >> _HALF, words & _LOW


def owned_words(stream: np.random.SeedSequence, start: int, stop: int, width: int) -> Words:
    """Random words of canvases ``start`` to ``stop`` (excluded), ``width`` each: u64 [n, width].

    Philox counts in steps of four words, so that a canvas owns a whole number of steps.
    """
    steps = -(-width // 4)
    bits = np.random.Philox(stream)
    bits.advance(start * steps)
    words: Words = bits.random_raw((stop - start) * steps * 4)
    return words.reshape(stop - start, steps * 4)[:, :width]


def below(bound: Words | np.uint64, word: Words) -> Ints:
    """Map 32-bit words to integers in 0..bound - 1, uniform to within bound / 2^32."""
    return ((word * bound) >> _HALF).astype(np.int64)
