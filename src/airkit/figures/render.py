"""``airkit render``: from a run or a data file to a PNG."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from airkit.config import settings
from airkit.config.settings import Layer, Settings
from airkit.errors import ExtensionError
from airkit.figures import FIGURES
from airkit.figures.base import Request
from airkit.figures.page import default_style
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import check_target, replacing
from airkit.system.paths import output_file, to_path


@dataclass(frozen=True)
class Picture:
    """A picture that was drawn."""

    path: Path
    """The PNG file."""
    kind: str
    """What it shows, as ``render.kind``."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    canvases: int
    """Canvases drawn, or for the policy looked at; 0 for curves, and where none was miscounted."""


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
        kind: what to draw, as ``render.kind``: one of airkit's own kinds, or a class from outside
            as ``package.module:Class``. The kind ``data`` needs no run where ``data`` is given,
            and ``curves`` no checkpoint.
        out: the file to write; by default KIND.png in the folder ``figures`` of the run.
        data: the data file; by default the one the run was trained on.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        settings: dotted keys and values, or layers; those of ``render`` and ``eval`` matter.
        listener: hears notes and progress.

    Raises:
        ConfigError: the settings are not valid, such as an unknown kind.
        CheckpointError: no such run, checkpoint or metrics, or damaged ones.
        DataFileError: no such data file, a damaged one, an empty split, or the run's own file
            where it was replaced.
        DeviceError: there is no such device.
        ExtensionError: a class from outside that this call does not name, that cannot be
            imported, that fails, or that draws no matplotlib figure.
        OutputError: the picture cannot be written, is no PNG, or would be too large.
    """
    request = Request(
        RunFolder(to_path(run)),
        None if data is None else to_path(data),
        checkpoint,
        _layers(settings, kind),
        listener,
    )
    chosen = _kind(request)
    with FIGURES.running(chosen):
        drawing = FIGURES[chosen]()
    name = f"{chosen.rpartition(':')[2]}.png"
    target = request.run.figures / name if out is None else output_file(out, name)
    check_target(target, "Pictures are written as PNG alone", ".png")
    with default_style():
        with FIGURES.running(chosen):
            figure = drawing.draw(request)
        _check_figure(figure, chosen)
        width, height = (int(side) for side in figure.canvas.get_width_height())
        with replacing(target) as unfinished:
            figure.savefig(unfinished, format="png")
    return Picture(target, chosen, width, height, drawing.canvases)


def _layers(given: Settings, kind: str | None) -> list[Layer]:
    layers = settings.layers(given)
    return layers if kind is None else [*layers, Layer("kind", {"render": {"kind": kind}})]


def _kind(request: Request) -> str:
    """Return the kind that the call names, or the run's own.

    Raises:
        ConfigError: there is no such kind.
    """
    for layer in reversed(request.given):
        for key, value in settings.flatten(layer.values):
            if key == "render.kind":
                alone = replace(layer, values={"render": {"kind": value}})
                return settings.resolve(alone).render.kind
    return request.run.find(request.checkpoint, request.listener)[1].config.render.kind


def _check_figure(figure: object, kind: str) -> None:
    if not isinstance(figure, Figure):
        raise ExtensionError(
            f"{kind} draws no figure",
            where="render.kind",
            expected="a matplotlib Figure from its method draw",
            got=type(figure).__name__,
            hint="return the Figure from draw",
        )
