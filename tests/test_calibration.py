"""Calibration of the count, and accuracy by count, recomputed from scenes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import command_line
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import data_file, reference

import airkit
from airkit.evaluation.calibration import calibration, confidences
from airkit.evaluation.evaluate import Evaluation
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]


def of(sure: list[float], right: list[bool]) -> Any:
    return calibration(np.array([sure, [1 - each for each in sure]]), np.array(right))


def test_bins_and_error_by_hand() -> None:
    found = of([0.41, 0.45, 0.99, 1.0, 1.0], [True, False, True, True, False])
    ends = [(each.low, each.high, each.canvases) for each in found.bins]
    assert ends == [(0.4, 0.5, 2), (0.9, 1.0, 3)]
    assert [each.share for each in found.bins] == [0.5, pytest.approx(2 / 3)]
    assert found.bins[0].confidence == pytest.approx(0.43)
    assert found.error == pytest.approx((2 * 0.07 + 3 * (2.99 / 3 - 2 / 3)) / 5)
    none_right = of([0.95] * 10, [False] * 10).bins[0]
    assert none_right.interval == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_scores_by_hand() -> None:
    found = of([0.9, 0.8, 0.6, 0.5], [True, True, False, True])
    assert found.brier == pytest.approx((0.01 + 0.04 + 0.36 + 0.25) / 4)
    assert found.brier_constant == pytest.approx(0.75 * 0.25)
    told = (0.9, 0.8, 0.4, 0.5)
    assert found.log_score == pytest.approx(-sum(map(math.log, told)) / 4)
    constant = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert found.log_score_constant == pytest.approx(constant)


def test_all_right_and_certain_is_perfect() -> None:
    found = of([1.0] * 4, [True] * 4)
    scores = found.error, found.brier, found.log_score
    assert scores == (0, 0, 0) == (0, found.brier_constant, found.log_score_constant)


def test_certain_and_wrong_costs_much_and_is_finite() -> None:
    found = of([1.0, 1.0], [True, False])
    assert (found.error, found.brier) == (0.5, 0.5)
    assert found.log_score == pytest.approx(87.3 / 2, abs=0.1)


SURE = st.floats(0, 1, width=32)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(SURE, st.booleans()), min_size=1, max_size=30))
def test_constant_scores_are_those_of_the_share_right(pairs: list[tuple[float, bool]]) -> None:
    right = [each for _, each in pairs]
    share = sum(right) / len(right)
    found, constant = of([each for each, _ in pairs], right), of([share] * len(right), right)
    assert found.brier_constant == pytest.approx(constant.brier)
    assert found.log_score_constant == pytest.approx(constant.log_score)
    assert constant.error == pytest.approx(0, abs=1e-12)
    assert sum(each.canvases for each in found.bins) == len(right)
    assert 0 <= found.error <= 1
    assert abs(found.bins[-1].confidence - 0.5) <= 0.5


def test_confidence_is_of_the_count_that_is_given_also_if_it_was_drawn() -> None:
    (batch, *_) = Evaluation(open_run(reference(), None, "best", (), SILENT)).batches(SILENT)
    probability = torch.tensor([[0.1, 0.2, 0.7, 0.0], [0.0, 1.0, 1e-30, 1e-12]])
    scene = replace(batch.scene, count=torch.tensor([1, 1]), count_probability=probability)
    assert confidences(scene)[0] == pytest.approx([0.2, 1.0])
    assert confidences(scene)[1] == pytest.approx([0.8, 1e-12])


@pytest.mark.parametrize("counts", ["mode", "sampled"])
def test_eval_gives_both_calibrations(counts: str) -> None:
    found = airkit.evaluate(reference(), settings={"eval.counts": counts})
    trained = open_run(reference(), None, "best", {"eval.counts": counts}, SILENT)
    both: list[list[Array]] = [[], []]
    for batch in Evaluation(trained).batches(SILENT):
        assert batch.counts is not None
        for rows, scene in zip(both, (batch.scene, batch.one_look), strict=True):
            sure = scene.count_probability[torch.arange(len(scene.count)), scene.count]
            rows.append(torch.stack([sure, (scene.count == batch.counts).float()]).numpy())
    for rows, told in zip(both, (found.calibration, found.calibration_one_look), strict=True):
        sure_of, right = np.concatenate(rows, axis=1)
        assert told is not None
        assert told.brier == pytest.approx(float(np.mean((sure_of - right) ** 2)), abs=1e-6)
        assert sum(each.canvases * each.share for each in told.bins) == pytest.approx(right.sum())
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["calibration"]["bins"][0]["canvases"] > 0
    assert (
        plain["calibration_one_look"]["brier"] == found.to_dict()["calibration_one_look"]["brier"]
    )


def test_eval_says_what_its_scores_mean() -> None:
    found = airkit.evaluate(reference()).calibration
    assert found is not None
    told = command_line.run("eval", "--run", reference()).stdout
    assert f"\ncalibration, 3 looks      probability off by {100 * found.error:.2f} points" in told
    assert f"Brier {found.brier:.4f}, constant {found.brier_constant:.4f};" in told
    key = "lower is better; constant: if every count had the same probability, the share counted"
    assert told.count(f"\n{key:>{26 + len(key)}} right\n") == 1


def test_accuracy_by_count_at_one_look_adds_up() -> None:
    found = airkit.evaluate(reference(), data_file(seed=5))
    canvases = [sum(row) for row in found.confusion]
    right = [
        found.per_count_accuracy_one_look[str(count)] * number
        for count, number in enumerate(canvases)
        if number
    ]
    assert sum(right) / sum(canvases) == pytest.approx(found.count_accuracy_one_look)
    for count, (low, high) in found.per_count_accuracy_one_look_interval.items():
        assert low <= found.per_count_accuracy_one_look[count] <= high
    one = airkit.evaluate(reference(), data_file(seed=5), settings={"eval.looks": 1})
    assert one.per_count_accuracy == found.per_count_accuracy_one_look
    assert one.calibration == one.calibration_one_look == found.calibration_one_look
