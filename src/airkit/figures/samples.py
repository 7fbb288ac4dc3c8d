"""Canvases drawn from the model, and how many objects they have.

Legend: N canvases, C channels, H x W pixels, T slots.
"""

from __future__ import annotations

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.data import reader
from airkit.errors import OutputError
from airkit.figures.base import Request, SheetDrawing
from airkit.figures.marks import FAINT, LINE, drawn
from airkit.figures.page import Paper
from airkit.figures.reconstructions import MIN_CELL
from airkit.figures.sheet import Sheet, fitted, tile_side
from airkit.model.counts import log_count_prior, sample_unbounded_counts
from airkit.runs.trained import with_learned_noise
from airkit.system.device import generator

MAX_COUNT = 1_000
"""Most objects on one canvas, as each of them takes all canvases through the decoder."""


class Prior(SheetDrawing):
    """Canvases drawn from the model; a data file, if named, gives their size and most objects."""

    def sheet(self, request: Request) -> Sheet:
        """Return the sheet."""
        model = request.open_model(prior=True)
        trained = model.state.config
        # Settings on auto follow the data and the model of the training.
        config = model.config.model_copy(update={"data": trained.data, "model": trained.model})
        config = fitted(config, MIN_CELL)
        scene = trained.data
        if request.data:
            scene = reader.read_info(request.data).config.data
            model.check_canvas_size(scene.shape, request.data)
        slots = max(trained.slots, scene.max_digits + 1)
        air = model.build(canvas_size=scene.shape, slots=slots)
        config = with_learned_noise(config, air)  # which prior.ratio on auto follows
        counts, how = choose_counts(config, max(1, scene.max_digits), slots)
        draws = generator(config.eval.seed, "prior samples", model.device)
        with torch.inference_mode():
            canvases = air.sample_canvases(torch.from_numpy(counts).to(model.device), draws)
        return prior(counts, canvases.cpu().numpy(), config, how)


def prior(counts: np.ndarray, canvases: np.ndarray, config: Config, how: str) -> Sheet:
    """Return canvases drawn from the model.

    Args:
        counts: their numbers of objects, [N].
        canvases: levels in 0..1, [N, C, H, W].
        config: ``render`` says how many columns and how large.
        how: how the counts were chosen, for the note.
    """
    render = config.render
    side = tile_side(canvases.shape[2:], render, min(render.columns, len(counts)))
    height, width = drawn(canvases.shape[2:], side)
    width = max(width, MIN_CELL)
    notes = [f"over each: its number of objects, {how}"]
    cell, paper = (width, LINE + height), Paper.of(render)
    sheet = Sheet("Drawn from the model", notes, len(counts), render.columns, cell, paper=paper)
    sheet.canvases, sheet.as_is = len(counts), config.polarity == "dark"
    for index, (count, canvas) in enumerate(zip(counts, canvases, strict=True)):
        sheet.cell_tile(index, canvas, side).caption(str(count), colour=FAINT)
    return sheet


def choose_counts(config: Config, most: int, slots: int) -> tuple[np.ndarray, str]:
    """Choose the numbers of objects of a sheet as ``render.counts`` says.

    Args:
        config: ``render`` says how to choose and how many, ``prior`` gives the distribution.
        most: the greatest count of ``even``, where each row has its own.
        slots: T of ``prior``, which draws from 0..T.

    Returns:
        Counts, int64 [N], and a description of the choice.

    Raises:
        OutputError: more than ``MAX_COUNT`` objects were drawn for a canvas.
    """
    if config.render.counts == "unbounded":
        return _unbounded(config)
    if config.render.counts == "prior":
        log_prior = log_count_prior(config.prior.kind, config.prior_ratio, slots)
        law = f"the {config.prior.kind} prior of ratio {config.prior_ratio:.3g} on 0..{slots}"
        draws = torch.multinomial(
            log_prior.exp(), _canvases(config), replacement=True, generator=_generator(config)
        )
        return draws.numpy(), f"drawn from {law}{_blank(draws.numpy())}"
    counts = even(most, config.render.rows, config.render.columns)
    return counts, f"from 1 up to {counts.max()}"


def even(most: int, rows: int, columns: int) -> np.ndarray:
    """Return one count for each row, from 1 up to ``most``, as int64 [rows * columns]."""
    by_row = np.rint(np.linspace(1, most, rows)).astype(np.int64)
    return by_row.repeat(columns)


def _unbounded(config: Config) -> tuple[np.ndarray, str]:
    """Draw counts from the geometric distribution without an upper bound."""
    ratio = config.prior_ratio
    draws = sample_unbounded_counts(ratio, _canvases(config), _generator(config)).numpy()
    if draws.max() > MAX_COUNT:
        raise OutputError(
            "The prior draws too many objects for a canvas",
            expected=f"at most {MAX_COUNT:,}",
            got=f"{draws.max():,}, as prior.ratio is {ratio:g}",
            hint="lower prior.ratio; the mean number is ratio / (1 - ratio)",
        )
    law = f"p(n) = (1 - {ratio:.3g}) {ratio:.3g}^n, n = 0, 1, 2 ... without bound"
    return draws, f"drawn from {law}{_blank(draws)}"


def _blank(counts: np.ndarray) -> str:
    """Say how to draw more objects where most canvases have none."""
    many = int((counts == 0).sum())
    wanted = 2 * many > len(counts)
    return f"; {many:,} have none, and a greater prior.ratio gives more" if wanted else ""


def _canvases(config: Config) -> int:
    return config.render.rows * config.render.columns


def _generator(config: Config) -> torch.Generator:
    """Return a CPU generator, so that every device gets the same counts."""
    return generator(config.eval.seed, "prior counts")
