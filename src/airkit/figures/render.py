"""From a run or a data file to a PNG: what to open for each kind, and writing it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib import style
from matplotlib.figure import Figure

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer, Settings
from airkit.data import reader
from airkit.data.dataset import to_ink
from airkit.errors import CheckpointError, sanitize
from airkit.figures import sheets
from airkit.figures.curves import curves
from airkit.figures.examples import explained
from airkit.figures.page import DPI
from airkit.figures.policy import policy
from airkit.figures.samples import chosen
from airkit.runs.folder import RunFolder, no_run_error
from airkit.runs.trained import (
    TrainedModel,
    TrainedRun,
    empty_split_error,
    open_model,
    open_run,
    override,
)
from airkit.system.callbacks import SILENT, Listener
from airkit.system.device import generator
from airkit.system.files import check_target, replacing

Drawn = tuple[Figure, int]


@dataclass(frozen=True)
class Picture:
    """A picture that was drawn."""

    path: Path
    """The PNG file."""
    kind: str
    """What it shows; one of ``render.kind``."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    canvases: int
    """Canvases drawn, or for the policy looked at; 0 for curves, and where none was miscounted."""


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    run: RunFolder
    data: Path | None
    checkpoint: str
    given: list[Layer]
    listener: Listener

    def opened(self) -> TrainedRun:
        """The model beside the canvases."""
        return open_run(self.run.path, self.data, self.checkpoint, self.given, self.listener)

    def model(self) -> TrainedModel:
        """The model alone."""
        return open_model(self.run.path, self.checkpoint, self.given, self.listener)

    def asked(self, key: str) -> Layer | None:
        """The last value given for a field of ``render``, and by what; None where none was."""
        for layer in reversed(self.given):
            values = layer.values.get("render")
            if isinstance(values, Mapping) and key in values:
                return Layer(layer.origin, {"render": {key: values[key]}})
        return None


def render(  # noqa: PLR0913 - an argument for each option of the command
    run: str | Path = "runs/air",
    *,
    kind: str | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Picture:
    """Draw a picture of a run, or of a data file, and write it as PNG.

    Neither the run's weights nor any global random state changes, and the same call draws
    the same picture again.

    Args:
        run: the run folder.
        kind: what to draw, as ``render.kind``; ``data`` needs no run where ``data`` is given,
            and ``curves`` no checkpoint.
        out: the file to write; by default KIND.png in the folder ``figures`` of the run.
        data: the data file; by default the one the run was trained on.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        settings: dotted keys and values, or layers; those of ``render`` and ``eval`` matter.
        listener: hears notes and progress.

    Raises:
        ConfigError: settings that make no configuration, such as an unknown kind.
        CheckpointError: no such run, checkpoint or metrics, or damaged ones.
        DataFileError: no such data file, a damaged one, an empty split, or the run's own file
            where it was replaced.
        DeviceError: there is no such device.
        OutputError: the picture cannot be written, is no PNG, or would be too large.
    """
    given = _layers(settings, kind)
    path = None if data is None else Path(data)
    request = Request(RunFolder(Path(run)), path, checkpoint, given, listener)
    chosen = _kind(request)
    target = request.run.figures / f"{chosen}.png" if out is None else Path(out)
    check_target(target, "Pictures are written as PNG alone", ".png")
    with style.context("default"):  # whatever a user's matplotlibrc says
        figure, canvases = _DRAWERS[chosen](request)
        width, height = (int(side) for side in figure.canvas.get_width_height())
        with replacing(target) as unfinished:
            figure.savefig(unfinished, format="png", dpi=DPI)
    return Picture(target, chosen, width, height, canvases)


def _layers(given: Settings, kind: str | None) -> list[Layer]:
    layers = settings.layers(given)
    return layers if kind is None else [*layers, Layer("kind", {"render": {"kind": kind}})]


def _kind(request: Request) -> str:
    """The kind asked for, or the run's own; raises ConfigError where there is none such."""
    asked = request.asked("kind")
    if asked is not None:
        return settings.resolve(asked).render.kind
    return request.run.find(request.checkpoint, request.listener)[1].config.render.kind


def _explained(request: Request, sheet: Callable[..., sheets.Sheet]) -> Drawn:
    """A picture of canvases beside what the model makes of them."""
    opened = request.opened()
    canvases = explained(opened, request.listener)
    page, drawn = sheet(canvases, opened.config, len(opened.canvases))
    return page.figure(), drawn


def _policy(request: Request) -> Drawn:
    """Where the slots look on the canvases of a split."""
    page, looked_at = policy(request.opened(), request.listener)
    return page.figure(), looked_at


def _data(request: Request) -> Drawn:
    """The first canvases of a data file; the model is not needed."""
    path, config = _data_file(request)
    split = config.eval.split
    wanted = config.render.rows * config.render.columns
    canvases = reader.read_split(path, split, wanted)
    if not len(canvases.count):
        raise empty_split_error(path, split)
    images = to_ink(torch.from_numpy(canvases.image)).numpy()
    page, drawn = sheets.data(images, canvases.box, canvases.label, config.render, split)
    return page.figure(), drawn


def _data_file(request: Request) -> tuple[Path, Config]:
    """The data file named, the run's, or where there is no run the default one.

    Settings are laid over the run's where the run names the file, else over the file's own.
    """
    path = request.data
    default = Path("multi-mnist.h5")
    named = request.checkpoint not in ("best", "last")
    if path is None and not named and not request.run.saved() and os.path.exists(default):
        path = default
    if path is not None:
        return path, override(reader.read_info(path).config, f"data file {path}", request.given)
    model = request.model()
    return model.data.read().path, model.config


def _prior(request: Request) -> Drawn:
    page, drawn = prior_page(request)
    return page.figure(), drawn


def prior_page(request: Request) -> sheets.Sheet:
    """Canvases drawn from the model; no data file is needed, but may set their size."""
    model = request.model()
    trained = model.state.config
    # By these two goes what auto stands for.
    config = model.config.model_copy(update={"data": trained.data, "model": trained.model})
    scene = trained.data
    if request.data:
        scene = reader.read_info(request.data).config.data
        model.check_canvas_size(scene.canvas_size, request.data)
    slots = max(trained.slots, scene.max_digits + 1)
    counts, how = chosen(config, max(1, scene.max_digits), slots)
    air = model.build(canvas=scene.canvas_size, slots=slots)
    draws = generator(config.eval.seed, "prior samples", model.device)
    with torch.inference_mode():
        canvases = air.sample_canvases(torch.from_numpy(counts).to(model.device), draws)
    return sheets.prior(counts, canvases.cpu().numpy(), config.render, how)


def _curves(request: Request) -> Drawn:
    """The metrics of a run, which are there before its first checkpoint is."""
    settings.resolve(*request.given)
    rows = request.run.rows()
    if not rows:
        if not request.run.saved():
            raise no_run_error(request.run.path)
        there = os.path.exists(request.run.metrics)
        raise CheckpointError(
            "There are no metrics to draw",
            where=request.run.metrics,
            expected="rows written by airkit train",
            got="no rows" if there else "no such file",
            hint="another --kind, such as steps, which is drawn from the run's checkpoints",
        )
    return curves(rows, f"Training of {sanitize(request.run.path.resolve().name)}"), 0


_DRAWERS: dict[str, Callable[[Request], Drawn]] = {
    "reconstructions": partial(_explained, sheet=sheets.reconstructions),
    "steps": partial(_explained, sheet=sheets.steps),
    "errors": partial(_explained, sheet=sheets.errors),
    "policy": _policy,
    "data": _data,
    "curves": _curves,
    "prior": _prior,
}
"""How each ``render.kind`` is drawn."""
