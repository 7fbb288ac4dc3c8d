"""Inferred boxes compared with true boxes: intersection over union, mean IoU, average precision.

Boxes are (x, y, width, height) in pixels; -1 pads.

Legend: N canvases, M most true boxes on one, T slots.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]


def pairwise_iou(truth: Floats, inferred: Floats) -> Floats:
    """Return the IoU of each true box with each inferred box of the same canvas.

    Args:
        truth: true boxes, [N, M, 4].
        inferred: inferred boxes, [N, T, 4].

    Returns:
        Area of the intersection over area of the union, [N, M, T]; 0 where the true box is
        padding, -1 where the inferred box is.
    """
    a, b = truth[:, :, None], inferred[:, None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    found = np.broadcast_to(b[..., 2] > 0, union.shape)
    both = found & (a[..., 2] > 0)
    return np.where(both, shared / np.where(both, union, 1), np.where(found, 0.0, -1.0))


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


def average_precision(iou: Floats, confidence: Floats, boxes: int, threshold: float) -> float:
    """Return the average precision of the inferred boxes at an IoU threshold.

    It is the area under the precision-recall curve, precision made monotone, as in PASCAL VOC
    from 2010 on (Everingham et al., IJCV 111, 2015). On each canvas an inferred box
    takes the true box of greatest IoU that is left. Slots do so in order, which is the order of
    confidence: it never grows from slot to slot.

    Args:
        iou: IoU of all pairs, as from ``pairwise_iou``, [N, M, T].
        confidence: probability that a slot is on, [N, T].
        boxes: number of true boxes on all canvases.
        threshold: least IoU of a match, such as 0.5.

    Returns:
        The area, 0..1; NaN where there are no true boxes.
    """
    if boxes == 0:
        return float("nan")
    hit, detected = _matches(iou, threshold)
    order = np.argsort(-confidence[detected], kind="stable")
    hits = np.cumsum(hit[detected][order])
    precision = hits / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * monotone) / boxes)


def _matches(iou: Floats, threshold: float) -> tuple[Flags, Flags]:
    """Return which slots match a true box of their own, and which have a box at all, [N, T]."""
    canvases = np.arange(len(iou))
    free = iou.copy()
    hit = np.zeros((iou.shape[0], iou.shape[2]), bool)
    for slot in range(iou.shape[2]):
        best = free[:, :, slot].argmax(1)
        hit[:, slot] = free[canvases, best, slot] >= threshold
        free[canvases[hit[:, slot]], best[hit[:, slot]]] = -1
    return hit, hit | (iou > -1).any(1)
