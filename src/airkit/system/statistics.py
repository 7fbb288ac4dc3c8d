"""Confidence intervals and tests of shares. Standard library only."""

from __future__ import annotations

import math

Z95 = 1.959964
"""Standard normal deviate of a two-sided 95 % interval."""


def wilson(right: float, total: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval (1927) for a share of ``right`` in ``total``."""
    right, total = float(right), float(total)  # of NumPy's numbers too
    share, weight = right / total, Z95**2 / total
    centre = (share + weight / 2) / (1 + weight)
    half = Z95 * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mcnemar(one: int, other: int) -> float:
    """Return the p-value of McNemar's exact two-sided test (1947) of two paired shares.

    Args:
        one: number of pairs of which the first alone is right.
        other: number of pairs of which the second alone is right.
    """
    total = one + other
    terms = (
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(min(one, other) + 1)
    )
    return min(1.0, 2 * sum(math.exp(term - total * math.log(2)) for term in terms))


def paired_interval(one: int, other: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two paired shares (Agresti and Min 2005).

    Half a pair is added to each of the four cells, so that no interval is empty.

    Args:
        one: number of pairs of which the first alone is right.
        other: number of pairs of which the second alone is right.
        total: number of pairs.
    """
    one_more, other_more, pairs = one + 0.5, other + 0.5, total + 2
    middle = (one_more - other_more) / pairs
    spread = one_more + other_more - (one_more - other_more) ** 2 / pairs
    half = Z95 * math.sqrt(spread) / pairs
    return max(-1.0, middle - half), min(1.0, middle + half)
