"""The interval of the count accuracy for new digits: its variance, its coverage, its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from some_truth import knowing, write
from tiny_runs import reference

import airkit
from airkit.evaluation.counting import interval_for_new_digits
from airkit.system.statistics import wilson

Array = np.ndarray[Any, Any]


def drawn(rng: Any, canvases: int, pool: int, most: int = 2) -> Array:
    """Digits of canvases of 0 to ``most``, each of a pool."""
    digits = rng.integers(0, pool, (canvases, most))
    digits[np.arange(most) >= rng.integers(0, most + 1, (canvases, 1))] = -1
    return np.asarray(digits)


def test_each_pair_of_canvases_that_share_a_digit_counts_once() -> None:
    rng = np.random.default_rng(3)
    digits, many = drawn(rng, 150, 400), 150
    hard = rng.random(400) < 0.1
    right = ~(hard[digits] & (digits >= 0)).any(1) & (rng.random(many) < 0.97)
    share = right.mean()
    error = right - share
    sets = [set(row[row >= 0].tolist()) for row in digits]
    variance = sum(
        error[i] * error[j]
        for i in range(many)
        for j in range(many)
        if i == j or sets[i] & sets[j]
    ) / many**2  # fmt: skip
    effective = share * (1 - share) / variance
    assert effective < many
    assert interval_for_new_digits(right, digits) == pytest.approx(
        wilson(share * effective, effective)
    )


@pytest.mark.parametrize("hard", [0.0, 0.4])
def test_coverage(hard: float) -> None:
    """Of 300 test sets, each with digits of its own, of which 3 % are missed more often."""
    rng, inside, plain = np.random.default_rng(0), 0, 0
    truth = 1 - (1 / 3) * ((easy := 0.02) + 0.03 * hard) * (1 + 2)
    for _ in range(300):
        digits = drawn(rng, 1000, 200)
        chance = np.where(rng.random(200) < 0.03, hard, 0.0)[digits] + easy
        right = rng.random(1000) >= np.where(digits >= 0, chance, 0.0).sum(1)
        low, high = interval_for_new_digits(right, digits)
        inside += low <= truth <= high
        low, high = wilson(int(right.sum()), 1000)
        plain += low <= truth <= high
    assert 0.91 <= inside / 300 <= 0.98
    assert plain <= inside
    if hard:
        assert plain / 300 < 0.88


def test_never_narrower_than_wilsons() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        right, digits = rng.random(200) < 0.9, drawn(rng, 200, 1000)
        low, high = interval_for_new_digits(right, digits)
        plain = wilson(int(right.sum()), 200)
        assert low <= plain[0] + 1e-12
        assert plain[1] - 1e-12 <= high
    assert interval_for_new_digits(np.ones(200, bool), digits) == wilson(200, 200)


def test_a_digit_twice_on_a_canvas_is_one() -> None:
    right = np.array([True] * 30 + [False])
    digits = np.arange(62).reshape(31, 2)
    digits[:, 1] = digits[:, 0]
    assert interval_for_new_digits(right, digits) == pytest.approx(wilson(30, 31))


def test_where_no_source_is_known_there_is_none(tmp_path: Path) -> None:
    known = airkit.evaluate(reference()).to_dict()
    low, high = known["count_accuracy_interval_new_digits"]
    assert low <= known["count_accuracy"] <= high
    data = write(tmp_path / "counted.h5", knowing("count", "box"))
    unknown = airkit.evaluate(reference(), data).to_dict()
    assert unknown["count_accuracy_interval_new_digits"] is None
    assert unknown["count_accuracy_one_look_interval_new_digits"] is None
    assert unknown["count_accuracy_interval"] == known["count_accuracy_interval"]
