"""Objects as a threshold finds them: connected parts of pictures, and how far ink is correlated.

Shapes: N pictures of H x W pixels, S the longer side, K parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ALIKE = 0.15
"""Correlation of ink at a distance of 0.8 of an object's side, about, for discs and squares."""
_REACH = 0.72
"""That distance, in longer sides."""


@dataclass(frozen=True)
class Blobs:
    """Connected parts of pictures, an entry each."""

    picture: Array
    """Place of the picture, [K]."""
    box: Array
    """x, y, width and height in pixels, [K, 4]."""
    area: Array
    """Pixels, [K]."""
    mean: Array
    """Mean ink, [K]."""
    level: Array
    """98th percentile of the ink, [K]."""
    spread: Array
    """Standard deviation of the ink away from the edge, [K]; infinite where all is edge."""

    @property
    def side(self) -> Array:
        """The longer side of the box, [K]."""
        longer: Array = self.box[:, 2:].max(1, initial=0)
        return longer

    def of(self, chosen: Array) -> Blobs:
        """Some of them, by flags [K]."""
        return Blobs(*(column[chosen] for column in vars(self).values()))


def blobs(ink: Array, flags: Array) -> Blobs:
    """Return the parts of flags that hang together along sides and corners.

    Args:
        ink: what stands out of the background, [N, H, W].
        flags: its pixels that belong to objects, [N, H, W].
    """
    picture, y, x = np.nonzero(flags)
    part = connected(flags)
    count = int(part.max(initial=-1)) + 1
    firsts = np.zeros(count, np.int64)
    firsts[part] = picture
    values, area = ink[picture, y, x], np.bincount(part, minlength=count)
    mean = np.bincount(part, values, count) / area
    ranked = values[np.lexsort((values, part))]
    level = ranked[area.cumsum() - area + (0.98 * (area - 1)).astype(np.int64)]
    spread = _spread(part, values, _inner(flags)[picture, y, x], count)
    return Blobs(firsts, boxes(part, y, x, count), area, mean, level, spread)


def reach(ink: Array) -> float:
    """Return an object's longer side by how far ink is correlated, in pixels; 0 where it is not.

    No threshold takes part: it is where the autocovariance, averaged over pictures and directions,
    has all but fallen to what objects apart have in common.

    Args:
        ink: what stands out of the background, [N, H, W].
    """
    found, common = _autocovariance(ink), _autocovariance(ink.mean(0)[None])
    far = slice(len(found) * 2 // 3, None)
    if common[far].mean() > 1e-3 * found[1]:
        found = found - found[far].mean() / common[far].mean() * common
    if found[1] <= 0:
        return 0.0
    share = found / found[1]
    below = np.flatnonzero(share < _ALIKE)
    last = int(below[0]) if len(below) else len(share) - 1
    part = (share[last - 1] - _ALIKE) / max(share[last - 1] - share[last], 1e-12)
    return float((last - 1 + min(part, 1)) / _REACH)


def _autocovariance(ink: Array) -> Array:
    """Mean product of the ink of two pixels, by their distance in pixels, [3 S / 4]."""
    sides = ink.shape[1:]
    double = 2 * sides[0], 2 * sides[1]
    power = np.zeros((double[0], sides[1] + 1))
    for some in np.array_split(ink, -(-len(ink) // 32)):
        power += np.square(np.abs(np.fft.rfft2(some, double))).sum(0)
    down, along = (np.minimum(np.arange(most), most - np.arange(most)) for most in double)
    products = np.fft.irfft2(power, double) / len(ink)
    pairs = np.maximum(sides[0] - down, 0)[:, None] * np.maximum(sides[1] - along, 0)
    ring = np.hypot(down[:, None], along).round().astype(np.int64)
    total, weight = (np.bincount(ring.ravel(), each.ravel()) for each in (products, pairs))
    mean: Array = (total / np.maximum(weight, 1))[: max(sides) * 3 // 4]
    return mean


def connected(flags: Array, *, corners: bool = True) -> Array:
    """Return the connected part of each pixel that is set.

    Args:
        flags: pixels that are set, bool [N, H, W]; no part goes from one picture to the next.
        corners: whether pixels that touch only at a corner are connected too.

    Returns:
        Numbers of parts from 0 on, int64 [P], for the P pixels in the order of ``nonzero``; parts
        are numbered by their first pixel.
    """
    index = flags.ravel().cumsum().reshape(flags.shape) - 1
    ends = []
    for one, other in _neighbours(corners):
        both = flags[one] & flags[other]
        ends.append((index[one][both], index[other][both]))
    first, second = (np.concatenate(each) for each in zip(*ends, strict=True))
    number = np.arange(np.count_nonzero(flags))
    while (number[first] != number[second]).any():
        least = np.minimum(number[first], number[second])
        for end in (first, second):
            np.minimum.at(number, number[end], least)
        number = number[number]
    part: Array = np.unique(number, return_inverse=True)[1]
    return part


def _neighbours(corners: bool) -> list[tuple[Any, Any]]:
    """Slices of pictures and of the pixels to the right, below, and below to both sides."""
    all_, low, high = slice(None), slice(0, -1), slice(1, None)
    sides = [((all_, all_, low), (all_, all_, high)), ((all_, low), (all_, high))]
    diagonals = [((all_, low, low), (all_, high, high)), ((all_, low, high), (all_, high, low))]
    return sides + diagonals if corners else sides


def boxes(part: Array, rows: Array, columns: Array, count: int) -> Array:
    """Return boxes x, y, width and height around parts, int64 [K, 4]; see ``extent``."""
    (left, width), (top, height) = (extent(part, each, count) for each in (columns, rows))
    return np.stack([left, top, width, height], 1)


def extent(part: Array, place: Array, count: int) -> tuple[Array, Array]:
    """Return the least place of each part and its extent, int64 [K] each.

    Args:
        part: number of the part of each pixel, as of ``connected``, [P].
        place: its row or column, [P].
        count: K.
    """
    least, most = np.full(count, 2**31), np.zeros(count, np.int64)
    np.minimum.at(least, part, place)
    np.maximum.at(most, part, place)
    return least, most - least + 1


def _inner(flags: Array) -> Array:
    """Pixels whose neighbours two pixels around are set too."""
    inner: Array = flags
    for axis in (1, 2):
        padded = np.pad(inner, [(2, 2) if each == axis else (0, 0) for each in range(3)])
        inner = np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 5, axis).all(-1))
    return inner


def _spread(part: Array, values: Array, inner: Array, count: int) -> Array:
    """Standard deviation of the values of the inner pixels of each part."""
    pixels, sums, squares = (
        np.bincount(part[inner], values[inner] ** power, count) for power in (0, 1, 2)
    )
    mean = sums / np.maximum(pixels, 1)
    variance = np.maximum(squares / np.maximum(pixels, 1) - mean**2, 0)
    return np.where(pixels >= 4, np.sqrt(variance), np.inf)
