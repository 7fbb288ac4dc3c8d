"""The adjusted Rand index of masks, and masks of scenes found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from some_truth import knowing, write
from tiny_runs import data_file, reference

import airkit
from airkit.evaluation.evaluate import Evaluation
from airkit.evaluation.segmentation import (
    MaskScores,
    adjusted_rand_index,
    coverings,
    dominant,
    found_mask,
    mask_iou,
)
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


def random_masks(seed: int, many: int, pixels: int, most: int) -> tuple[Array, Array]:
    """True and found labels of pixels, more or less alike, from one group to ``most``."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, rng.integers(1, most + 1, (many, 1)), (many, pixels))
    other = rng.integers(0, rng.integers(1, most + 1, (many, 1)), (many, pixels))
    return true, np.where(rng.random((many, pixels)) < rng.random((many, 1)), true, other)


RANDOM = st.builds(
    random_masks, st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 60), st.integers(1, 7)
)


def scikit_learns(true: Array, found: Array) -> float:
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415 - slow to load

    return float(adjusted_rand_score(true, found))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(RANDOM)
def test_index_equals_scikit_learns_on_random_masks(masks: tuple[Array, Array]) -> None:
    true, found = masks
    wanted = [scikit_learns(*pair) for pair in zip(true, found, strict=True)]
    assert adjusted_rand_index(true, found) == pytest.approx(wanted, abs=1e-9)
    inside = [
        scikit_learns(one[one > 0], two[one > 0]) if one.any() else np.nan
        for one, two in zip(true, found, strict=True)
    ]
    got = adjusted_rand_index(np.where(true == 0, -1, true), found)
    assert got == pytest.approx(inside, abs=1e-9, nan_ok=True)


def slow_coverings(true: Array, found: Array) -> tuple[float, float]:
    """SC and mSC of one canvas, object by object."""
    best, sizes = [], []
    for label in set(true[true > 0].tolist()):
        one = true == label
        groups = [found == other for other in set(found.tolist())]
        best.append(max((one & group).sum() / (one | group).sum() for group in groups))
        sizes.append(one.sum())
    if not best:
        return np.nan, np.nan
    return float(np.average(best, weights=sizes)), float(np.mean(best))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(RANDOM)
def test_coverings_are_their_definitions(masks: tuple[Array, Array]) -> None:
    true, found = masks
    wanted = [slow_coverings(*pair) for pair in zip(true, found, strict=True)]
    assert pytest.approx(np.array(wanted), nan_ok=True) == coverings(true, found).T


def test_coverings_of_known_cases() -> None:
    true = np.array([[0, 0, 1, 1, 1, 2]] * 3)
    found = np.array([[0, 0, 2, 2, 2, 1], [0] * 6, [0, 0, 1, 1, 0, 1]])
    by_size = 1, (3 * 3 / 6 + 1 / 6) / 4, (3 * 2 / 4 + 1 / 3) / 4
    alike = 1, (3 / 6 + 1 / 6) / 2, (2 / 4 + 1 / 3) / 2
    assert coverings(true, found) == pytest.approx(np.array([by_size, alike]))


def test_batches_with_more_and_fewer_objects_add_up() -> None:
    """Canvases without any object are no part of what is about objects, and false ones count."""
    blank, object_ = np.zeros((1, 9), int), np.arange(9)[None] // 3
    whole, parts = MaskScores(), MaskScores()
    for scores, batches in ((whole, [[blank, object_]]), (parts, [[blank], [object_]])):
        for batch in batches:
            true = np.concatenate(batch)
            found = np.where(true == 2, 0, true)
            scores.add_groups(true, found, found)
            iou, objects = mask_iou(true, found, np.array([1] * len(true)), 1)
            scores.add_objects(iou, np.linspace(1, 0.5, 2)[: len(true), None], objects)
    told = whole.result()
    assert told == parts.result()
    assert told["mean_covering"] == pytest.approx((1 + 3 / 6) / 2)
    assert told["mask_ap50"] < 0.5, "an object without a pixel on the blank canvas is found first"


def test_without_true_objects_there_is_no_measure_of_them() -> None:
    scores, blank = MaskScores(), np.zeros((2, 9), int)
    scores.add_groups(blank, blank, blank)
    scores.add_objects(*_first(mask_iou(blank, blank, np.array([1, 0]), 1)))
    found = scores.result()
    assert found.pop("ari") == 1
    assert len(found) == 6
    assert all(np.isnan(value) for value in found.values())


def _first(pair: tuple[Array, int]) -> tuple[Array, Array, int]:
    return pair[0], np.ones((2, 1)), pair[1]


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
    assert 0 < measured.covering < 1
    assert 0 <= measured.mask_ap75 <= measured.mask_ap50 <= 1
    assert 0 <= measured.mask_ap <= measured.mask_ap50


def _index(true: Array, canvases: Array) -> float:
    """The index of a true mask [H, H] and of canvases of the first n objects, [n + 1, H, H]."""
    painted = np.diff(canvases, axis=0)
    least = (painted**2).sum((1, 2), keepdims=True) / painted.sum((1, 2), keepdims=True) / 2
    nothing = np.full((1, *true.shape), 1e-9)
    found = np.concatenate([nothing, np.where(painted >= least, painted, 0.0)]).argmax(0)
    return float(adjusted_rand_index(true.reshape(1, -1), found.reshape(1, -1))[0])


def test_digits_have_no_masks_to_measure() -> None:
    plain = airkit.evaluate(reference(), data_file()).to_dict()
    names = ("ari", "foreground_ari", "covering", "mean_covering", "mask_ap", "mask_ap75")
    assert [plain[name] for name in names] == [None] * 6
    assert plain["mean_iou"] is not None
