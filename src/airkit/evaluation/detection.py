"""Measures of the boxes found: mean IoU and average precision, from the IoU of all pairs.

Legend: N canvases, M most true objects on one, T slots, D objects found on all canvases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU thresholds of COCO's AP."""
RECALLS = np.linspace(0, 1, 101)
"""Recalls at which COCO reads precision."""
MOST = 100
"""Most objects found on a canvas that COCO's AP looks at."""


def mean_iou(iou: Floats, boxes: int) -> float:
    """Return the mean IoU of true boxes with the inferred boxes matched to them.

    On each canvas the pair of greatest IoU is matched first, then the greatest among the boxes
    that are left. A true box without a match counts as 0.

    Args:
        iou: IoU of all pairs, as from ``pairwise_iou``, [N, M, T].
        boxes: number of true boxes on all canvases.

    Returns:
        The mean over all true boxes, 0..1; NaN where there are none.
    """
    if boxes == 0:
        return float("nan")
    left, total = iou.copy(), 0.0
    canvases = np.arange(len(iou))
    for _ in range(min(iou.shape[1:])):
        best = left.reshape(len(left), -1).argmax(1)
        row, column = best // left.shape[2], best % left.shape[2]
        total += np.clip(left[canvases, row, column], 0, None).sum()
        left[canvases, row] = -1
        left[canvases, :, column] = -1
    return float(total / boxes)


def average_precisions(iou: Floats, confidence: Floats, objects: int) -> tuple[float, float, float]:
    """Return COCO's AP, AP50 and AP75, as pycocotools 2.0 computes them for a single category.

    Of each canvas the 100 most confident objects found are taken, most confident first; each takes
    the true one of greatest IoU that is left, of equals the last. All canvases' are ranked by
    confidence, of equals the first. Precision, made monotone, is averaged over the recalls 0, 0.01
    ... 1 (Lin et al., arXiv 1405.0312), and AP over the IoU thresholds 0.5, 0.55 ... 0.95.

    Args:
        iou: IoU of all pairs, as from ``pairwise_iou``, [N, M, T].
        confidence: how sure each object found is, [N, T].
        objects: number of true objects on all canvases.

    Returns:
        AP, AP50 and AP75, 0..1; NaN where there are no true objects.
    """
    if objects == 0:
        return (float("nan"),) * 3
    iou, confidence = _ranked(iou, confidence)
    pairs = iou[:, :, :MOST], confidence[:, :MOST]
    found = [_interpolated(*_curve(*pairs, objects, least)) for least in THRESHOLDS]
    return float(np.mean(found)), found[0], found[5]


def voc_average_precision(iou: Floats, confidence: Floats, objects: int, threshold: float) -> float:
    """Return the whole area under the precision-recall curve at an IoU threshold.

    So PASCAL VOC has it from 2010 on (Everingham et al., IJCV 111, 2015), precision made monotone;
    matched and ranked as for ``average_precisions``, without a limit.

    Args:
        iou: IoU of all pairs, as from ``pairwise_iou``, [N, M, T].
        confidence: how sure each object found is, [N, T].
        objects: number of true objects on all canvases.
        threshold: least IoU of a match, such as 0.5.

    Returns:
        The area, 0..1; NaN where there are no true objects.
    """
    if objects == 0:
        return float("nan")
    recall, precision = _curve(*_ranked(iou, confidence), objects, threshold)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def box_scores(
    iou: Floats, confidence: Floats, objects: int, counted: Floats | None = None
) -> dict[str, float]:
    """Return the fields of ``Measures`` that are about boxes.

    Args:
        iou: IoU of all pairs, as from ``pairwise_iou``, [N, M, T].
        confidence: how sure each object found is, [N, T].
        objects: number of true objects on all canvases.
        counted: the IoU with -1 for boxes that are not counted, which mean IoU leaves out.
    """
    precisions = average_precisions(iou, confidence, objects)
    return {
        "mean_iou": mean_iou(iou if counted is None else counted, objects),
        **dict(zip(("ap", "ap50", "ap75"), precisions, strict=True)),
        "ap50_voc": voc_average_precision(iou, confidence, objects, threshold=0.5),
    }


def _ranked(iou: Floats, confidence: Floats) -> tuple[Floats, Floats]:
    """Objects found in order of confidence on each canvas, padding last."""
    confidence = np.where((iou > -1).any(1), confidence.astype(np.float64), -np.inf)
    order = np.argsort(-confidence, axis=1, kind="stable")
    ranked = np.take_along_axis(iou, order[:, None], 2)
    return ranked, np.take_along_axis(confidence, order, 1)


def _curve(
    iou: Floats, confidence: Floats, objects: int, threshold: float
) -> tuple[Floats, Floats]:
    """Recall and monotone precision after each object found, [D] each."""
    hit, found = _matches(iou, min(threshold, 1 - 1e-10)), np.isfinite(confidence)
    order = np.argsort(-confidence[found], kind="stable")
    hits = np.cumsum(hit[found][order])
    precision = hits / np.arange(1, len(hits) + 1)
    return hits / objects, np.maximum.accumulate(precision[::-1])[::-1]


def _interpolated(recall: Floats, precision: Floats) -> float:
    """Mean precision at ``RECALLS``, 0 at those that are not reached."""
    reached = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[reached].mean())


def _matches(iou: Floats, threshold: float) -> Flags:
    """Return which slots match a true object of their own, bool [N, T]."""
    canvases = np.arange(len(iou))
    free = iou[:, ::-1].copy()  # argmax takes the first of equals, pycocotools the last
    hit = np.zeros((iou.shape[0], iou.shape[2]), bool)
    for slot in range(iou.shape[2]):
        best = free[:, :, slot].argmax(1)
        hit[:, slot] = free[canvases, best, slot] >= threshold
        free[canvases[hit[:, slot]], best[hit[:, slot]]] = -1
    return hit
