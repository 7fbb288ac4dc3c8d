"""The localisation policy that the guide has learned: where each slot looks, over a split.

Legend: N canvases, T slots, H height and W width of a canvas in pixels, R rows and K columns of
bins, M points.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.figures.base import Request, SheetDrawing
from airkit.figures.marks import FAINT, LINE, drawn
from airkit.figures.page import HEAT, Paper
from airkit.figures.sheet import Key, Sheet, fitted, tile_side
from airkit.model.scene import explain
from airkit.model.spatial_transformer import Shape
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import Listener

_BLUR = 0.04  # standard deviation of the blur, as a fraction of the longer side
_MAX_BINS = 128  # larger canvases have bins of two pixels a side
_BAR = 16  # squares of the colour bar
_MIN_CELL = 84  # width of a caption such as: on in 66.7 %


class Policy(SheetDrawing):
    """Where each slot looks, as a map of its windows' centres."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        run = request.open_run()
        centres, counts = centres_and_counts(run, request.listener)
        return sheet(centres, counts, run.air.shape, run.config)


def centres_and_counts(run: TrainedRun, listener: Listener) -> tuple[Tensor, Tensor]:
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


def sheet(centres: Tensor, counts: Tensor, shape: Shape, config: Config) -> Sheet:
    """Return a map of each slot's window centres, all on one scale, so that rare slots are faint.

    Args:
        centres: window centres (x, y) in pixels, [N, T, 2].
        counts: inferred counts, [N].
        shape: H and W.
        config: ``render`` gives columns and scale, ``eval`` the split.
    """
    slots, render = centres.shape[1], fitted(config, _MIN_CELL).render
    side = tile_side(shape, render, min(render.columns, slots))
    height, width = drawn(shape, side)
    cell = (max(width, _MIN_CELL), height + 2 * LINE)
    heats = [shares(centres[:, slot], counts > slot, shape) for slot in range(slots)]
    most = max(heat.max() for heat in heats)
    notes = [
        f"{config.eval.split} split, all {len(counts):,} canvases; one look at each",
        "where the windows of a slot are centred, on the canvases where it is on; the bar: how "
        "often at each place",
    ]
    title, paper = "Where each slot looks", Paper.of(render)
    page = Sheet(title, notes, slots, render.columns, cell, keys=[_bar(most)], paper=paper)
    page.canvases = len(counts)
    for slot, heat in enumerate(heats):
        left, top = page.corner(slot)
        corner = left + (cell[0] - width) // 2, top + LINE
        tile = page.heat(heat / max(most, 1e-12), *corner, side)
        on = int((counts > slot).sum())
        tile.caption(f"slot {slot + 1}", bold=on > 0)
        tile.caption(_share(on, len(counts)), line=1, colour=FAINT)
    return page


def shares(centres: Tensor, on: Tensor, shape: Shape) -> np.ndarray:
    """Return the share of all canvases on which a slot is on and centred in a bin, [R, K].

    Args:
        centres: its window centres (x, y) in pixels, [N, 2].
        on: whether it is on, bool [N].
        shape: H and W.
    """
    heat: np.ndarray = smoothed(histogram(centres[on].numpy(), shape)) / max(1, len(on))
    return heat


def _bar(most: float) -> Key:
    """Return the colour bar, from white to the colour of the greatest share."""
    colours = HEAT(np.linspace(0, 1, _BAR), bytes=True)[:, :3].tolist()
    label = f"0 to {100 * most:.2g} % of all canvases"
    return Key(tuple((red, green, blue) for red, green, blue in colours), "", label)


def _share(on: int, total: int) -> str:
    if not on:
        return "never on"
    percent = 100 * on / total
    return f"on in {percent:.1f} %" if percent >= 0.1 else f"on in {percent:.1g} %"


def histogram(points: np.ndarray, shape: Shape) -> np.ndarray:
    """Count the points in each bin of the canvas.

    Args:
        points: (x, y) in pixels from the upper left corner, [M, 2]. Points outside the canvas,
            which an affine pose may have, count in the nearest bin.
        shape: H and W.

    Returns:
        Counts by row, from the top, and column, [R, K].
    """
    large = max(shape) > _MAX_BINS
    rows, columns = (math.ceil(side / 2) if large else side for side in shape)
    most = columns - 1, rows - 1
    column, row = np.clip(points * (columns, rows) / shape[::-1], 0, most).astype(int).T
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Return counts [R, K] after a slight Gaussian blur that keeps their sum, [R, K]."""
    sd = _BLUR * max(counts.shape)
    down, across = (_kernel(bins, sd) for bins in counts.shape)
    heat: np.ndarray = down @ counts @ across.T
    return heat


def _kernel(bins: int, sd: float) -> np.ndarray:
    """Return a blur along an axis, normalised so that nothing is lost at its ends."""
    places = np.arange(bins)
    kernel: np.ndarray = np.exp(-0.5 * ((places[:, None] - places) / sd) ** 2)
    return np.asarray(kernel / kernel.sum(0))
