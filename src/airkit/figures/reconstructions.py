"""Pictures of canvases beside their reconstructions, slot by slot too, and of data alone.

Legend: N canvases, C channels, H height and W width of a canvas, T slots, M boxes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from airkit.config import settings
from airkit.config.pictures import PicturesConfig
from airkit.config.schema import Config, RenderConfig
from airkit.data import reader
from airkit.data.canvases import Canvases
from airkit.data.dataset import channels_first, to_float
from airkit.data.info import empty_split_error
from airkit.figures.base import Request, SheetDrawing
from airkit.figures.examples import FIRST, Example, chosen, explained, miscounted, shown_first
from airkit.figures.looked_at import looked_at
from airkit.figures.marks import BAD, FAINT, GAP, INK, LINE, TRUTH, drawn
from airkit.figures.page import Paper, Tile
from airkit.figures.sheet import TRUTH_KEY, Sheet, fitted, found_keys, tile_side
from airkit.runs.trained import override

MIN_CELL = 58
"""Width of a caption such as model 10."""
_MIN_STEP = 76  # width of a caption such as slot 12: last
_PAIRS = "canvas: what there is, with its true count; model: what the model paints and counts"
_UNKNOWN = "canvas: what there is; model: what the model paints and counts"


class Reconstructions(SheetDrawing):
    """Canvases of the split above what the model makes of them."""

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
        config = fitted(run.config, MIN_CELL)
        return errors(explained(run, request.listener), config, len(run.canvases))


class Data(SheetDrawing):
    """Canvases of a data file, which needs no run."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        path, config = _data_file(request)
        config = fitted(config, MIN_CELL)
        many = config.render.rows * config.render.columns
        split = _split(path, config, request)
        config = config.updated("eval", split=split)
        canvases = reader.read_split(path, split, max(FIRST, 3 * many))
        if not len(canvases.image):
            raise empty_split_error(reader.read_info(path), split)
        if config.pictures != PicturesConfig():
            return looked_at(canvases, config)
        return data(canvases, config.render, split)


def _split(path: Path, config: Config, request: Request) -> str:
    """The split of ``eval.split``; where nobody chose it and it is empty, one that is not."""
    named = [key for layer in request.given for key, _ in settings.flatten(layer.values)]
    many = reader.read_info(path).splits
    if "eval.split" in named or many[config.eval.split]:
        return config.eval.split
    return next((split for split in ("val", "train") if many[split]), config.eval.split)


def _explained(request: Request) -> tuple[Iterator[Example], Config, int]:
    """Return the explained canvases of the split, the configuration and the split's size."""
    run = request.open_run()
    return explained(run, request.listener), fitted(run.config, MIN_CELL), len(run.canvases)


def _data_file(request: Request) -> tuple[Path, Config]:
    """Return the data file named, the run's, or where there is no run the default one.

    The settings of the call override the run's where the run names the file, else the file's own.
    """
    path = request.data
    default = Path("multi-mnist.h5")
    named = request.checkpoint not in ("best", "last")
    if path is None and not named and not request.run.holds_model and os.path.exists(default):
        path = default
    if path is not None:
        return path, override(reader.read_info(path).config, f"data file {path}", request.given)
    model = request.open_model()
    return model.data.read().path, model.config


def reconstructions(canvases: Iterable[Example], config: Config, total: int) -> Sheet:
    """Return canvases above what the model makes of them, with the boxes of what it found.

    Args:
        canvases: canvases of the split, in order.
        config: ``render`` says how many and how large, ``eval`` names the split.
        total: canvases in the split.
    """
    render = config.render
    choice = chosen(canvases, render.rows * render.columns)
    note = choice.note(config.eval.split, total)
    return _pairs("Canvases and what the model sees", [note], choice.shown, config, truth=False)


def showcase(canvases: Iterable[Example], many: int, config: Config) -> Sheet:
    """Return ``many`` canvases, none of them blank unless all are, as the first to be seen."""
    shown = chosen(canvases, many).shown
    return _pairs("Canvases and what the model sees", [], shown, config, truth=False)


def errors(canvases: Iterable[Example], config: Config, total: int) -> Sheet:
    """Return the first miscounted canvases; the arguments are those of ``reconstructions``."""
    render, split = config.render, config.eval.split
    shown, seen = miscounted(canvases, render.rows * render.columns)
    if not shown:
        notes = [f"{split} split, all {seen:,} canvases were counted right"]
        paper = replace(Paper.of(render), titles=True)  # the text is all there is
        return Sheet("No miscounted canvas", notes, 0, 1, (0, 0), paper=paper)
    first = "" if seen == total else f"first {seen:,} of its "
    notes = [f"{split} split, {len(shown):,} among the {first}{total:,} canvases"]
    return _pairs("Miscounted canvases", notes, shown, config, truth=True)


def worst_counts(shown: list[Example], config: Config, total: int) -> Sheet:
    """Return the sheet of given miscounted canvases, one or more, worst first."""
    note = (
        f"{config.eval.split} split, {len(shown):,} of {total:,} canvases, the count farthest off "
        "first, then the greatest squared error"
    )
    return _pairs("Worst miscounts", [note], shown, config, truth=True)


def worst_reconstructions(shown: list[Example], config: Config, total: int) -> Sheet:
    """Return the sheet of given canvases, one or more, of the greatest squared error."""
    note = (
        f"{config.eval.split} split, the {len(shown):,} of {total:,} canvases with the greatest "
        f"squared error a pixel, from {shown[0].squared_error:.4f} to {shown[-1].squared_error:.4f}"
    )
    return _pairs("Worst reconstructions", [note], shown, config, truth=True)


def _pairs(
    title: str, notes: list[str], shown: list[Example], config: Config, *, truth: bool
) -> Sheet:
    """Return canvases above reconstructions, with true boxes above where ``truth`` is set."""
    render, shape = config.render, shown[0].image.shape[1:]
    side = tile_side(shape, render, min(render.columns, len(shown)))
    height, width = drawn(shape, side)
    cell = (max(width, MIN_CELL), 2 * LINE + 2 * height + 4 + GAP // 2)
    keys = found_keys(max(canvas.count for canvas in shown))
    if truth and any(len(canvas.true_boxes) for canvas in shown):
        keys.append(TRUTH_KEY)
    notes = [*notes, _UNKNOWN if shown[0].true_count is None else _PAIRS]
    paper = Paper.of(render)
    sheet = Sheet(title, notes, len(shown), render.columns, cell, keys=keys, paper=paper)
    sheet.canvases, sheet.as_is = len(shown), config.polarity == "dark"
    for index, canvas in enumerate(shown):
        above = sheet.cell_tile(index, canvas.image, side)
        if truth:
            above.boxes(canvas.true_boxes, [TRUTH] * len(canvas.true_boxes))
        else:
            above.slots(canvas.boxes)
        below = sheet.cell_tile(index, canvas.reconstruction, side, 2 * LINE + height + 4)
        below.slots(canvas.boxes)
        _caption_canvas(above, canvas)
        _caption_model(below, canvas)
    return sheet


def _caption_canvas(tile: Tile, canvas: Example) -> None:
    """Write ``canvas`` and its true count, where that is known, above a tile."""
    count = "" if canvas.true_count is None else f" {canvas.true_count}"
    tile.caption(f"canvas{count}", colour=FAINT)


def _caption_model(tile: Tile, canvas: Example, **place: Any) -> None:
    """Write ``model`` and the count found beside a tile, so that a wrong one is not overlooked."""
    colour = FAINT if canvas.right else BAD
    tile.caption(f"model {canvas.count}", colour=colour, bold=not canvas.right, **place)


def steps(canvases: Iterable[Example], config: Config, total: int) -> Sheet:
    """Return a few canvases, each in a row of its own with the reconstruction after each slot.

    Below each step are the slot's window and the probability that it is on; slots after the
    inferred count are faint. The arguments are those of ``reconstructions``.
    """
    render = config.render
    choice = chosen(canvases, render.rows)
    shown, slots = choice.shown, len(choice.shown[0].windows)
    shape, window_side = shown[0].image.shape[1:], shown[0].windows.shape[-1]
    side = tile_side(shape, render, slots + 1)
    window = max(1, round(side * window_side / max(shape)))
    height, width = drawn(shape, side)
    notes = [
        choice.note(config.eval.split, total),
        "left: the canvas; then what the model has painted after each slot, below it what the slot "
        "adds, and the probability p that all slots so far are on; faint: past the count found",
    ]
    cell = (max(width, window, _MIN_STEP), LINE + height + 6 + window + LINE)
    keys, paper = found_keys(max(canvas.count for canvas in shown)), Paper.of(render)
    many = len(shown) * (slots + 1)
    sheet = Sheet("Slot by slot", notes, many, slots + 1, cell, keys=keys, paper=paper)
    sheet.canvases, sheet.as_is = len(shown), config.polarity == "dark"
    for row, canvas in enumerate(shown):
        first = row * (slots + 1)
        tile = sheet.cell_tile(first, canvas.image, side)
        _caption_canvas(tile, canvas)
        _caption_model(tile, canvas, line=1)
        for slot in range(slots):
            _draw_step(sheet, first + 1 + slot, canvas, slot, (side, height, window))
    return sheet


def _draw_step(
    sheet: Sheet, index: int, canvas: Example, slot: int, sides: tuple[int, int, int]
) -> None:
    """Draw the reconstruction after ``slot`` in cell ``index``, its window below, and captions.

    ``sides`` are the longer side and the height of the reconstruction, and the window's side.
    """
    side, height, window = sides
    on = slot < canvas.count
    fade, colour = (0.0, INK) if on else (0.75, FAINT)
    tile = sheet.cell_tile(index, canvas.canvases[slot + 1], side, fade=fade)
    tile.slots(canvas.boxes[: slot + 1])
    last = slot + 1 == canvas.count
    tile.caption(f"slot {slot + 1}" + ": last" * last, bold=last, colour=colour)
    small = sheet.cell_tile(index, canvas.windows[slot], window, LINE + height + 6, fade=fade)
    small.caption(f"p = {canvas.presence[slot]:.2f}", line=1, colour=colour)


def data(canvases: Canvases, render: RenderConfig, split: str) -> Sheet:
    """Return canvases, one or more, with what is known of their true counts, boxes and labels.

    Args:
        canvases: the first canvases of the split, of which some are shown.
        render: rows, columns and scale.
        split: the split's name.
    """
    total = len(canvases.image)
    canvases = shown_first(canvases, render.rows * render.columns)
    images = to_float(channels_first(canvases.image)).numpy()
    side = tile_side(images.shape[2:], render, min(render.columns, len(images)))
    height, width = drawn(images.shape[2:], side)
    width = max(width, MIN_CELL)
    notes = [f"{split} split, {len(images):,} of the first {total:,}; {_said(canvases)}"]
    paper, keys = Paper.of(render), [TRUTH_KEY] if canvases.box is not None else []
    cell = (width, LINE + height)
    sheet = Sheet("Canvases", notes, len(images), render.columns, cell, keys=keys, paper=paper)
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
