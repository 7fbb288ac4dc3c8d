"""The base class of all figures, and what they are drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from airkit.config import settings
from airkit.config.registry import Registry
from airkit.config.schema import RenderConfig
from airkit.config.settings import Layer
from airkit.errors import CheckpointError
from airkit.figures.page import POINTS
from airkit.figures.sheet import Sheet
from airkit.runs.folder import RunFolder
from airkit.runs.trained import TrainedModel, TrainedRun, open_model, override
from airkit.system.callbacks import SILENT, Listener


@dataclass(frozen=True)
class Request:
    """The arguments of a call of ``render`` or ``report``, and what they refer to."""

    run: RunFolder
    """The run folder."""
    data: Path | None
    """The data file; None for the one that the run was trained on."""
    checkpoint: str
    """``best``, ``last`` or a checkpoint file."""
    given: list[Layer]
    """Settings of the call, which override the run's."""
    listener: Listener
    """Hears notes and progress."""

    def open_run(self, *, prior: bool = False) -> TrainedRun:
        """Load the model and the canvases of the split ``eval.split``.

        Args:
            prior: see ``open_model``.

        Returns:
            The run: ``air``, the model in evaluation mode; ``batches()``, the indices [B] of the
            canvases, ``eval.batch_size`` at a time; ``images(indices)``, levels in 0..1,
            [B, C, H, W], on the model's device; ``canvases``, with the truth; ``config``.

        Raises:
            AirkitError: as for ``airkit.evaluate``.
        """
        return self.open_model(prior=prior).run_on(self.data)

    def open_model(self, *, prior: bool = False) -> TrainedModel:
        """Read the checkpoint alone, for figures that need no data file.

        Args:
            prior: whether counts are drawn from the prior, so that its settings have an effect.

        Raises:
            AirkitError: no such run or checkpoint, or the settings are not valid.
        """
        given = self.checkpoint, self.given, self.listener
        return open_model(self.run.path, *given, prior=prior)

    def render(self) -> RenderConfig:
        """Return the settings of figures: those of the call over those of the run, if there is one.

        Raises:
            ConfigError: the settings are not valid.
        """
        config = settings.resolve(*self.given)
        with suppress(CheckpointError):
            if self.run.holds_model:
                recorded = self.run.find(self.checkpoint, SILENT)[1].config
                config = override(recorded, f"run {self.run.path}", self.given)
        return config.render


class Drawing(ABC):
    """A kind of figure, drawn from a trained run or a data file.

    ``airkit render --kind package.module:Class`` creates one without arguments, calls ``draw``
    once, and writes the figure in the size and resolution that it has; ``--width`` scales its size.

    Example:
        A file ``counts.py``, for ``airkit render --kind counts:Counts``::

            import torch
            from matplotlib.figure import Figure

            from airkit.figures import Drawing, Request
            from airkit.model.scene import explain


            class Counts(Drawing):
                '''Histogram of the counts inferred on a split.'''

                def draw(self, request: Request) -> Figure:
                    run = request.open_run()
                    with torch.inference_mode():
                        scenes = [explain(run.air, run.images(each)) for each in run.batches()]
                    counts = torch.cat([scene.count for scene in scenes])  # [N]
                    self.canvases = len(counts)
                    figure = Figure(figsize=(4, 3), dpi=100)
                    axes = figure.subplots()
                    axes.hist(counts.cpu(), bins=range(run.air.slots + 2), align="left")
                    axes.set(xlabel="objects", ylabel="canvases", title=run.config.eval.split)
                    return figure
    """

    canvases: int = 0
    """Canvases that the figure shows, as ``airkit render --json`` reports; ``draw`` may set it."""

    @abstractmethod
    def draw(self, request: Request) -> Figure:
        """Return the figure.

        Args:
            request: the run folder, the data file and the settings of the call.

        Raises:
            AirkitError: something that the user can correct, as the one message says. Any other
                exception becomes a message that names the class and the line.
        """


FIGURES: Registry[Drawing] = Registry(
    "render.kind",
    {
        "reconstructions": "airkit.figures.reconstructions:Reconstructions",
        "steps": "airkit.figures.reconstructions:Steps",
        "errors": "airkit.figures.reconstructions:Errors",
        "policy": "airkit.figures.policy:Policy",
        "data": "airkit.figures.reconstructions:Data",
        "curves": "airkit.figures.curves:Curves",
        "prior": "airkit.figures.samples:Prior",
    },
    base="airkit.figures.base:Drawing",
    recorded="This run draws by default",
)
"""Figures by their names in ``render.kind``."""


class SheetDrawing(Drawing):
    """A figure that is a sheet of canvases."""

    @abstractmethod
    def sheet(self, request: Request) -> Sheet:
        """Return the sheet; the arguments and errors are those of ``draw``."""

    def draw(self, request: Request) -> Figure:
        """Return the sheet as a figure of exactly its pixels."""
        sheet = self.sheet(request)
        self.canvases = sheet.canvases
        if sheet.unit < sheet.paper.unit:
            points = POINTS * sheet.unit / sheet.paper.unit
            request.listener.note(
                f"this figure does not fit the width: its small text has {points:.1f} points"
            )
        return sheet.figure()
