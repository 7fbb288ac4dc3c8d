"""Pictures of canvases beside their reconstructions, slot by slot too, and of data alone.

Legend: N canvases, C channels, H canvas side, T slots, M boxes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config.pictures import PicturesConfig
from airkit.config.schema import Config, RenderConfig
from airkit.data import reader
from airkit.data.compose import Canvases
from airkit.data.dataset import channels_first, to_ink
from airkit.figures.base import Request, SheetDrawing
from airkit.figures.examples import Explained, explained, miscounted, varied
from airkit.figures.looked_at import looked_at
from airkit.figures.page import FAINT, GAP, INK, LINE, TRUTH, Sheet, Tile
from airkit.runs.trained import empty_split_error, override

Array = np.ndarray[Any, Any]

MIN_CELL = 48
"""Width of a caption such as 10 → 11."""
_MIN_STEP = 76  # width of a caption such as slot 12: last
_CANDIDATES = 100  # canvases among which ``steps`` chooses varied ones
_COUNTS = "over them: true count → count found"
_FOUND = "over them: count found"
_ORDER = "boxes found first to last: red, green, blue, orange ..."
_TRUTH_ABOVE = (
    f"above: canvas and true boxes, below: reconstruction and boxes found; {_COUNTS}; {_ORDER}"
)


class Reconstructions(SheetDrawing):
    """The first canvases of the split above what the model makes of them."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        return reconstructions(*_explained(request))


class Steps(SheetDrawing):
    """A few canvases, each slot after slot."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        return steps(*_explained(request))


class Errors(SheetDrawing):
    """Miscounted canvases."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        run = request.open_run()
        run.canvases.truth("counts")
        return errors(explained(run, request.listener), run.config, len(run.canvases))


class Data(SheetDrawing):
    """The first canvases of a data file, which needs no run."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        path, config = _data_file(request)
        split = config.eval.split
        canvases = reader.read_split(path, split, config.render.rows * config.render.columns)
        if not len(canvases.image):
            raise empty_split_error(path, split)
        if config.pictures != PicturesConfig():
            return looked_at(canvases, config)
        return data(canvases, config.render, split)


def _explained(request: Request) -> tuple[Iterator[Explained], Config, int]:
    """Return the explained canvases of the split, the configuration and the split's size."""
    run = request.open_run()
    return explained(run, request.listener), run.config, len(run.canvases)


def _data_file(request: Request) -> tuple[Path, Config]:
    """Return the data file named, the run's, or where there is no run the default one.

    The settings of the call override the run's where the run names the file, else the file's own.
    """
    path = request.data
    default = Path("multi-mnist.h5")
    named = request.checkpoint not in ("best", "last")
    if path is None and not named and not request.run.saved() and os.path.exists(default):
        path = default
    if path is not None:
        return path, override(reader.read_info(path).config, f"data file {path}", request.given)
    model = request.open_model()
    return model.data.read().path, model.config


def reconstructions(canvases: Iterable[Explained], config: Config, total: int) -> Sheet:
    """Return canvases above what the model makes of them, with the boxes of what it found.

    Args:
        canvases: canvases of the split, in order.
        config: ``render`` says how many and how large, ``eval`` names the split.
        total: canvases in the split.
    """
    render = config.render
    shown = list(islice(canvases, render.rows * render.columns))
    right, known = sum(canvas.right for canvas in shown), shown[0].true_count is not None
    notes = [
        f"{config.eval.split} split, the first {len(shown):,} of {total:,} canvases, "
        + (f"{right:,} counted right" if known else "their true counts not known"),
        f"above: canvas, below: reconstruction; {_COUNTS if known else _FOUND}; {_ORDER}",
    ]
    return _pairs("Reconstructions", notes, shown, render, truth=False)


def errors(canvases: Iterable[Explained], config: Config, total: int) -> Sheet:
    """Return the first miscounted canvases; the arguments are those of ``reconstructions``."""
    render, split = config.render, config.eval.split
    shown, seen = miscounted(canvases, render.rows * render.columns)
    if not shown:
        notes = [f"{split} split, all {seen:,} canvases were counted right"]
        return Sheet("No miscounted canvas", notes, 0, 1, (0, 0))
    first = "" if seen == total else f"first {seen:,} of its "
    notes = [f"{split} split, {len(shown):,} among the {first}{total:,} canvases", _TRUTH_ABOVE]
    return _pairs("Miscounted canvases", notes, shown, render, truth=True)


def worst_counts(shown: list[Explained], config: Config, total: int) -> Sheet:
    """Return the sheet of given miscounted canvases, one or more, worst first."""
    note = (
        f"{config.eval.split} split, {len(shown):,} of {total:,} canvases, the count farthest off "
        "first, then the greatest squared error"
    )
    return _pairs("Worst miscounts", [note, _TRUTH_ABOVE], shown, config.render, truth=True)


def worst_reconstructions(shown: list[Explained], config: Config, total: int) -> Sheet:
    """Return the sheet of given canvases, one or more, of the greatest squared error."""
    note = (
        f"{config.eval.split} split, the {len(shown):,} of {total:,} canvases with the greatest "
        f"squared error a pixel, from {shown[0].squared_error:.4f} to {shown[-1].squared_error:.4f}"
    )
    return _pairs("Worst reconstructions", [note, _TRUTH_ABOVE], shown, config.render, truth=True)


def _pairs(
    title: str, notes: list[str], shown: list[Explained], render: RenderConfig, *, truth: bool
) -> Sheet:
    """Return canvases above reconstructions, with true boxes above where ``truth`` is set."""
    side = tile_side(shown[0].image, render)
    width = max(side, MIN_CELL)
    cell = (width, LINE + 2 * side + 4 + GAP // 2)
    sheet = Sheet(title, notes, len(shown), render.columns, cell)
    sheet.canvases = len(shown)
    for index, canvas in enumerate(shown):
        above = sheet.cell_tile(index, canvas.image, side)
        if truth:
            above.boxes(canvas.true_boxes, [TRUTH] * len(canvas.true_boxes))
        else:
            above.slots(canvas.boxes)
        below = sheet.cell_tile(index, canvas.reconstruction, side, LINE + side + 4)
        below.slots(canvas.boxes)
        _caption_counts(above, canvas)
    return sheet


def _caption_counts(tile: Tile, canvas: Explained) -> None:
    tile.caption(canvas.counts, colour=FAINT if canvas.right else INK, bold=not canvas.right)


def steps(canvases: Iterable[Explained], config: Config, total: int) -> Sheet:
    """Return a few canvases, each in a row of its own with the reconstruction after each slot.

    Below each step are the slot's window and the probability that it is on; slots after the
    inferred count are faint. The arguments are those of ``reconstructions``.
    """
    render = config.render
    shown = varied(canvases, render.rows, _CANDIDATES)
    slots = len(shown[0].windows)
    side, window = tile_side(shown[0].image, render), tile_side(shown[0].windows[0], render)
    width = max(side, window, _MIN_STEP)
    notes = [
        f"{config.eval.split} split, {len(shown):,} of {total:,} canvases",
        "left: canvas, true count → count found; then the reconstruction after each slot, its "
        "window, and the probability p that all slots so far are on; faint: past the count found",
    ]
    cell = (width, LINE + side + 6 + window + LINE)
    sheet = Sheet("Slot by slot", notes, len(shown) * (slots + 1), slots + 1, cell)
    sheet.canvases = len(shown)
    for row, canvas in enumerate(shown):
        first = row * (slots + 1)
        tile = sheet.cell_tile(first, canvas.image, side)
        tile.caption(canvas.counts, bold=True)
        for slot in range(slots):
            _draw_step(sheet, first + 1 + slot, canvas, slot, (side, window))
    return sheet


def _draw_step(
    sheet: Sheet, index: int, canvas: Explained, slot: int, sides: tuple[int, int]
) -> None:
    """Draw the reconstruction after ``slot`` in cell ``index``, its window below, and captions.

    ``sides`` are those of the reconstruction and of the window, in pixels of the picture.
    """
    side, window = sides
    on = slot < canvas.count
    fade, colour = (0.0, INK) if on else (0.75, FAINT)
    tile = sheet.cell_tile(index, canvas.canvases[slot + 1], side, fade=fade)
    tile.slots(canvas.boxes[: slot + 1])
    last = slot + 1 == canvas.count
    tile.caption(f"slot {slot + 1}" + ": last" * last, bold=last, colour=colour)
    small = sheet.cell_tile(index, canvas.windows[slot], window, LINE + side + 6, fade=fade)
    small.caption(f"p = {canvas.presence[slot]:.2f}", line=1, colour=colour)


def data(canvases: Canvases, render: RenderConfig, split: str) -> Sheet:
    """Return canvases, one or more, with what is known of their true counts, boxes and labels.

    Args:
        canvases: the canvases.
        render: columns and scale.
        split: the split's name.
    """
    images = to_ink(channels_first(canvases.image)).numpy()
    side = tile_side(images[0], render)
    width = max(side, MIN_CELL)
    notes = [f"{split} split, the first {len(images):,}; {_said(canvases)}"]
    sheet = Sheet("Canvases", notes, len(images), render.columns, (width, LINE + side))
    sheet.canvases = len(images)
    for index, image in enumerate(images):
        tile = sheet.cell_tile(index, image, side)
        if canvases.box is not None:
            there = canvases.box[index, :, 2] > 0
            tile.boxes(canvases.box[index][there], [TRUTH] * int(there.sum()))
        tile.caption(_objects(canvases, index, width), colour=FAINT)
    return sheet


def _said(canvases: Canvases) -> str:
    """Return what the captions tell."""
    if canvases.label is not None:
        return f"over each: {_kind(canvases, 'its digits', 'the labels of its objects')}"
    if canvases.count is not None:
        return "over each: its true count"
    return "their true counts not known"


def _objects(canvases: Canvases, index: int, width: int) -> str:
    """Return the labels of a canvas, or their number where they need more than ``width`` pixels."""
    if canvases.label is None:
        return "" if canvases.count is None else str(canvases.count[index])
    labels = canvases.label[index][canvases.label[index] >= 0]
    if not len(labels):
        return "none"
    words = " ".join(str(label) for label in labels)
    many = f"{len(labels)} {_kind(canvases, 'digits', 'objects')}"
    return words if len(words) * 6 <= width else many


def _kind(canvases: Canvases, digits: str, others: str) -> str:
    """Return one text for digits, which have rows in their source, and one for other objects."""
    return others if canvases.source_index is None else digits


def tile_side(image: Array, render: RenderConfig) -> int:
    """Return the longer side of a canvas [C, H, W] as drawn, in pixels of the picture."""
    return max(1, round(float(max(image.shape[1:]) * render.scale)))
