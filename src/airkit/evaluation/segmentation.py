"""The measure of masks: how well the pixels of a canvas are grouped by object.

Legend: N canvases, P pixels of one, H x W, T slots.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from airkit.evaluation.measures import Batch, Measure
from airkit.runs.trained import TrainedRun

_NOTHING = 0.01  # share of a pixel that counts as none


class Segmentation(Measure):
    """Mean adjusted Rand index of the masks of the objects found, with and without background.

    Over the pixels of true objects it says how well objects are told apart, and not where they end:
    each pixel goes to the object with the greatest share, and not to the background.
    """

    needs = frozenset({"masks"})

    def __init__(self, trained: TrainedRun) -> None:
        super().__init__(trained)
        self.parts: list[NDArray[np.float64]] = []

    def add(self, batch: Batch) -> None:
        """See ``Measure.add``."""
        assert batch.masks is not None
        true = batch.masks.flatten(1).cpu().numpy().astype(np.int64)
        objects = np.where(true == 0, -1, true)
        masks = batch.scene.masks
        found, likely = (
            each.flatten(1).cpu().numpy() for each in (found_mask(masks), dominant(masks))
        )
        indices = adjusted_rand_index(true, found), adjusted_rand_index(objects, likely)
        self.parts.append(np.stack(indices))

    def result(self) -> dict[str, Any]:
        """Return the fields of ``Measures`` that are about masks."""
        every, inside = np.concatenate(self.parts, axis=1)
        known = inside[~np.isnan(inside)]
        return {
            "ari": float(every.mean()),
            "foreground_ari": float(known.mean() if len(known) else np.nan),
        }


def adjusted_rand_index(true: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Adjusted Rand index (Hubert and Arabie 1985, "Comparing partitions") of each canvas, f64 [N].

    1 where two groupings are the same, and about 0 where one is random. It equals scikit-learn's
    ``adjusted_rand_score``.

    Args:
        true: group of each pixel, whole numbers from 0; those below 0 are left out; [N, P].
        found: the same of the other grouping; no pixel is left out because of it.

    Returns:
        The index, nan where all pixels of a canvas are left out.
    """
    counts = _contingency(true, found).astype(np.float64)  # holds pairs of 2^26 pixels exactly
    total = counts.sum((1, 2))
    both = np.square(counts).sum((1, 2))
    rows, columns = (np.square(counts.sum(axis)).sum(1) for axis in (2, 1))
    same, split, merged = both - total, rows - both, columns - both
    apart = total**2 - split - merged - both
    index: NDArray[np.float64] = 2 * (same * apart - split * merged)
    with np.errstate(invalid="ignore"):
        index /= (same + split) * (split + apart) + (same + merged) * (merged + apart)
    index[(split == 0) & (merged == 0)] = 1.0
    index[total == 0] = np.nan
    return index


def found_mask(masks: Tensor) -> Tensor:
    """Which object dominates each pixel, counted from 1; 0 is the background: int64 [B, H, W].

    A pixel belongs to the object with the greatest share of it, if that is at least half of the
    object's mean share of its pixels, each weighted by the share itself.

    Args:
        masks: share of each pixel that an object has, as in ``Scene.masks``, [B, T, H, W].
    """
    level = masks.square().sum((2, 3)) / masks.sum((2, 3)).clamp(min=1e-9)
    clear = masks >= level[:, :, None, None] / 2
    return dominant(torch.where(clear, masks, torch.zeros_like(masks)))


def dominant(masks: Tensor) -> Tensor:
    """Which object has the greatest share of each pixel, however small, as ``found_mask``.

    The background, 0, is only where no object has a hundredth of a pixel.
    """
    most, owner = masks.max(1)
    return torch.where(most >= _NOTHING, owner + 1, torch.zeros_like(owner))


def _contingency(true: NDArray[Any], found: NDArray[Any]) -> NDArray[np.int64]:
    """Pixels of each canvas by true group and found group, i64 [N, groups, groups]."""
    many, kinds, others = len(true), int(true.max(initial=0)) + 1, int(found.max(initial=0)) + 1
    canvas, pixel = np.nonzero(true >= 0)
    group = true[canvas, pixel].astype(np.int64) * others + found[canvas, pixel]
    cells = kinds * others
    return np.bincount(canvas * cells + group, minlength=many * cells).reshape(many, kinds, others)
