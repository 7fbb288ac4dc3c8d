"""The adjusted Rand index of masks, and masks of scenes found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from some_truth import knowing, write
from tiny_runs import data_file, reference

import airkit
from airkit.evaluation.evaluate import Evaluation
from airkit.evaluation.segmentation import adjusted_rand_index, dominant, found_mask
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]
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
    got = adjusted_rand_index(np.where(true == 0, -1, true), found)
    assert got == pytest.approx(inside, abs=1e-12, nan_ok=True)


def test_index_is_undefined_without_pixels() -> None:
    assert np.isnan(adjusted_rand_index(np.full((1, 9), -1), np.ones((1, 9), int))).all()
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
    likely = dominant(painted)[0]
    assert (likely[4] == 1).all()
    assert ((likely == found) | (painted[0, 0] == 0.1)).all()


def test_evaluation_measures_masks_where_there_are_some(tmp_path: Path) -> None:
    data = write(tmp_path / "masked.h5", knowing("count", "box", "mask"))
    measured = airkit.evaluate(reference(), data)
    trained = open_run(reference(), data, "best", (), SILENT)
    scores = [
        _index(mask.numpy(), scene_canvases[: count + 1, 0].numpy())
        for batch in Evaluation(trained).batches(SILENT)
        if batch.masks is not None
        for mask, scene_canvases, count in zip(
            batch.masks, batch.scene.canvases, batch.scene.count.tolist(), strict=True
        )
    ]
    assert measured.ari == pytest.approx(np.mean(scores), abs=1e-6)
    assert -0.5 < measured.foreground_ari <= 1


def _index(true: Array, canvases: Array) -> float:
    """The index of a true mask [H, H] and of canvases of the first n objects, [n + 1, H, H]."""
    painted = np.diff(canvases, axis=0)
    least = (painted**2).sum((1, 2), keepdims=True) / painted.sum((1, 2), keepdims=True) / 2
    nothing = np.full((1, *true.shape), 1e-9)
    found = np.concatenate([nothing, np.where(painted >= least, painted, 0.0)]).argmax(0)
    return float(adjusted_rand_index(true.reshape(1, -1), found.reshape(1, -1))[0])


def test_digits_have_no_masks_to_measure() -> None:
    plain = airkit.evaluate(reference(), data_file()).to_dict()
    assert plain["ari"] is plain["foreground_ari"] is None
    assert plain["mean_iou"] is not None
