"""One pass over a split: the measures, and the canvases and looks that a report draws.

Legend: N canvases, T slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.evaluation.evaluate import Evaluation, Measures
from airkit.figures import Request, policy, sheets
from airkit.figures.examples import Explained, unbatched
from airkit.figures.page import Sheet
from airkit.figures.samples import Prior
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
    """Canvases whose most probable count has about the same probability under q(n)."""

    low: float
    high: float
    canvases: int
    confidence: float
    """Mean probability of the most probable count."""
    share: float
    """Share counted right."""
    interval: tuple[float, float]
    """Its 95 % interval (Wilson)."""


def gather(run: TrainedRun, name: str, listener: Listener) -> Gathered:
    """Look at every canvas of the split once, as ``airkit eval`` does, with the same results.

    Args:
        run: the model and the canvases.
        name: the run folder, as the measures report it.
        listener: hears progress.
    """
    evaluation = Evaluation(run)
    first: list[Explained] = []
    worst_counts: list[Explained] = []
    worst_errors: list[Explained] = []
    centres, counts, confidence = [], [], []
    for batch in evaluation.batches(listener):
        canvases = list(unbatched(run, batch.indices, batch.images, batch.scene))
        first += canvases[: FIRST - len(first)]
        worst_counts = worst(worst_counts + [each for each in canvases if not each.right])
        worst_errors = nlargest(WORST, worst_errors + canvases, key=lambda it: it.squared_error)
        centres.append(batch.one_look.centre.cpu())
        counts.append(batch.one_look.mode.cpu())
        confidence.append(batch.one_look.count_probability.amax(1).cpu())
    modes = torch.cat(counts)
    right = (modes == run.canvases.counts).numpy()
    return Gathered(
        measures=evaluation.measures(name),
        first=first,
        worst_counts=worst_counts,
        worst_errors=worst_errors,
        calibration=calibration(torch.cat(confidence).numpy(), right),
        centres=torch.cat(centres),
        counts=modes,
    )


def worst(canvases: Iterable[Explained]) -> list[Explained]:
    """Return the canvases whose counts are farthest off, of equals those of the greatest error."""
    return nlargest(
        WORST, canvases, key=lambda it: (abs(it.count - it.true_count), it.squared_error)
    )


def calibration(confidence: Array, right: Array) -> list[Bin]:
    """Return ten bins of equal width by confidence, without the empty ones.

    Args:
        confidence: probability of the most probable count, [N].
        right: whether that count is the true one, bool [N].
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            low=index / BINS,
            high=(index + 1) / BINS,
            canvases=int(inside.sum()),
            confidence=float(confidence[inside].mean(dtype=np.float64)),
            share=float(right[inside].mean()),
            interval=wilson(int(right[inside].sum()), int(inside.sum())),
        )
        for index in np.unique(place)
        for inside in [place == index]
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: mean |confidence - share|, weighted by canvases."""
    total = sum(each.canvases for each in bins)
    return sum(each.canvases * abs(each.confidence - each.share) for each in bins) / total


def pictures(gathered: Gathered, run: TrainedRun, request: Request) -> dict[str, Sheet | None]:
    """Return every sheet of the report by its name in the template; None where it would be empty.

    Raises:
        OutputError: one would be too large to draw.
    """
    config, total = run.config, len(run.canvases)
    miscounted = gathered.worst_counts
    return {
        "reconstructions": sheets.reconstructions(gathered.first, config, total),
        "steps": sheets.steps(gathered.first, config, total),
        "policy": policy.sheet(gathered.centres, gathered.counts, run.air.canvas, config),
        "prior": Prior().sheet(request),
        "worst_counts": sheets.worst_counts(miscounted, config, total) if miscounted else None,
        "worst_errors": sheets.worst_reconstructions(gathered.worst_errors, config, total),
    }
