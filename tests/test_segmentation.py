"""The adjusted Rand index of masks, and masks of scenes found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from airkit.evaluation.segmentation import adjusted_rand_index, foreground, found_mask

CASES = [
    ([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 2], 4 / 9),
    ([0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1], -1 / 9),
    ([0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], 0.0),
    ([0, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], 1.0),
    ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], 1.0),
]
"""Groupings and their index, as scikit-learn's adjusted_rand_score gives it."""


def test_index_is_scikit_learns() -> None:
    true, found, wanted = (np.array(part) for part in zip(*CASES, strict=True))
    assert adjusted_rand_index(true, found) == pytest.approx(wanted, abs=1e-15)


def test_index_equals_scikit_learns_on_random_masks() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    true = rng.integers(0, rng.integers(1, 6, (40, 1)), (40, 300))
    found = np.where(rng.random((40, 300)) < 0.6, true, rng.integers(0, 7, (40, 300)))
    wanted = [metrics.adjusted_rand_score(*pair) for pair in zip(true, found, strict=True)]
    assert adjusted_rand_index(true, found) == pytest.approx(wanted, abs=1e-12)
    inside = [
        metrics.adjusted_rand_score(one[one > 0], two[one > 0]) if one.any() else np.nan
        for one, two in zip(true, found, strict=True)
    ]
    got = adjusted_rand_index(foreground(true), found)
    assert got == pytest.approx(inside, abs=1e-12, nan_ok=True)


def test_index_is_undefined_without_pixels() -> None:
    assert np.isnan(adjusted_rand_index(foreground(np.zeros((1, 9))), np.ones((1, 9), int))).all()
    assert adjusted_rand_index(np.zeros((0, 9), int), np.zeros((0, 9), int)).shape == (0,)


def test_pixels_belong_to_the_object_that_paints_them_most() -> None:
    painted = torch.zeros(1, 3, 8, 8)
    painted[0, 0, :4] = 0.3
    painted[0, 0, 4] = 0.1  # a rim of less than half its ink
    painted[0, 1, 3, :4] = 0.8
    found = found_mask(painted)[0]
    assert (found[:3] == 1).all()
    assert found[3].tolist() == [2] * 4 + [1] * 4
    assert (found[4:] == 0).all()
