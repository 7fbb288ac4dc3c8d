"""One pass over a split: the measures and the sheets of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from heapq import nlargest

import torch

from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.evaluation.evaluate import Evaluation, Measures
from airkit.figures import Request, policy, reconstructions
from airkit.figures.examples import FIRST, Explained, unbatched
from airkit.figures.samples import Prior
from airkit.figures.sheet import Sheet
from airkit.runs.trained import TrainedRun

SIDE = 150
"""Side of a canvas in the report, in pixels of the screen, where ``render.scale`` is auto."""
LARGE = 6
"""Canvases shown first of all."""
WORST = 16
"""Canvases kept for each sheet of the worst."""
_LARGE_SIDE = 120  # before the page enlarges it: its text is as large on a phone as that of others


Sheets = dict[str, Sheet | None]
"""The sheets of a report by their names in the template; None where there is nothing to show."""


def gather(run: TrainedRun, request: Request) -> tuple[Measures, Sheets]:
    """Look at every canvas of the split once, as ``airkit eval`` does, with the same results.

    Args:
        run: the model and the canvases.
        request: the call of ``report``.

    Returns:
        The measures and the sheets, without one of miscounts where true counts are not known.

    Raises:
        OutputError: a sheet would be too large to draw.
    """
    evaluation = Evaluation(run)
    config, total = scaled(run.config, run.air.canvas_size, SIDE), len(run.canvases)
    kept = max(FIRST, 3 * config.render.rows * config.render.columns)
    first: list[Explained] = []
    counts: list[Explained] = []
    errors: list[Explained] = []
    centres, modes = [], []
    for batch in evaluation.batches(request.listener):
        canvases = list(unbatched(run, batch.indices, batch.images, batch.scene))
        first += canvases[: kept - len(first)]
        counts = worst(counts + [each for each in canvases if not each.right])
        errors = nlargest(WORST, errors + canvases, key=lambda it: it.squared_error)
        centres.append(batch.one_look.centre.cpu())
        modes.append(batch.one_look.mode.cpu())
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
    return evaluation.measures(str(request.run.path)), found


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
