"""The localisation policy that the guide has learned: where each slot looks, over a split.

Legend: N canvases, T slots, H canvas side in pixels, S bins along a side, M points.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.figures.base import Request, SheetDrawing
from airkit.figures.page import FAINT, LINE, Sheet
from airkit.model.scene import explain
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import Listener

Array = np.ndarray[Any, Any]

_BLUR = 0.04  # standard deviation of the blur, as a fraction of the canvas side
_MAX_BINS = 128  # larger canvases have bins of two pixels a side
_MIN_CELL = 84  # width of a caption such as: on in 66.7 %


class Policy(SheetDrawing):
    """Where each slot looks, as a map of its windows' centres."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        run = request.open_run()
        centres, counts = looks(run, request.listener)
        return sheet(centres, counts, run.air.canvas_size, run.config)


def looks(run: TrainedRun, listener: Listener) -> tuple[Tensor, Tensor]:
    """Look once at every canvas of the split.

    That look is at the peak of the saliency and takes objects in the guide's own order; the best
    of ``eval.looks`` drawn ones would blur that order.

    Returns:
        Window centres (x, y) in pixels, [N, T, 2], and inferred counts, [N].
    """
    centres, counts = [], []
    for indices in run.batches():
        with torch.inference_mode():
            scene = explain(run.air, run.images(indices))
        centres.append(scene.centre.cpu())
        counts.append(scene.count.cpu())
        listener.progress("looking", int(indices[-1]) + 1, len(run.canvases))
    return torch.cat(centres), torch.cat(counts)


def sheet(centres: Tensor, counts: Tensor, side: int, config: Config) -> Sheet:
    """Return a heat map of each slot's window centres.

    Args:
        centres: window centres (x, y) in pixels, [N, T, 2].
        counts: inferred counts, [N].
        side: H.
        config: ``render`` gives columns and scale, ``eval`` the split.
    """
    slots, render = centres.shape[1], config.render
    drawn = max(1, round(side * render.scale))
    width = max(drawn, _MIN_CELL)
    notes = [
        f"{config.eval.split} split, all {len(counts):,} canvases; one look at each",
        "where a slot's windows are centred, on the canvases where it is on; the darker the more "
        "often, each slot on its own scale",
    ]
    cell = (width, drawn + 2 * LINE)
    page = Sheet("Where each slot looks", notes, slots, render.columns, cell)
    page.canvases = len(counts)
    for slot in range(slots):
        left, top = page.corner(slot)
        on = counts > slot
        heat = smoothed(histogram(centres[on, slot].numpy(), side))
        corner = left + (width - drawn) // 2, top + LINE
        tile = page.heat(heat / max(heat.max(), 1e-9), *corner, drawn)
        tile.caption(f"slot {slot + 1}", bold=bool(on.any()))
        tile.caption(_share(int(on.sum()), len(on)), line=1, colour=FAINT)
    return page


def _share(on: int, total: int) -> str:
    if not on:
        return "never on"
    percent = 100 * on / total
    return f"on in {percent:.1f} %" if percent >= 0.1 else f"on in {percent:.1g} %"


def histogram(points: Array, side: int) -> Array:
    """Count the points in each bin of the canvas.

    Args:
        points: (x, y) in pixels from the upper left corner, [M, 2]. Points outside the canvas,
            which an affine pose may have, count in the nearest bin.
        side: H.

    Returns:
        Counts by row, from the top, and column, [S, S].
    """
    bins = side if side <= _MAX_BINS else math.ceil(side / 2)
    column, row = np.clip(points * bins / side, 0, bins - 1).astype(int).T
    return np.bincount(row * bins + column, minlength=bins**2).reshape(bins, bins)


def smoothed(counts: Array) -> Array:
    """Return counts [S, S] after a slight Gaussian blur that keeps their sum, [S, S]."""
    places = np.arange(len(counts)) / len(counts)
    kernel = np.exp(-0.5 * ((places[:, None] - places) / _BLUR) ** 2)
    kernel /= kernel.sum(0)  # keeps within the canvas what a bin at the edge would spread beyond
    heat: Array = kernel @ counts @ kernel.T
    return heat
