"""Measures of masks: how well the pixels of a canvas are grouped by object.

Legend: N canvases, P pixels of one, H x W, M most true objects on one, T objects found, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from airkit.evaluation.detection import average_precisions
from airkit.evaluation.measures import Batch, Measure
from airkit.runs.trained import TrainedRun

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
_NOTHING = 0.01  # share of a pixel that counts as none


class MaskScores:
    """The fields of ``Measures`` that are about masks, gathered canvas by canvas."""

    def __init__(self) -> None:
        self._groupings: list[Floats] = []
        self._iou: list[Floats] = []
        self._confidence: list[Floats] = []
        self._objects = 0

    def add_groups(self, true: Ints, found: Ints, likely: Ints) -> None:
        """Compare groupings of pixels; 0 is the background, and ``true`` has objects from 1.

        Args:
            true: true object of each pixel, [N, P].
            found: object found at each pixel, [N, P].
            likely: the most likely object of each pixel, background or not, [N, P].
        """
        objects = np.where(true == 0, -1, true)
        indices = adjusted_rand_index(true, found), adjusted_rand_index(objects, likely)
        self._groupings.append(np.stack([*indices, *coverings(true, found)]))

    def add_objects(self, iou: Floats, confidence: Floats, objects: int) -> None:
        """Compare objects, which may overlap.

        Args:
            iou: IoU of true and found masks, as from ``mask_iou``, [N, M, T].
            confidence: how sure each object found is, [N, T].
            objects: number of true objects on these canvases.
        """
        self._iou.append(iou)
        self._confidence.append(confidence)
        self._objects += objects

    def result(self) -> dict[str, Any]:
        """Return the fields; average precision only if objects were added."""
        names = "ari", "foreground_ari", "covering", "mean_covering"
        values = np.concatenate(self._groupings, axis=1)
        found = {name: _mean_of_known(row) for name, row in zip(names, values, strict=True)}
        if self._iou:
            pairs = _stacked(self._iou, (-1.0, -1.0)), _stacked(self._confidence, (0.0,))
            precisions = average_precisions(*pairs, self._objects)
            found |= zip(("mask_ap", "mask_ap50", "mask_ap75"), precisions, strict=True)
        return found


class Segmentation(Measure):
    """Adjusted Rand index, covering and average precision of the masks of the objects found.

    The Rand index over the pixels of true objects says how well objects are told apart, and not
    where they end: each pixel goes to the object with the greatest share, and not to the
    background.
    """

    needs = frozenset({"masks"})

    def __init__(self, trained: TrainedRun) -> None:
        super().__init__(trained)
        self.scores = MaskScores()

    def add(self, batch: Batch) -> None:
        """See ``Measure.add``."""
        assert batch.masks is not None
        masks, true = batch.scene.masks, batch.masks.flatten(1).cpu().numpy().astype(np.int64)
        found, likely = (
            each.flatten(1).cpu().numpy() for each in (found_mask(masks), dominant(masks))
        )
        self.scores.add_groups(true, found, likely)
        iou, objects = mask_iou(true, found, batch.scene.count.cpu().numpy(), masks.shape[1])
        self.scores.add_objects(iou, batch.scene.presence.cpu().numpy(), objects)

    def result(self) -> dict[str, Any]:
        """Return the fields of ``Measures`` that are about masks."""
        return self.scores.result()


def coverings(true: Ints, found: Ints) -> Floats:
    """Segmentation covering of the true objects of each canvas, f64 [2, N].

    For each true object the greatest IoU with a group found, the background among them (Arbelaez
    et al., TPAMI 33, 2011): the mean weighted by the object's pixels (SC), and the plain one (mSC),
    as in GENESIS (Engelcke et al., arXiv 1907.13052, appendix), over true objects alone.

    Args:
        true: true object of each pixel, 0 for the background, [N, P].
        found: group found of each pixel, whole numbers from 0, [N, P].

    Returns:
        SC and mSC, 0..1; NaN where a canvas has no true object.
    """
    shared = _contingency(true, found).astype(np.float64)
    sizes = shared.sum(2, keepdims=True)
    union = sizes + shared.sum(1, keepdims=True) - shared
    best = np.where(union > 0, shared / np.maximum(union, 1), 0.0).max(2)[:, 1:]
    weights = sizes[:, 1:, 0]
    present = (weights > 0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        parts = [(each * best).sum(1) / each.sum(1) for each in (weights, present)]
    return np.stack(parts)


def mask_iou(true: Ints, found: Ints, counts: Ints, slots: int) -> tuple[Floats, int]:
    """IoU of true masks and those found, which do not overlap.

    Args:
        true: true object of each pixel, 0 for the background, [N, P].
        found: the object found, 0 for the background, [N, P].
        counts: objects found on each canvas, also those without a pixel, [N].
        slots: T.

    Returns:
        The IoU, f64 [N, M, T], 0 for true objects that have no pixel, -1 beyond the count; and
        the number of true objects that have one.
    """
    shared = _contingency(true, found, (1, slots)).astype(np.float64)
    rows, columns = shared.sum(2, keepdims=True)[:, 1:], shared.sum(1, keepdims=True)[:, :, 1:]
    shared = shared[:, 1:, 1:]
    iou = shared / np.maximum(rows + columns - shared, 1)
    there = np.arange(slots) < counts[:, None]
    return np.where(there[:, None], iou, -1.0), int((rows > 0).sum())


def mask_iou_of(true: Ints, masks: Sequence[NDArray[np.bool_]]) -> tuple[Floats, int]:
    """IoU of the true masks of one canvas and those found, which may overlap.

    Args:
        true: true object of each pixel, 0 for the background, [H, W].
        masks: those found, [H, W] each.

    Returns:
        The IoU, f64 [M, T], 0 for true objects that have no pixel; and the number of true objects
        that have one.
    """
    sizes = np.bincount(true.ravel(), minlength=2)
    iou = np.zeros((len(sizes) - 1, len(masks)))
    for place, mask in enumerate(masks):
        shared = np.bincount(true[mask], minlength=len(sizes))
        iou[:, place] = (shared / np.maximum(sizes + mask.sum() - shared, 1))[1:]
    return iou, int((sizes[1:] > 0).sum())


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

    It is the one with the greatest share of the pixel among the objects whose share is at least
    half of their mean share, each pixel weighted by the share itself.

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


def _contingency(true: Ints, found: Ints, most: tuple[int, int] = (0, 0)) -> NDArray[np.int64]:
    """Pixels of each canvas by true and found group, up to ``most`` at least, i64 [N, G, G]."""
    many, kinds = len(true), int(true.max(initial=most[0])) + 1
    others = int(found.max(initial=most[1])) + 1
    canvas, pixel = np.nonzero(true >= 0)
    group = true[canvas, pixel].astype(np.int64) * others + found[canvas, pixel]
    cells = kinds * others
    return np.bincount(canvas * cells + group, minlength=many * cells).reshape(many, kinds, others)


def _mean_of_known(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean() if len(known) else np.nan)


def _stacked(parts: list[Floats], fill: tuple[float, ...]) -> Floats:
    """Arrays of several batches as one, each axis after the first padded with its ``fill``."""
    sides = np.max([part.shape[1:] for part in parts], axis=0)
    for axis, value in enumerate(fill):
        wanted = [(0, 0)] * (1 + len(fill))
        padded = []
        for part in parts:
            wanted[axis + 1] = 0, int(sides[axis] - part.shape[axis + 1])
            padded.append(np.pad(part, wanted, constant_values=value))
        parts = padded
    return np.concatenate(parts)
