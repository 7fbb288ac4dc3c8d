"""The localisation policy that the guide has learned: where each slot looks, over a whole split.

Legend: B batch, N canvases, T slots, H canvas side, S bins along a side, M points.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.figures.page import FAINT, LINE, Page, grid
from airkit.model.scene import explain
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import Listener

Array = np.ndarray[Any, Any]

_BLUR = 0.04  # sd of the blur, as a share of the canvas's side
_FINEST = 128  # greater canvases have bins of two pixels a side
_NARROWEST = 84  # captions such as: on in 66.7 %


def policy(opened: TrainedRun, listener: Listener) -> tuple[Page, int]:
    """A sheet of one map for each slot, and how many canvases were looked at for it."""
    centres, counts = looks(opened, listener)
    return sheet(centres, counts, opened.air.canvas, opened.config), len(counts)


def looks(opened: TrainedRun, listener: Listener) -> tuple[Tensor, Tensor]:
    """Window centres (x, y) in pixels [N, T, 2] and counts [N], from one look at each canvas.

    One look is at the peak of the saliency and takes objects in the guide's own order; the best
    of several drawn ones, as ``eval.looks`` has it, would blur that order.
    """
    total, found = len(opened.canvases), []
    for indices in opened.batches():
        with torch.inference_mode():
            scene = explain(opened.air, opened.images(indices))
        found.append((scene.centre.cpu(), scene.count.cpu()))
        listener.progress("looking", int(indices[-1]) + 1, total)
    centres, counts = zip(*found, strict=True)
    return torch.cat(centres), torch.cat(counts)


def sheet(centres: Tensor, counts: Tensor, side: int, config: Config) -> Page:
    """A map of each slot's window centres, for ``looks`` at canvases of ``side`` pixels."""
    slots, render = centres.shape[1], config.render
    drawn = max(1, round(side * render.scale))
    width = max(drawn, _NARROWEST)
    notes = [
        f"{config.eval.split} split, all {len(counts):,} canvases; one look at each",
        "where a slot's windows are centred, on the canvases where it is on; the darker the more "
        "often, each slot on its own scale",
    ]
    layout = grid("Where each slot looks", notes, slots, render.columns, (width, drawn + 2 * LINE))
    for slot in range(slots):
        left, top = layout.corner(slot)
        on = counts > slot
        heat = smoothed(histogram(centres[on, slot].numpy(), side))
        place = left + (width - drawn) // 2, top + LINE
        tile = layout.page.heat(heat / max(heat.max(), 1e-9), *place, drawn)
        tile.caption(f"slot {slot + 1}", bold=bool(on.any()))
        tile.caption(_share(int(on.sum()), len(on)), line=1, colour=FAINT)
    return layout.page


def _share(on: int, total: int) -> str:
    if not on:
        return "never on"
    percent = 100 * on / total
    return f"on in {percent:.1f} %" if percent >= 0.1 else f"on in {percent:.1g} %"


def histogram(points: Array, side: int) -> Array:
    """How many of the points (x, y) [M, 2] are in each bin, rows from the top, as [S, S].

    Args:
        points: in pixels of the canvas, from its upper left. Those beyond it, as an affine pose
            may have, count at its edge, so that none is lost.
        side: H, pixels along the canvas's side.
    """
    bins = side if side <= _FINEST else math.ceil(side / 2)
    column, row = np.clip(points * bins / side, 0, bins - 1).astype(int).T
    return np.bincount(row * bins + column, minlength=bins**2).reshape(bins, bins)


def smoothed(counts: Array) -> Array:
    """Counts [S, S] blurred a little, their sum kept, as [S, S]."""
    places = np.arange(len(counts)) / len(counts)
    spread = np.exp(-0.5 * ((places[:, None] - places) / _BLUR) ** 2)
    spread /= spread.sum(0)  # what a bin at the edge would spread beyond it stays within
    heat: Array = spread @ counts @ spread.T
    return heat
