"""The measures and the sheets of a report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.evaluation.evaluate import measure_cached
from airkit.evaluation.result_cache import PerCanvas
from airkit.evaluation.results import Measures
from airkit.figures import Request, policy, reconstructions
from airkit.figures.examples import FIRST, explained_at
from airkit.figures.samples import Prior
from airkit.figures.sheet import Sheet
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import MUTED

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
    """Return what ``airkit eval`` finds, and pictures of some of the canvases.

    Cached results are used where model, canvases and settings are the same.

    Args:
        run: the model and the canvases.
        request: the call of ``report``.

    Returns:
        The measures and the sheets, without one of miscounts where true counts are not known.

    Raises:
        OutputError: a sheet would be too large to draw.
    """
    listener, path = request.listener, request.run.path
    measures, per_canvas = measure_cached(run, path, listener)
    config, total = scaled(run.config, run.air.canvas_size, SIDE), len(run.canvases)
    first = range(min(total, max(FIRST, 3 * config.render.rows * config.render.columns)))
    wrong, errors = worst(run.canvases.counts, per_canvas), farthest(per_canvas.error)
    canvases = explained_at(run, [*first, *wrong, *errors], listener)
    shown, wrong_shown, errors_shown = (
        [canvases[place] for place in places] for places in (first, wrong, errors)
    )
    large = scaled(run.config, run.air.canvas_size, _LARGE_SIDE)
    looks = torch.from_numpy(per_canvas.centre.copy()), torch.from_numpy(per_canvas.one_look.copy())
    scale = Layer("the report", {"render": {"scale": config.render.scale}})
    again = replace(request, given=[*request.given, scale], listener=MUTED)
    found = {
        "showcase": reconstructions.showcase(shown, LARGE, large),
        "reconstructions": reconstructions.reconstructions(shown, config, total),
        "steps": reconstructions.steps(shown, config, total),
        "policy": policy.sheet(*looks, run.air.shape, config),
        "prior": Prior().sheet(again),
        "worst_counts": reconstructions.worst_counts(wrong_shown, config, total) if wrong else None,
        "worst_errors": reconstructions.worst_reconstructions(errors_shown, config, total),
    }
    return measures, found


def scaled(config: Config, pixels: int, side: int) -> Config:
    """Return a configuration whose canvases are drawn ``side`` pixels large where scale is auto."""
    if config.render.scale != "auto":
        return config
    return config.updated("render", scale=side / pixels)


def worst(true: Tensor | None, per_canvas: PerCanvas) -> list[int]:
    """Return places of miscounted canvases, farthest off first, of equals that of most error."""
    if true is None:
        return []
    off = abs(per_canvas.together - true.numpy())
    return [place for place in farthest(off, per_canvas.error) if off[place]]


def farthest(*ranks: np.ndarray) -> list[int]:
    """Return the places of the greatest numbers; of equals, those greatest by the next ranks."""
    places: list[int] = np.lexsort([-rank for rank in reversed(ranks)])[:WORST].tolist()
    return places
