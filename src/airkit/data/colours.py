"""Colours of drawn objects: a hue, a saturation and a value each, as red, green and blue.

Every operation is exactly rounded, so that every machine computes the same bytes.
"""

from __future__ import annotations

import numpy as np

from airkit.data.placement import Block, halves
from airkit.data.raster import Ints
from airkit.data.shapes import Floats

SATURATION = (0.5, 1.0)
"""Least and greatest saturation of a colour; hues are uniform."""


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
