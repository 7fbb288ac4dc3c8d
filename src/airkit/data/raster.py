"""Resizing digits, painting them on canvases, and finding the extent of their ink.

Resizing gives the same bytes on every machine: its weights are multiples of 2^-12, so that the
first matrix product is exact in float32 and the second in float64, whatever the order of
summation in BLAS.

Shapes: N canvases of side H, K patches of side s, S side of a source digit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

INK = 26
"""Least value of an inked pixel: a tenth of full ink, 255."""
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


@lru_cache(maxsize=256)
def _factors(old: int, new: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Left factor, f32 [new, old], and right factor, f64 [old, new], of a resized image."""
    weights = resize_matrix(old, new) / SCALE
    return weights.astype(np.float32), np.ascontiguousarray(weights.T)


def resize(images: Bytes, side: int) -> Bytes:
    """Resize square images, u8 [K, S, S], to u8 [K, side, side], rounded to nearest."""
    old = images.shape[1]
    left, right = _factors(old, side)
    resized = np.empty((len(images), side, side), np.uint8)
    step = max(1, 2**17 // max(old, side) ** 2)  # half a MB of floats stays in the cache
    for low in range(0, len(images), step):
        rows = left @ images[low : low + step].astype(np.float32)
        pixels = rows.astype(np.float64) @ right
        pixels += 0.5
        resized[low : low + step] = pixels
    return resized


def add(canvases: Bytes, row: Ints, corner: Ints, patches: Bytes) -> Mask:
    """Add patches to canvases in place, clipped at 255.

    Args:
        canvases: u8 [N, H, H].
        row: canvas of each patch, [K], no two the same.
        corner: x and y of each patch's upper left pixel, [K, 2].
        patches: u8 [K, s, s].

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
    many, side, _ = patches.shape
    brightest = patches.reshape(many, -1).max(1)
    least = np.where(brightest >= INK, INK, np.minimum(brightest, 1)).astype(np.uint8)
    inked = np.zeros((many, side, -side % 64 + side), np.bool_)
    np.greater_equal(patches, least[:, None, None], out=inked[..., :side])
    # one bit a pixel: a row is a few 64-bit words, reduced faster than single pixels
    words = np.packbits(inked).view(np.uint64).reshape(many, side, -1)
    columns = np.unpackbits(np.bitwise_or.reduce(words, 1).view(np.uint8), axis=1)[:, :side]
    rows = (words != 0).any(2)
    x, y = columns.argmax(1), rows.argmax(1)
    right, bottom = side - columns[:, ::-1].argmax(1), side - rows[:, ::-1].argmax(1)
    return np.stack([x, y, right - x, bottom - y], 1)
