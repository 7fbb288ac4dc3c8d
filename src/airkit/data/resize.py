"""Resizing digits, to the same bytes on every machine.

Weights are whole numbers of 2^-12. The first product of bytes with them is exact in float32, the
second in float64: no order of summation, and so no BLAS, can change the result.

Shapes: K images, S side of a source digit, s side of a resized one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SCALE = 2**12
"""What the weights that make one pixel of a resized line add up to."""


@lru_cache(maxsize=256)
def resize_matrix(old: int, new: int) -> NDArray[np.float64]:
    """Weights that resize a line of ``old`` pixels to ``new``: f64 [new, old], whole numbers.

    A triangle as wide as a pixel of the coarser of the two lines (bilinear, anti-aliased when
    shrinking), cut at the border. Every row adds up to ``SCALE`` exactly, so that a pass over
    bytes stays below 2^20 and two stay below 2^33, and any order of summation gives the same.
    """
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    whole: NDArray[np.float64] = np.rint(weights / weights.sum(1, keepdims=True) * SCALE)
    whole[np.arange(new), whole.argmax(1)] += SCALE - whole.sum(1)
    whole.setflags(write=False)
    return whole


@lru_cache(maxsize=256)
def _passes(old: int, new: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What to multiply images with from the left, f32 [new, old], and the right, f64 [old, new]."""
    shares = resize_matrix(old, new) / SCALE
    return shares.astype(np.float32), np.ascontiguousarray(shares.T)


def resize(images: Bytes, side: int) -> Bytes:
    """Square images resized: u8 [K, S, S] to u8 [K, side, side], rounded to nearest."""
    old = images.shape[1]
    left, right = _passes(old, side)
    resized = np.empty((len(images), side, side), np.uint8)
    piece = max(1, 2**17 // max(old, side) ** 2)  # half a MB of floats: stays in the cache
    for low in range(0, len(images), piece):
        down = left @ images[low : low + piece].astype(np.float32)
        across = down.astype(np.float64) @ right
        across += 0.5
        resized[low : low + piece] = across
    return resized
