"""IoU, matching and average precision, against slow readings of their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from airkit.evaluation.detection import mean_iou, voc_average_precision
from airkit.system.boxes import pairwise_iou

Box = tuple[int, int, int, int]
Boxes = list[list[Box]]
Array = NDArray[np.float64]
PAD: Box = (-1, -1, -1, -1)

BOX = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(1, 9))
CANVASES = st.lists(
    st.tuples(st.lists(BOX, max_size=3), st.lists(BOX, max_size=4)), min_size=1, max_size=4
)


def padded(boxes: Boxes, most: int) -> Array:
    rows = [[*row, *[PAD] * (most - len(row))] for row in boxes]
    return np.array(rows, dtype=np.float64).reshape(len(boxes), most, 4)


def pairs(truth: Boxes, found: Boxes) -> Any:
    return pairwise_iou(padded(truth, 3), padded(found, 4))


def parts(canvases: list[tuple[list[Box], list[Box]]]) -> tuple[Boxes, Boxes]:
    return [true for true, _ in canvases], [found for _, found in canvases]


def total(boxes: Boxes) -> int:
    return sum(map(len, boxes))


def cell_iou(one: Box, other: Box) -> float:
    """By counting unit cells."""

    def cells(box: Box) -> set[tuple[int, int]]:
        x, y, width, height = box
        return {(column, row) for column in range(x, x + width) for row in range(y, y + height)}

    a, b = cells(one), cells(other)
    return len(a & b) / len(a | b)


def simple_mean_iou(truth: Boxes, found: Boxes) -> float:
    shared = 0.0
    for true, inferred in zip(truth, found, strict=True):
        left, right = list(range(len(true))), list(range(len(inferred)))
        while left and right:
            best = max((cell_iou(true[m], inferred[t]), -m, -t) for m in left for t in right)
            shared += best[0]
            left.remove(-best[1])
            right.remove(-best[2])
    return shared / total(truth)


def simple_ap(truth: Boxes, found: Boxes, confidence: Array, threshold: float) -> float:
    """The area under the precision-recall curve, one detection after another."""
    order = sorted(
        ((n, t) for n, row in enumerate(found) for t in range(len(row))),
        key=lambda at: -confidence[at],
    )
    claimed, hits = [set[int]() for _ in truth], list[bool]()
    for n, t in order:
        free = [m for m in range(len(truth[n])) if m not in claimed[n]]
        best = max(free, key=lambda m: (cell_iou(truth[n][m], found[n][t]), m), default=None)
        hits.append(best is not None and cell_iou(truth[n][best], found[n][t]) >= threshold)
        if hits[-1] and best is not None:
            claimed[n].add(best)
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    area = sum(max(precision[k:]) for k, hit in enumerate(hits) if hit)
    return area / total(truth)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(CANVASES)
def test_pairwise_iou_counts_cells(canvases: Any) -> None:
    """It is symmetric, too; -1 marks padding among the boxes found."""
    truth, found = parts(canvases)
    iou, swapped = pairs(truth, found), pairwise_iou(padded(found, 4), padded(truth, 3))
    assert iou.shape == (len(truth), 3, 4)
    for n, (true, inferred) in enumerate(canvases):
        for m, one in enumerate(true):
            for t, other in enumerate(inferred):
                assert iou[n, m, t] == swapped[n, t, m] == pytest.approx(cell_iou(one, other))
        assert (iou[n, :, len(inferred) :] == -1).all()


@settings(deadline=None, derandomize=True, max_examples=150)
@given(CANVASES.filter(lambda canvases: any(true for true, _ in canvases)), st.integers(0, 2**32))
def test_measures_are_their_definitions(canvases: Any, seed: int) -> None:
    truth, found = parts(canvases)
    draws = np.random.default_rng(seed).permutation(len(truth) * 4).reshape(-1, 4)
    confidence = -np.sort(-draws / 100, axis=1)  # distinct, and falling from slot to slot
    iou, boxes = pairs(truth, found), total(truth)
    assert mean_iou(iou, boxes) == pytest.approx(simple_mean_iou(truth, found))
    wanted = simple_ap(truth, found, confidence, 0.5)
    assert voc_average_precision(iou, confidence, boxes, 0.5) == pytest.approx(wanted)


HERE, THERE, AWAY = (0, 0, 4, 4), (8, 8, 4, 4), (20, 20, 3, 3)
# Confidences of the known cases: canvas by canvas, falling from slot to slot.
RANKED = np.array([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]])


@pytest.mark.parametrize(
    ("truth", "found", "ap", "iou"),
    [
        pytest.param([[HERE, THERE], [HERE]], [[HERE, THERE], [HERE]], 1, 1, id="perfect"),
        pytest.param([[HERE, THERE], [HERE]], [[THERE, HERE], [HERE]], 1, 1, id="other-order"),
        pytest.param([[HERE], [HERE]], [[], []], 0, 0, id="none"),
        pytest.param([[HERE], [HERE]], [[AWAY], [AWAY]], 0, 0, id="all-wrong"),
        pytest.param([[HERE, THERE], []], [[HERE], []], 1 / 2, 1 / 2, id="one-missed"),
        pytest.param([[HERE], [HERE]], [[HERE, HERE], [HERE]], (1 + 2 / 3) / 2, 1, id="duplicate"),
        pytest.param([[HERE], [HERE]], [[AWAY, HERE], [HERE]], 2 / 3, 1, id="a-false-alarm-first"),
        pytest.param([[HERE], [HERE]], [[HERE], [HERE, AWAY]], 1, 1, id="a-false-alarm-last"),
        pytest.param([[], [HERE]], [[AWAY], [HERE]], 1 / 2, 1, id="a-false-alarm-on-blank"),
        pytest.param([[(0, 0, 4, 4)], []], [[(0, 0, 4, 2)], []], 1, 1 / 2, id="IoU-at-threshold"),
    ],
)
def test_known_cases(truth: Boxes, found: Boxes, ap: float, iou: float) -> None:
    boxes = total(truth)
    assert voc_average_precision(pairs(truth, found), RANKED, boxes, 0.5) == pytest.approx(ap)
    assert mean_iou(pairs(truth, found), boxes) == pytest.approx(iou)


def test_without_true_boxes_there_is_no_measure() -> None:
    iou = pairwise_iou(padded([[], []], 0), padded([[HERE], []], 4))
    assert iou.shape == (2, 0, 4)
    assert math.isnan(mean_iou(iou, 0))
    assert math.isnan(voc_average_precision(iou, RANKED, 0, 0.5))
