"""``airkit render``: from a run or a data file to a figure, and to a file of it."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from airkit.config import settings
from airkit.config.settings import Layer, Settings
from airkit.errors import ExtensionError
from airkit.figures.base import FIGURES, Drawing, Request
from airkit.figures.page import DPI, POINTS, Paper, default_style
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import check_target, replacing
from airkit.system.paths import output_file, path_or_none, to_path

FORMATS = ("png", "svg", "pdf")
FONTS: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "airkit"}
"""Parameters of matplotlib that keep text as text, and files the same each time."""


@dataclass(frozen=True)
class Picture:
    """A picture that was drawn; a notebook shows it."""

    path: Path
    """The file."""
    kind: str
    """What it shows, as ``render.kind``."""
    width: int
    """In pixels; in points of 1/72 inch for PDF and SVG."""
    height: int
    """As ``width``."""
    canvases: int
    """Canvases drawn, or for the policy looked at; 0 for curves, and where none was miscounted."""

    def _repr_png_(self) -> bytes | None:
        return self._content(".png")

    def _repr_svg_(self) -> str | None:
        content = self._content(".svg")
        return None if content is None else content.decode()

    def _repr_pdf_(self) -> bytes | None:
        return self._content(".pdf")

    def _content(self, ending: str) -> bytes | None:
        """Return what is in the file, if it has this ending and is still there."""
        with suppress(OSError):
            return self.path.read_bytes() if self.path.suffix.lower() == ending else None
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
    """Draw a picture of a run, or of a data file, and write it as PNG, SVG or PDF.

    Neither the run's weights nor any global random state changes, and the same call draws
    the same picture again.

    Args:
        run: the run folder.
        kind: what to draw, as ``render.kind``: one of airkit's own kinds, or a class from outside
            as ``package.module:Class``. The kind ``data`` needs no run where ``data`` is given,
            and ``curves`` no checkpoint.
        out: the file to write, whose ending says the format; by default KIND.png in the folder
            ``figures`` of the run, or another format as ``render.format``.
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
        OutputError: the picture cannot be written, is in none of these formats, or would be too
            large.
    """
    given = _given(settings, kind)
    request = Request(RunFolder(to_path(run)), path_or_none(data), checkpoint, given, listener)
    chosen = _kind(request)
    drawing, render = FIGURES.build(chosen), request.render()
    target, form = _target(request, chosen, out, render.format)
    request.given.append(Layer("format", {"render": {"format": form}}))
    paper = Paper.of(render.model_copy(update={"format": form}))
    with default_style():
        figure = _drawn(request, chosen, drawing, paper)
        with replacing(target) as unfinished:
            save(figure, unfinished, form)
    sides = figure.canvas.get_width_height() if form == "png" else figure.get_size_inches() * DPI
    width, height = (round(float(side)) for side in sides)
    return Picture(target, chosen, width, height, drawing.canvases)


def draw(
    run: str | Path = "runs/air",
    *,
    kind: str | None = None,
    data: str | Path | None = None,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Figure:
    """Return a picture of a run, or of a data file, as a matplotlib figure.

    Its text stays text in a PDF with matplotlib's ``pdf.fonttype`` at 42, and in an SVG with
    ``svg.fonttype`` at "none"; ``render`` sees to that. Arguments and errors are those of
    ``render``.
    """
    given = _given(settings, kind)
    request = Request(RunFolder(to_path(run)), path_or_none(data), checkpoint, given, listener)
    chosen = _kind(request)
    drawing, paper = FIGURES.build(chosen), Paper.of(request.render())
    with default_style():
        return _drawn(request, chosen, drawing, paper)


def save(figure: Figure, path: Path, form: str) -> None:
    """Write a figure, its text as text, with neither the time nor random names in it."""
    undated: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with rc_context(FONTS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing")  # in the name of a run's folder
        figure.savefig(path, format=form, dpi="figure", metadata=undated.get(form))


def _given(given: Settings, kind: str | None) -> list[Layer]:
    """Return the settings of a call as layers, ``render.kind`` last where it is named."""
    named = [] if kind is None else [Layer("kind", {"render": {"kind": kind}})]
    return settings.layers(given) + named


def _target(request: Request, kind: str, out: str | Path | None, form: str) -> tuple[Path, str]:
    """Return the file to write and its format.

    Raises:
        OutputError: it has another ending than its format, or a folder is there.
    """
    name = f"{kind.rpartition(':')[2]}.{'png' if form == 'auto' else form}"
    target = request.run.figures / name if out is None else output_file(out, name)
    endings = FORMATS if form == "auto" else (form,)
    what = f"Pictures are written as {' or '.join(each.upper() for each in endings)}"
    check_target(target, what, *(f".{each}" for each in endings))
    return target, target.suffix[1:].lower()


def _drawn(request: Request, kind: str, drawing: Drawing, paper: Paper) -> Figure:
    """Return the figure; one of another width than that of print is scaled to it."""
    size: dict[Any, Any] = {"font.size": POINTS} if paper.printed else {}
    with rc_context(size):
        with FIGURES.running(kind):
            figure = drawing.draw(request)
        _check_figure(figure, kind)
    width, height = figure.get_size_inches()
    inches = paper.width * paper.unit / DPI
    if paper.printed and abs(width - inches) > 1e-3 * inches:
        figure.set_size_inches(inches, inches * height / width)
        figure.set_dpi(paper.dpi)
    return figure


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
