"""One pass over a split: the measures, the calibration of the count, and the sheets of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Any

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.evaluation.evaluate import Evaluation, Measures
from airkit.figures import Request, policy, reconstructions
from airkit.figures.examples import FIRST, Explained, unbatched
from airkit.figures.samples import Prior
from airkit.figures.sheet import Sheet
from airkit.runs.trained import TrainedRun
from airkit.system.statistics import wilson

Array = np.ndarray[Any, Any]

SIDE = 150
"""Side of a canvas in the report, in pixels of the screen, where ``render.scale`` is auto."""
LARGE = 6
"""Canvases shown first of all."""
WORST = 16
"""Canvases kept for each sheet of the worst."""
BINS = 10
_LARGE_SIDE = 120  # before the page enlarges it: its text is as large on a phone as that of others


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


Sheets = dict[str, Sheet | None]
"""The sheets of a report by their names in the template; None where there is nothing to show."""


def gather(run: TrainedRun, request: Request) -> tuple[Measures, list[Bin], Sheets]:
    """Look at every canvas of the split once, as ``airkit eval`` does, with the same results.

    Args:
        run: the model and the canvases.
        request: the call of ``report``.

    Returns:
        The measures, the calibration of the count, and the sheets. Where true counts
        are not known there is no calibration, and no sheet of miscounts.

    Raises:
        OutputError: a sheet would be too large to draw.
    """
    evaluation = Evaluation(run)
    config, total = scaled(run.config, run.air.canvas_size, SIDE), len(run.canvases)
    kept = max(FIRST, 3 * config.render.rows * config.render.columns)
    first: list[Explained] = []
    counts: list[Explained] = []
    errors: list[Explained] = []
    centres, modes, right, confidence = [], [], [], []
    for batch in evaluation.batches(request.listener):
        canvases = list(unbatched(run, batch.indices, batch.images, batch.scene))
        first += canvases[: kept - len(first)]
        counts = worst(counts + [each for each in canvases if not each.right])
        errors = nlargest(WORST, errors + canvases, key=lambda it: it.squared_error)
        centres.append(batch.one_look.centre.cpu())
        modes.append(batch.one_look.mode.cpu())
        right += [each.right for each in canvases]
        confidence.append(batch.scene.count_probability.amax(1).cpu())
    mode = torch.cat(modes)
    large = scaled(run.config, run.air.canvas_size, _LARGE_SIDE)
    found = {
        "showcase": reconstructions.showcase(first, LARGE, large),
        "reconstructions": reconstructions.reconstructions(first, config, total),
        "steps": reconstructions.steps(first, config, total),
        "policy": policy.sheet(torch.cat(centres), mode, run.air.shape, config),
        "prior": Prior().sheet(_scaled_call(request, config)),
        "worst_counts": reconstructions.worst_counts(counts, config, total) if counts else None,
        "worst_errors": reconstructions.worst_reconstructions(errors, config, total),
    }
    bins = []
    if run.canvases.counts is not None:
        bins = calibration(torch.cat(confidence).numpy(), np.array(right))
    return evaluation.measures(str(request.run.path)), bins, found


def scaled(config: Config, pixels: int, side: int) -> Config:
    """Return a configuration whose canvases are drawn ``side`` pixels large where scale is auto."""
    if config.render.scale != "auto":
        return config
    render = config.render.model_copy(update={"scale": side / pixels})
    return config.model_copy(update={"render": render})


def _scaled_call(request: Request, config: Config) -> Request:
    """Return a call whose pictures have the scale of ``config``."""
    layer = Layer("the report", {"render": {"scale": config.render.scale}})
    return replace(request, given=[*request.given, layer])


def worst(canvases: Iterable[Explained]) -> list[Explained]:
    """Return the canvases whose counts are farthest off, of equals those of the greatest error."""

    def rank(it: Explained) -> tuple[int, float]:
        return abs(it.count - (it.true_count or 0)), it.squared_error

    return nlargest(WORST, canvases, key=rank)


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
    total = max(1, sum(each.canvases for each in bins))
    return sum(each.canvases * abs(each.confidence - each.share) for each in bins) / total
