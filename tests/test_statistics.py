"""Intervals and tests of shares, by other means and by trial."""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkit.system.statistics import mcnemar, paired_interval, wilson


@pytest.mark.parametrize(
    ("right", "total", "interval"),
    [
        (50, 100, (0.403832, 0.596168)),
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (1, 1, (0.206549, 1.0)),
        (984, 1000, (0.974169, 0.990127)),
    ],
)
def test_wilson(right: int, total: int, interval: tuple[float, float]) -> None:
    """The shares p from which the data are 1.96 standard errors of p away."""
    low, high = wilson(right, total)
    assert (low, high) == pytest.approx(interval, abs=2e-6)
    assert 0 <= low <= right / total <= high <= 1, "rounding must not leave the share outside"
    for end in {low, high} - {0, 1}:
        error = math.sqrt(end * (1 - end) / total)
        assert abs(right / total - end) == pytest.approx(1.959964 * error)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_binomial_test(one: int, other: int) -> None:
    total = one + other
    tail = sum(comb(total, k) for k in range(min(one, other) + 1)) / 2**total
    assert mcnemar(one, other) == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert mcnemar(one, other) == mcnemar(other, one)


def test_mcnemar_of_many_pairs() -> None:
    assert mcnemar(0, 10_000) < 1e-300
    assert mcnemar(5_000, 5_000) == 1
    assert mcnemar(5, 15) == pytest.approx(0.0414, abs=1e-4)


@pytest.mark.parametrize(("one", "other"), [(0.02, 0.01), (0.0, 0.0), (0.3, 0.2)])
def test_the_paired_interval_covers_the_difference(one: float, other: float) -> None:
    """In about 95 of 100 draws of 500 canvases, whatever the truth."""
    draws = np.random.default_rng(0).multinomial(500, [one, other, 1 - one - other], size=4000)
    inside = 0
    for ours, theirs, _ in draws:
        low, high = paired_interval(int(ours), int(theirs), 500)
        inside += low <= one - other <= high
    assert inside / 4000 >= 0.935
