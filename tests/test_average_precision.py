"""Average precision of boxes and masks equals that of pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from airkit.evaluation.detection import MOST, average_precisions
from airkit.evaluation.segmentation import mask_iou
from airkit.system.boxes import pairwise_iou

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools


def reference(truth: list[dict[str, Any]], found: list[dict[str, Any]], images: int) -> list[float]:
    """AP, AP50 and AP75 of pycocotools."""
    if not found:
        return [0.0] * 3  # it cannot read an empty list
    kind = "bbox" if "bbox" in found[0] else "segm"
    data = COCO()
    data.dataset = {
        "images": [{"id": number, "height": 9, "width": 9} for number in range(images)],
        "annotations": [{**it, "id": n, "iscrowd": 0} for n, it in enumerate(truth, 1)],
        "categories": [{"id": 1}],
    }
    with redirect_stdout(StringIO()):
        data.createIndex()
        measured = COCOeval(data, data.loadRes(found), kind)
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return [float(it) for it in measured.stats[:3]]


def boxes_of_coco(boxes: Array, scores: Array | None = None) -> list[dict[str, Any]]:
    return [
        {"image_id": n, "category_id": 1, "bbox": box.tolist(), "area": float(box[2] * box[3])}
        | ({} if scores is None else {"score": float(scores[n, t])})
        for n, row in enumerate(boxes)
        for t, box in enumerate(row)
        if box[2] >= 0
    ]


def random_boxes(rng: Any, canvases: int, most: int, size: int) -> Array:
    """Boxes at whole or half pixels, so that IoUs tie and lie on thresholds; -1 pads."""
    boxes = rng.integers(0, size, (canvases, most, 4)) / rng.choice([1, 2])
    boxes[..., 2:] += 1
    boxes[np.arange(most) >= rng.integers(0, most + 1, (canvases, 1))] = -1
    return np.asarray(boxes)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 6), st.integers(2, 9))
def test_boxes(seed: int, canvases: int, most: int, size: int) -> None:
    """Near the truth or anywhere, in any order, with scores that tie."""
    rng = np.random.default_rng(seed)
    truth, found = (random_boxes(rng, canvases, most, size) for _ in range(2))
    near = truth[:, rng.permutation(most)] + rng.choice([0, 0, 0, 0.5, 1], (canvases, most, 4))
    found = np.where((near >= 0) & (rng.random((canvases, most, 1)) < 0.7), near, found)
    scores = rng.integers(0, rng.choice([2, 5, 1000]), (canvases, most)) / 1000
    objects = int((truth[..., 2] > 0).sum())
    got = average_precisions(pairwise_iou(truth, found), scores, objects)
    if objects:
        wanted = reference(boxes_of_coco(truth), boxes_of_coco(found, scores), canvases)
        assert got == pytest.approx(wanted, abs=1e-9)
    else:
        assert np.isnan(got).all()


def masks_of_coco(masks: Array, counts: Sequence[int], scores: Array) -> list[dict[str, Any]]:
    """Runs of the objects of label images [N, H, W], as many as ``counts`` says."""
    return [
        {
            "image_id": n,
            "category_id": 1,
            "area": int((labels == it + 1).sum()),
            "score": float(scores[n, it]),
            "segmentation": coco_mask.encode(
                np.asfortranarray((labels == it + 1).astype(np.uint8))
            ),
        }
        for n, labels in enumerate(masks)
        for it in range(counts[n])
    ]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 5))
def test_masks(seed: int, canvases: int, most: int) -> None:
    """Some objects found have no pixel."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, most + 1, (canvases, 3, 3)).repeat(3, 1).repeat(3, 2)
    noise = rng.integers(0, most + 1, truth.shape)
    found = np.where(rng.random(truth.shape) < rng.choice([0, 0.1, 0.5]), noise, truth)
    scores = rng.integers(0, 6, (canvases, most)) / 6
    counts = np.maximum(found.max((1, 2)), rng.integers(0, most + 1, canvases))
    flat = truth.reshape(canvases, -1), found.reshape(canvases, -1)
    iou, objects = mask_iou(*flat, counts, most)
    got = average_precisions(iou, scores, objects)
    if objects:
        seen = [it for it in masks_of_coco(truth, [most] * canvases, scores) if it["area"]]
        wanted = reference(seen, masks_of_coco(found, counts.tolist(), scores), canvases)
        assert got == pytest.approx(wanted, abs=1e-9)
    else:
        assert np.isnan(got).all()


def test_a_hundred_objects_are_looked_at() -> None:
    """The most confident, wherever they stand."""
    places = np.arange(MOST + 30.0)
    truth = np.stack([4 * places, places, *np.ones((2, len(places))) * 3], 1)[None]
    scores = (places / 200)[None]
    got = average_precisions(pairwise_iou(truth, truth), scores, len(places))
    wanted = reference(boxes_of_coco(truth), boxes_of_coco(truth, scores), 1)
    assert got == pytest.approx(wanted)
    assert got[0] < 0.8


def test_numbers_of_single_precision_are_no_nearer_to_a_threshold() -> None:
    truth = np.array([[[0, 0, 10, 10]]], np.float32)
    found = np.array([[[0, 0, 10, 7.5]]], np.float32)
    got = average_precisions(pairwise_iou(truth, found), np.ones((1, 1), np.float32), 1)
    assert got == pytest.approx(
        reference(boxes_of_coco(truth), boxes_of_coco(found, np.ones((1, 1))), 1)
    )
    assert got == pytest.approx((0.6, 1, 1))
