"""Resizing digits, to the same bytes on every machine.

Weights are whole numbers of 2^-12, so that products and sums of bytes are whole numbers that a
float64 holds exactly: no order of summation, and so no BLAS, can change the result.

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
    shrinking), cut at the border. Every row adds up to ``SCALE`` exactly, so that two passes
    over bytes stay whole numbers below 2^33 and any order of summation gives the same result.
    """
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    whole: NDArray[np.float64] = np.rint(weights / weights.sum(1, keepdims=True) * SCALE)
    whole[np.arange(new), whole.argmax(1)] += SCALE - whole.sum(1)
    whole.setflags(write=False)
    return whole


def resize(images: Bytes, side: int) -> Bytes:
    """Square images resized: u8 [K, S, S] to u8 [K, side, side], rounded to nearest."""
    old = images.shape[1]
    matrix = resize_matrix(old, side).T
    resized = np.empty((len(images), side, side), np.uint8)
    piece = max(1, 2**19 // max(old, side) ** 2)  # a few MB of floats: stays in the cache
    for low in range(0, len(images), piece):
        part = images[low : low + piece].astype(np.float64)
        across = (part.reshape(-1, old) @ matrix).reshape(-1, old, side)
        down = np.ascontiguousarray(across.swapaxes(1, 2)).reshape(-1, old) @ matrix
        down *= 1 / SCALE**2
        down += 0.5
        resized[low : low + piece] = down.reshape(-1, side, side).swapaxes(1, 2)
    return resized
