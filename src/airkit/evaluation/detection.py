"""Inferred boxes against true boxes: intersection over union, matching, average precision.

Boxes are (x, y, width, height) in pixels; -1 pads. NumPy only, vectorised over canvases.

Legend: N canvases, M most true boxes on one, T slots.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]


def pairwise_iou(truth: Floats, inferred: Floats) -> Floats:
    """Intersection over union of each true box with each inferred box of its canvas.

    Args:
        truth: [N, M, 4].
        inferred: [N, T, 4].

    Returns:
        [N, M, T]; 0 where an inferred box meets padding, -1 where the inferred one is padding.
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
    """Mean IoU over ``boxes`` true boxes, greedily matched; a box nobody found counts as zero.

    The pair of greatest IoU on a canvas is matched first, then the next among what is left.

    Args:
        iou: [N, M, T], as from ``pairwise_iou``.
        boxes: how many true boxes there are in all; NaN is returned where there are none.
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
    """Area under the precision-recall curve, precision made monotone (PASCAL VOC from 2010 on).

    On each canvas inferred boxes claim, slot by slot, the free true box of greatest IoU;
    confidence never grows from slot to slot, so that this is the usual greedy order.

    Args:
        iou: [N, M, T], as from ``pairwise_iou``.
        confidence: [N, T], probability that a slot's object is there.
        boxes: how many true boxes there are in all; NaN is returned where there are none.
        threshold: least IoU of a match, such as 0.5.
    """
    if boxes == 0:
        return float("nan")
    hit, detected = _claims(iou, threshold)
    order = np.argsort(-confidence[detected], kind="stable")
    hits = np.cumsum(hit[detected][order])
    precision = hits / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * monotone) / boxes)


def _claims(iou: Floats, threshold: float) -> tuple[Flags, Flags]:
    """Which slots hit a true box of their own, and which inferred a box at all, as [N, T]."""
    canvases = np.arange(len(iou))
    free = iou.copy()
    hit = np.zeros((iou.shape[0], iou.shape[2]), bool)
    for slot in range(iou.shape[2]):
        claimed = free[:, :, slot].argmax(1)
        hit[:, slot] = free[canvases, claimed, slot] >= threshold
        free[canvases[hit[:, slot]], claimed[hit[:, slot]]] = -1
    return hit, hit | (iou > -1).any(1)
