"""Resizing digits, painting them on canvases, and finding the extent of their ink.

Resizing gives the same bytes on every machine: its weights are multiples of 2^-12, so that the
first matrix product is exact in float32 and the second in float64, whatever the order of
summation in BLAS.

Shapes: N canvases of side H, K patches of side s, S side of a source digit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

INK = 26
"""Least value of an inked pixel: a tenth of full ink, 255."""
_BAND = 8
"""Pixels in a band at most: as many as fit a vector of float64 in AVX-512."""
SCALE = 2**12
"""Sum of the integer weights of one resized pixel."""


def resize_matrix(old: int, new: int) -> NDArray[np.float64]:
    """Integer weights that resize a line of ``old`` pixels to ``new``: f64 [new, old].

    A triangle filter as wide as a pixel of the coarser line (bilinear, anti-aliased when
    shrinking), cut at the border. Every row sums to ``SCALE`` exactly, so that sums stay below
    2^20 after one pass over bytes and below 2^33 after two.
    """
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    whole: NDArray[np.float64] = np.rint(weights / weights.sum(1, keepdims=True) * SCALE)
    whole[np.arange(new), whole.argmax(1)] += SCALE - whole.sum(1)
    return whole


class Band(NamedTuple):
    """Some pixels of a resized line, and the few pixels that they are made of."""

    new: slice
    """The resized pixels."""
    old: slice
    """The pixels with a weight in any of them."""
    left: NDArray[np.float32]
    """Weights as a left factor, [new, old]."""
    right: NDArray[np.float64]
    """Weights as a right factor, [old, new]."""


@lru_cache(maxsize=256)
def _bands(old: int, new: int) -> list[Band]:
    """The weights of a resized line in bands: most are 0, and need no multiplication."""
    weights = resize_matrix(old, new) / SCALE
    bands = []
    for rows in np.array_split(np.arange(new), -(-new // _BAND)):
        used = np.flatnonzero(weights[rows].any(0))
        own, source = (slice(each[0], each[-1] + 1) for each in (rows, used))
        part = weights[own, source]
        right = np.ascontiguousarray(part.T)
        bands.append(Band(own, source, part.astype(np.float32), right))
    return bands


def resize(images: Bytes, side: int) -> Bytes:
    """Resize square images, u8 [K, S, S], to u8 [K, side, side], rounded to nearest."""
    old = images.shape[1]
    resized = np.empty((len(images), side, side), np.uint8)
    step = max(1, 2**17 // max(old, side) ** 2)  # half a MB of floats stays in the cache
    for low in range(0, len(images), step):
        part = images[low : low + step].astype(np.float32)
        lines = np.empty((len(part), side, old), np.float32)
        for band in _bands(old, side):
            np.matmul(band.left, part[:, band.old], out=lines[:, band.new])
        lines += 0.5  # to round; every resized pixel is a mean, so that it is 0.5 more
        exact = lines.astype(np.float64).reshape(-1, old)
        pixels = np.empty((len(exact), side))
        for band in _bands(old, side):
            np.matmul(exact[:, band.old], band.right, out=pixels[:, band.new])
        resized[low : low + step] = pixels.reshape(-1, side, side)
    return resized


def add(canvases: Bytes, row: Ints, corner: Ints, patches: Bytes, *, blank: bool = False) -> Mask:
    """Add patches to canvases in place, clipped at 255.

    Args:
        canvases: u8 [N, H, H], contiguous.
        row: canvas of each patch, [K], no two the same.
        corner: x and y of each patch's upper left pixel, [K, 2].
        patches: u8 [K, s, s], each line contiguous.
        blank: whether these canvases are blank, which saves half of the time.

    Returns:
        Which patches were added without clipping, [K].
    """
    (many, size, _), side = canvases.shape, patches.shape[1]
    # all runs of s pixels, as a view: each is one item, which is copied faster than s items are
    line = np.dtype((np.void, side))
    lines = np.ndarray(many * size**2 - side + 1, line, canvases, 0, 1)
    x, y = corner.T
    at = ((row * size + y) * size + x)[:, None] + size * np.arange(side)
    if blank:
        lines[at] = patches.view(line)[..., 0]
        return np.ones(len(row), np.bool_)
    before = lines[at][..., None].view(np.uint8)
    room = ~before  # 255 - before
    lines[at] = (before + np.minimum(patches, room)).view(line)[..., 0]
    unclipped: Mask = ~(patches > room).reshape(len(row), -1).any(1)
    return unclipped


def extents(patches: Bytes) -> Ints:
    """Bounding box of each patch's ink: u8 [K, s, s] to i64 [K, 4] of x, y, width, height.

    Where no pixel reaches ``INK``, all pixels above 0 count as ink; a blank patch's box is the
    whole patch.
    """
    (many, side, _), pixels = patches.shape, patches.ravel()
    down = _greatest(pixels, side, side)  # for every column from its top on, and more
    lines = np.empty((2, many, side), np.uint8)  # columns and rows
    lines[0] = np.ndarray((many, side), np.uint8, down, 0, (side**2, 1))
    lines[1] = _greatest(pixels, side, 1)[::side].reshape(many, side)
    brightest = lines[0].max(1, keepdims=True)
    inked = lines >= np.where(brightest >= INK, INK, np.minimum(brightest, 1))
    first, after = inked.argmax(2), side - inked[..., ::-1].argmax(2)
    return np.concatenate([first, after - first]).T


def _greatest(values: Bytes, many: int, step: int) -> Bytes:
    """Greatest of ``many`` values ``step`` apart, from each value on that has so many: u8 [n].

    Every pass over all values doubles how many are compared, which takes a fraction of the time
    of maxima along many short lines.
    """
    done = 1
    while done < many:
        more = min(done, many - done)
        values = np.maximum(values[: -more * step], values[more * step :])
        done += more
    return values
