"""One pass over a split: the measures, and the canvases and looks that are to be drawn.

Legend: N canvases, T slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.evaluation.evaluate import Evaluation, Measures
from airkit.figures.examples import Explained, unbatched
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import Listener
from airkit.system.statistics import wilson

Array = np.ndarray[Any, Any]

FIRST = 100
"""Canvases kept from the front of the split, for the sheets that show the first ones."""
WORST = 16
"""Canvases kept for each sheet of the worst."""
BINS = 10


@dataclass(frozen=True)
class Gathered:
    """What the report shows of a split."""

    measures: Measures
    first: list[Explained]
    """The first canvases of the split."""
    worst_counts: list[Explained]
    """Miscounted canvases, the count farthest off first, then the greatest squared error."""
    worst_errors: list[Explained]
    """The canvases of the greatest squared error, that first."""
    calibration: list[Bin]
    centres: Tensor
    """Window centres (x, y) in pixels from one look at each canvas, [N, T, 2]."""
    counts: Tensor
    """The most probable counts from one look at each canvas, [N]."""


@dataclass(frozen=True)
class Bin:
    """Canvases whose count has about the same probability under q(n)."""

    low: float
    high: float
    canvases: int
    confidence: float
    """Mean of the greatest q(n)."""
    share: float
    """Share counted right."""
    interval: tuple[float, float]
    """Its 95 % interval (Wilson)."""


def gather(opened: TrainedRun, run: str, listener: Listener) -> Gathered:
    """Look at every canvas of the split once, as ``airkit eval`` does, with the same numbers."""
    evaluation = Evaluation(opened)
    first: list[Explained] = []
    miscounts, errors = Worst(_miscount), Worst(_error)
    centres, counts, confidence = [], [], []
    with torch.no_grad():
        for batch in evaluation.batches(listener):
            canvases = list(unbatched(opened, batch.indices, batch.images, batch.scene))
            first += canvases[: FIRST - len(first)]
            miscounts.add([canvas for canvas in canvases if not canvas.right])
            errors.add(canvases)
            centres.append(batch.one_look.centre.cpu())
            counts.append(batch.one_look.mode.cpu())
            confidence.append(batch.one_look.count_probability.amax(1).cpu())
    modes = torch.cat(counts)
    right = (modes == opened.canvases.counts).numpy()
    return Gathered(
        measures=evaluation.measures(run),
        first=first,
        worst_counts=miscounts.kept,
        worst_errors=errors.kept,
        calibration=calibration(torch.cat(confidence).numpy(), right),
        centres=torch.cat(centres),
        counts=modes,
    )


class Worst:
    """The few canvases of the greatest badness, the greatest first; of equals the earlier."""

    def __init__(self, badness: Callable[[Explained], tuple[float, ...]]) -> None:
        self.badness = badness
        self.kept: list[Explained] = []

    def add(self, canvases: list[Explained]) -> None:
        """Hear of more canvases."""
        ranked = sorted([*self.kept, *canvases], key=self.badness, reverse=True)
        self.kept = ranked[:WORST]


def _miscount(canvas: Explained) -> tuple[float, ...]:
    return abs(canvas.count - canvas.true_count), canvas.squared_error


def _error(canvas: Explained) -> tuple[float, ...]:
    return (canvas.squared_error,)


def calibration(confidence: Array, right: Array) -> list[Bin]:
    """Canvases in ten bins of equal width by their confidence; empty bins are left out.

    Args:
        confidence: greatest probability of q(n), [N].
        right: whether that count is the true one, bool [N].
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [_bin(place_of, confidence[place == place_of], right[place == place_of])
            for place_of in np.unique(place)]  # fmt: skip


def _bin(place: int, confidence: Array, right: Array) -> Bin:
    return Bin(
        low=place / BINS,
        high=(place + 1) / BINS,
        canvases=len(right),
        confidence=float(confidence.mean(dtype=np.float64)),
        share=float(right.mean()),
        interval=wilson(int(right.sum()), len(right)),
    )


def calibration_error(bins: list[Bin]) -> float:
    """Mean distance of confidence and share right, weighted by canvases (ECE)."""
    total = sum(each.canvases for each in bins)
    return sum(each.canvases * abs(each.confidence - each.share) for each in bins) / total
