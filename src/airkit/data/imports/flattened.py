"""Pictures that are flattened to the rows of an array, which looks like one picture then."""

from __future__ import annotations

import math

import numpy as np

from airkit.data.imports.pictures import SMALLEST, Array


def side_in_rows(rows: Array, shape: tuple[int, ...]) -> int | None:
    """The side of square pictures that are flattened to the rows of an array [N, side * side].

    A pixel of these resembles the one a side further on more than the one in the next row of the
    array, and the next row is no closer to it than any other.

    Args:
        rows: some of the rows, [n, side * side].
        shape: of the whole array.
    """
    side = math.isqrt(shape[1])
    if side < SMALLEST or side**2 != shape[1] or len(rows) < 2 or rows.dtype.kind not in "biuf":
        return None
    rows = rows.astype(np.float32)
    below = np.abs(np.diff(rows, axis=0)).mean()
    further = np.abs(rows[:, side:] - rows[:, :-side]).mean()
    elsewhere = np.abs(rows - np.roll(rows, len(rows) // 2, axis=0)).mean()
    return side if below > max(1.2 * further, 0.7 * elsewhere) else None
