"""Shares of canvases counted right. Legend: N canvases, M most objects on one."""

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


def interval_for_new_digits(right: NDArray[np.bool_], digits: Ints | None) -> tuple[float, float]:
    """Return the 95 % interval of the share counted right, had other digits been drawn as well.

    Wilson's interval holds for other canvases of the same digits. Canvases that share a digit are
    right or wrong together to some degree, so that they tell of fewer new ones: a pair of them
    counts in the variance once for each digit that it shares (Fafchamps and Gubert 2007, J. Dev.
    Econ. 83; Aronow, Samii and Assenova 2015, Political Analysis 23), and the interval is Wilson's
    for as many independent canvases as have that variance (Dean and Pagano 2015, J. Surv. Stat.
    Methodol. 3).

    A bootstrap over digits would be biased: a canvas weighted by the product of the weights of its
    k digits counts 2^k - 1 times by itself, by their sum k times, by their mean 1 / k times.

    Args:
        right: which canvases are counted right, [N].
        digits: which image of its source each object is, -1 where there is none, [N, M].

    Returns:
        The interval, never narrower than Wilson's; NaN where no source is known.
    """
    if digits is None or not (digits >= 0).any():
        return float("nan"), float("nan")
    share, many = float(right.mean()), len(right)
    error, (canvas, digit) = right - share, _memberships(digits)
    together = np.square(np.bincount(digit, error[canvas])).sum()
    alone = np.square(error) @ (np.bincount(canvas, minlength=many) - 1)
    variance, plain = (together - alone) / many**2, share * (1 - share) / many
    effective = many * plain / variance if variance > plain else many
    return wilson(share * effective, effective)


def _memberships(digits: Ints) -> tuple[Ints, Ints]:
    """Canvases and the digits on them, a pair for each digit, also if it is there twice."""
    canvas, place = np.nonzero(digits >= 0)
    _, digit = np.unique(digits[canvas, place], return_inverse=True)
    pairs = np.unique(canvas * (digit.max() + 1) + digit)
    return pairs // (digit.max() + 1), pairs % (digit.max() + 1)


def _interval(right: NDArray[np.bool_]) -> tuple[float, float]:
    return wilson(int(right.sum()), len(right))
