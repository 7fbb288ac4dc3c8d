"""Boxes (x, y, width, height), compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def pairwise_iou(truth: Floats, inferred: Floats) -> Floats:
    """Return the IoU of each true box with each inferred box of the same canvas.

    Args:
        truth: true boxes, [N, M, 4].
        inferred: inferred boxes, [N, T, 4].

    Returns:
        Area of the intersection over area of the union, [N, M, T]; 0 where the true box is
        padding, -1 where the inferred box is.
    """
    a, b = truth[:, :, None].astype(np.float64), inferred[:, None].astype(np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    found = np.broadcast_to(b[..., 2] >= 0, union.shape)
    both = found & (a[..., 2] > 0)
    return np.where(both, shared / np.where(both, union, 1), np.where(found, 0.0, -1.0))
