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
_BANDS = 3
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
    for rows in np.array_split(np.arange(new), min(new, _BANDS)):
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
    step = max(1, 2**16 // max(old, side) ** 2)  # a quarter of a MB of floats stays in the cache
    for low in range(0, len(images), step):
        part = images[low : low + step].astype(np.float32)
        lines = np.empty((len(part), side, old), np.float32)
        for band in _bands(old, side):
            np.matmul(band.left, part[:, band.old], out=lines[:, band.new])
        exact = lines.astype(np.float64).reshape(-1, old)
        exact += 0.5  # to round; every resized pixel is a mean, so that it is 0.5 more
        pixels = np.empty((len(exact), side))
        for band in _bands(old, side):
            np.matmul(exact[:, band.old], band.right, out=pixels[:, band.new])
        resized[low : low + step] = pixels.reshape(-1, side, side)
    return resized


def add(canvases: Bytes, row: Ints, corner: Ints, patches: Bytes, *, blank: bool = False) -> Mask:
    """Add patches to canvases in place, clipped at 255.

    Args:
        canvases: u8 [N, H, H].
        row: canvas of each patch, [K], no two the same.
        corner: x and y of each patch's upper left pixel, [K, 2].
        patches: u8 [K, s, s].
        blank: whether these canvases are blank, which saves half of the time.

    Returns:
        Which patches were added without clipping, [K].
    """
    (many, size, _), side = canvases.shape, patches.shape[1]
    across, along = canvases.strides[:2]
    # all squares as a view; sliding_window_view would take longer than painting some hundred
    windows: Bytes = np.ndarray(
        (many, size - side + 1, size - side + 1, side, side), np.uint8, canvases, 0,
        (across, along, 1, along, 1),
    )  # fmt: skip
    x, y = corner.T
    if blank:
        windows[row, y, x] = patches
        return np.ones(len(row), np.bool_)
    before = windows[row, y, x]
    room = ~before  # 255 - before
    windows[row, y, x] = before + np.minimum(patches, room)
    unclipped: Mask = ~(patches > room).reshape(len(row), -1).any(1)
    return unclipped


def extents(patches: Bytes) -> Ints:
    """Bounding box of each patch's ink: u8 [K, s, s] to i64 [K, 4] of x, y, width, height.

    Where no pixel reaches ``INK``, all pixels above 0 count as ink; a blank patch's box is the
    whole patch.
    """
    pixels = np.ascontiguousarray(np.moveaxis(patches, 0, 2))  # reduced for many patches at once
    lines = np.stack([pixels.max(0), pixels.max(1)])  # columns and rows, [2, s, K]
    brightest = lines[0].max(0)
    inked = lines >= np.where(brightest >= INK, INK, np.minimum(brightest, 1))
    first, after = inked.argmax(1), patches.shape[1] - inked[:, ::-1].argmax(1)
    return np.concatenate([first, after - first]).T
