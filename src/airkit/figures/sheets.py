"""The pictures made of canvases: one function for each kind.

Every one returns the page and how many canvases are on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from airkit.config.schema import Config, RenderConfig
from airkit.figures.examples import Explained, miscounted, varied
from airkit.figures.page import FAINT, GAP, INK, LINE, TRUTH, Page, Tile, grid, slot_colour

Array = np.ndarray[Any, Any]
Sheet = tuple[Page, int]

_NARROWEST_CELL = 48  # a caption such as 10 → 11 takes this much
_NARROWEST_STEP = 76  # and slot 12: last this much
_AMONG = 100  # canvases to choose varied ones from
_COUNTS = "over them: true count → count found"
_ORDER = "boxes found first to last: red, green, blue, orange ..."


def reconstructions(canvases: Iterable[Explained], config: Config, total: int) -> Sheet:
    """Canvases above what the model makes of them, with the boxes of what it found."""
    render = config.render
    shown = list(islice(canvases, render.rows * render.columns))
    right = sum(canvas.right for canvas in shown)
    notes = [
        f"{config.eval.split} split, the first {len(shown):,} of {total:,} canvases, "
        f"{right:,} counted right",
        f"above: canvas, below: reconstruction; {_COUNTS}; {_ORDER}",
    ]
    return _pairs("Reconstructions", notes, shown, render, truth=False)


def errors(canvases: Iterable[Explained], config: Config, total: int) -> Sheet:
    """Canvases that were miscounted, true boxes above and inferred ones below."""
    render, split = config.render, config.eval.split
    shown, looked_at = miscounted(canvases, render.rows * render.columns)
    if not shown:
        notes = [f"{split} split, all {looked_at:,} canvases were counted right"]
        return grid("No miscounted canvas", notes, 0, 1, (0, 0)).page, 0
    first = "" if looked_at == total else f"first {looked_at:,} of its "
    notes = [
        f"{split} split, {len(shown):,} among the {first}{total:,} canvases",
        f"above: canvas and true boxes, below: reconstruction and boxes found; {_COUNTS}; {_ORDER}",
    ]
    return _pairs("Miscounted canvases", notes, shown, render, truth=True)


def worst_counts(shown: list[Explained], config: Config, total: int) -> Sheet:
    """The miscounted canvases given, worst first; at least one."""
    notes = [
        f"{config.eval.split} split, {len(shown):,} of {total:,} canvases, the count farthest off "
        "first, then the greatest squared error",
        f"above: canvas and true boxes, below: reconstruction and boxes found; {_COUNTS}; {_ORDER}",
    ]
    return _pairs("Worst miscounts", notes, shown, config.render, truth=True)


def worst_reconstructions(shown: list[Explained], config: Config, total: int) -> Sheet:
    """The canvases given, of the greatest squared error, worst first; at least one."""
    errors = f"{shown[0].squared_error:.4f} to {shown[-1].squared_error:.4f}"
    notes = [
        f"{config.eval.split} split, the {len(shown):,} of {total:,} canvases with the greatest "
        f"squared error a pixel, from {errors}",
        f"above: canvas and true boxes, below: reconstruction and boxes found; {_COUNTS}; {_ORDER}",
    ]
    return _pairs("Worst reconstructions", notes, shown, config.render, truth=True)


def _pairs(
    title: str, notes: list[str], shown: list[Explained], render: RenderConfig, *, truth: bool
) -> Sheet:
    side = _side(shown[0].image, render)
    width = max(side, _NARROWEST_CELL)
    layout = grid(title, notes, len(shown), render.columns, (width, LINE + 2 * side + 4 + GAP // 2))
    for index, canvas in enumerate(shown):
        left, top = layout.corner(index)
        left, top = left + (width - side) // 2, top + LINE
        colours = [slot_colour(slot) for slot in range(canvas.count)]
        above = layout.page.tile(canvas.image, left, top, side)
        if truth:
            above.boxes(canvas.true_boxes, [TRUTH] * canvas.true_count)
        else:
            above.boxes(canvas.boxes, colours)
        below = layout.page.tile(canvas.reconstruction, left, top + side + 4, side)
        below.boxes(canvas.boxes, colours)
        _caption_counts(above, canvas)
    return layout.page, len(shown)


def _caption_counts(tile: Tile, canvas: Explained) -> None:
    words = f"{canvas.true_count} → {canvas.count}"
    tile.caption(words, colour=FAINT if canvas.right else INK, bold=not canvas.right)


def steps(canvases: Iterable[Explained], config: Config, total: int) -> Sheet:
    """A few canvases, each a row: the canvas, then what is painted slot after slot.

    Under each slot are its window and the probability that it is on; what comes after the
    count inferred is faint.
    """
    render = config.render
    shown = varied(canvases, render.rows, _AMONG)
    slots = len(shown[0].windows)
    side, window = _side(shown[0].image, render), _side(shown[0].windows[0], render)
    width = max(side, window, _NARROWEST_STEP)
    cell = (width, LINE + side + 6 + window + LINE)
    notes = [
        f"{config.eval.split} split, {len(shown):,} of {total:,} canvases",
        "left: canvas, true count → count found; then the reconstruction after each slot, its "
        "window, and the probability p that all slots so far are on; faint: past the count found",
    ]
    layout = grid("Slot by slot", notes, len(shown) * (slots + 1), slots + 1, cell)
    for row, canvas in enumerate(shown):
        corners = [layout.corner(row * (slots + 1) + column) for column in range(slots + 1)]
        tops = [(left + (width - side) // 2, top + LINE) for left, top in corners]
        tile = layout.page.tile(canvas.image, *tops[0], side)
        tile.caption(f"{canvas.true_count} → {canvas.count}", bold=True)
        for slot, (left, top) in enumerate(tops[1:]):
            _draw_step(layout.page, canvas, slot, (left, top), (side, window))
    return layout.page, len(shown)


def _draw_step(
    page: Page, canvas: Explained, slot: int, corner: tuple[int, int], sides: tuple[int, int]
) -> None:
    """The canvas after ``slot``, its window under it, and what is said of them."""
    (left, top), (side, window) = corner, sides
    on = slot < canvas.count
    fade = 0.0 if on else 0.75
    tile = page.tile(canvas.canvases[slot + 1], left, top, side, fade=fade)
    tile.boxes(canvas.boxes[: slot + 1], [slot_colour(each) for each in range(slot + 1)])
    below = top + side + 6
    small = page.tile(canvas.windows[slot], left + (side - window) // 2, below, window, fade=fade)
    look: dict[str, Any] = {"colour": INK if on else FAINT}
    small.caption(f"p = {canvas.presence[slot]:.2f}", line=1, **look)
    last = slot + 1 == canvas.count
    tile.caption(f"slot {slot + 1}: last" if last else f"slot {slot + 1}", bold=last, **look)


def data(images: Array, boxes: Array, labels: Array, render: RenderConfig, split: str) -> Sheet:
    """Canvases [N, H, H] with their true boxes [N, M, 4] and labels [N, M], -1 padding."""
    side = _side(images[0], render)
    width = max(side, _NARROWEST_CELL)
    notes = [f"{split} split, the first {len(images):,}; over each: its digits"]
    layout = grid("Canvases", notes, len(images), render.columns, (width, LINE + side))
    for index, image in enumerate(images):
        left, top = layout.corner(index)
        tile = layout.page.tile(image, left + (width - side) // 2, top + LINE, side)
        there = labels[index] >= 0
        tile.boxes(boxes[index][there], [TRUTH] * int(there.sum()))
        tile.caption(_digits(labels[index][there], width), colour=FAINT)
    return layout.page, len(images)


def _digits(labels: Array, width: int) -> str:
    """The labels, or where they are too many for ``width`` pixels their number."""
    if not len(labels):
        return "none"
    words = " ".join(str(label) for label in labels)
    return words if len(words) * 6 <= width else f"{len(labels)} digits"


def prior(counts: Array, canvases: Array, render: RenderConfig, chosen: str) -> Sheet:
    """Canvases [N, H, H] drawn from the model with the given numbers of objects [N].

    ``chosen`` says how those numbers were.
    """
    side = _side(canvases[0], render)
    width = max(side, _NARROWEST_CELL)
    notes = [f"over each: its number of objects, {chosen}"]
    layout = grid("Drawn from the model", notes, len(counts), render.columns, (width, LINE + side))
    for index, (count, canvas) in enumerate(zip(counts, canvases, strict=True)):
        left, top = layout.corner(index)
        tile = layout.page.tile(canvas, left + (width - side) // 2, top + LINE, side)
        tile.caption(str(count), colour=FAINT)
    return layout.page, len(counts)


def _side(image: Array, render: RenderConfig) -> int:
    """Side of a canvas as drawn, in pixels of the picture."""
    return max(1, round(len(image) * render.scale))
