"""COCO's segmentations as masks: polygons, and run lengths as numbers or as text.

Run lengths go down the columns, outside first. As text each is the difference from the last but
one, in groups of five bits from the lowest on, a character each: 48 plus the bits, plus 32 where
more follow. The fifth bit of the last group is the sign.

Shapes: H x W pixels of a picture; K corners of a polygon.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from airkit.data.imports.pictures import Array

_MOST_GROUPS = 7
"""Of one run length as text: 35 bits."""


def paint(mask: Array, value: int, segmentation: Any) -> None:
    """Write ``value`` to the pixels [H, W] of a segmentation.

    A pixel is inside a polygon if its centre is; polygons may lie beyond the border.

    Raises:
        ValueError, TypeError, KeyError: it is none, or one of another size.
    """
    if isinstance(segmentation, dict):
        mask[_from_runs(segmentation, mask.shape)] = value
    else:
        for polygon in filter(None, segmentation):
            _paint_polygon(mask, value, np.asarray(polygon, float).reshape(-1, 2))


def _paint_polygon(mask: Array, value: int, corners: Array) -> None:
    """Paint a polygon of corners x, y [K, 2], by the even-odd rule."""
    if not np.isfinite(corners).all():
        raise ValueError("a polygon with a corner of nan or inf")
    height, width = mask.shape
    left, top = np.floor(corners.min(0)).clip(0, (width, height)).astype(int)
    right, bottom = np.ceil(corners.max(0)).clip(0, (width, height)).astype(int)
    columns, rows = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    inside = np.zeros((len(rows), len(columns)), bool)
    for (x, y), (next_x, next_y) in zip(corners, np.roll(corners, -1, 0), strict=True):
        crossed = (y <= rows) != (next_y <= rows)
        slope = (next_x - x) / (next_y - y) if crossed.any() else 0
        inside[crossed] ^= columns >= (x + (rows[crossed] - y) * slope)[:, None]
    mask[top:bottom, left:right][inside] = value


def _from_runs(segmentation: dict[str, Any], shape: tuple[int, ...]) -> Array:
    """The mask, bool [H, W], of run lengths."""
    counts, (height, width) = segmentation["counts"], shape
    counts = _numbers(counts) if isinstance(counts, str) else counts
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"run lengths of size {segmentation['size']}, not {[height, width]}")
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"run lengths of {sum(counts)} pixels, not {height * width}")
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return inside.reshape(width, height).T


def _numbers(text: str) -> list[int]:
    """Run lengths of their text."""
    numbers: list[int] = []
    number = groups = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or groups == _MOST_GROUPS:
            raise ValueError(f"run lengths with {character!r}")
        number |= (bits & 31) << 5 * groups
        groups += 1
        if not bits & 32:
            number -= (bits & 16) << (5 * groups - 4)  # the sign
            numbers.append(number + (numbers[-2] if len(numbers) > 2 else 0))
            number = groups = 0
    return numbers
