"""Shares of canvases counted right. Legend: N canvases."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from airkit.system.statistics import wilson

Ints = NDArray[np.integer[Any]]


def count_shares(true: Ints, found: Ints, which: str = "") -> dict[str, Any]:
    """Return the share counted right, in all and by true count, with Wilson's 95 % intervals.

    Args:
        true: true counts, [N].
        found: counts found, [N].
        which: end of the names ``count_accuracy`` and ``per_count_accuracy``.
    """
    right = found == true
    by_count = {str(n): right[true == n] for n in np.unique(true)}
    return {
        f"count_accuracy{which}": float(right.mean()),
        f"count_accuracy{which}_interval": _interval(right),
        f"per_count_accuracy{which}": {n: float(part.mean()) for n, part in by_count.items()},
        f"per_count_accuracy{which}_interval": {n: _interval(part) for n, part in by_count.items()},
    }


def confusion(true: Ints, found: Ints, most: int) -> list[list[int]]:
    """Return canvases by true count (rows) and count found (columns, 0 to ``most``)."""
    table = np.zeros((int(true.max()) + 1, most + 1), int)
    np.add.at(table, (true, found), 1)
    rows: list[list[int]] = table.tolist()
    return rows


def _interval(right: NDArray[np.bool_]) -> tuple[float, float]:
    return wilson(int(right.sum()), len(right))
