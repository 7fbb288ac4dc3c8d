"""airkit: Attend-Infer-Repeat, which counts and locates objects in pictures without labels.

The names below load what they need when they are first used: importing airkit loads neither
torch nor h5py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airkit._version import __version__
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import path_or_none, to_path

if TYPE_CHECKING:
    from airkit.cli.notebook import progress
    from airkit.config import settings
    from airkit.config.schema import Config
    from airkit.config.settings import Settings
    from airkit.data.dataset import CanvasDataset
    from airkit.data.imports.images import ImageLike
    from airkit.data.imports.importing import import_scenes
    from airkit.data.make import make_data
    from airkit.errors import AirkitError
    from airkit.evaluation.compare import compare
    from airkit.evaluation.evaluate import evaluate
    from airkit.evaluation.infer import Found
    from airkit.evaluation.predict import predict, write_predictions
    from airkit.evaluation.score import score
    from airkit.figures.render import render
    from airkit.reproduce.paper import reproduce_paper
    from airkit.runs.describe import describe
    from airkit.runs.export import export
    from airkit.runs.save import save
    from airkit.runs.trained import load
    from airkit.sweeps.sweep import sweep
    from airkit.training.train import train
    from airkit.web.report import report
    from airkit.web.server import demo

__all__ = [
    "AirkitError",
    "CanvasDataset",
    "Config",
    "__version__",
    "compare",
    "demo",
    "describe",
    "evaluate",
    "export",
    "import_scenes",
    "infer",
    "load",
    "make_data",
    "predict",
    "progress",
    "render",
    "report",
    "reproduce_paper",
    "save",
    "score",
    "settings",
    "sweep",
    "train",
    "write_predictions",
]

_HOMES = {
    "AirkitError": "airkit.errors",
    "CanvasDataset": "airkit.data.dataset",
    "compare": "airkit.evaluation.compare",
    "Config": "airkit.config.schema",
    "demo": "airkit.web.server",
    "describe": "airkit.runs.describe",
    "evaluate": "airkit.evaluation.evaluate",
    "export": "airkit.runs.export",
    "import_scenes": "airkit.data.imports.importing",
    "Found": "airkit.evaluation.infer",
    "Inferred": "airkit.evaluation.found",
    "load": "airkit.runs.trained",
    "make_data": "airkit.data.make",
    "predict": "airkit.evaluation.predict",
    "progress": "airkit.cli.notebook",
    "render": "airkit.figures.render",
    "report": "airkit.web.report",
    "reproduce_paper": "airkit.reproduce.paper",
    "save": "airkit.runs.save",
    "score": "airkit.evaluation.score",
    "sweep": "airkit.sweeps.sweep",
    "train": "airkit.training.train",
    "write_predictions": "airkit.evaluation.predict",
}


def infer(  # noqa: PLR0913 - an argument for each option of the command
    images: ImageLike | Iterable[ImageLike],
    run: str | Path = "runs/air",
    *,
    checkpoint: str = "best",
    overlay: str | Path | None = None,
    invert: bool = False,
    tile: int | None = None,
    exclude_edges: bool = False,
    skip_bad: bool = False,
    sub_folders: bool = False,
    csv: str | Path | None = None,
    objects: str | Path | None = None,
    labels: str | Path | None = None,
    rois: str | Path | None = None,
    shapes: str | Path | None = None,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Found:
    """Count and locate the objects of images, as ``evaluate`` does those of a data file.

    All images are read and checked before the model looks at the first; they are read once more
    then, a batch at a time. Looks are drawn as in evaluation: on the canvases of a split the counts
    are the same.

    Args:
        images: one or several of: what ``import_scenes`` reads, such as a folder, a PNG or TIFF
            file, .npy or .npz; an array or a tensor, of an image [H, W] or a stack [N, H, W],
            colours as [..., 3] or [N, 3, H, W]; a PIL image.
        run: the run folder.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        overlay: a folder for a picture of each image; none by default.
        invert: ink is dark on bright.
        tile: side in pixels of the overlapping tiles that larger images are cut into; each object
            counts once. By default images are looked at as a whole.
        exclude_edges: leave out objects that touch the image's border.
        skip_bad: leave out files that cannot be read; ``bad`` of the result names them.
        sub_folders: take the pictures of the folders inside a folder too, one level down.
        csv: a table to write, a row an image.
        objects: a table to write, a row an object.
        labels: a folder for a label image of each image, ``NAME_labels.tif``: 16 bits, 0 for the
            background, k for the object in place k - 1.
        rois: a folder for a zip of ImageJ's ROIs of each image, ``NAME_rois.zip``; or a .zip, of
            one image or stack.
        shapes: a folder for a table of napari's shapes of each image, ``NAME_shapes.csv``; or a
            .csv, likewise.
        settings: dotted keys and values, or layers; ``model.slots`` and those of ``eval`` matter.
        listener: hears notes and progress.

    Raises:
        ImageError: an image that cannot be read, is too small or too large, or holds no grey
            levels or colours; or tiles too small for the objects.
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: settings that make no configuration.
        DataFileError: the guide serves only the size it was trained on.
        DeviceError: there is no such device.
        OutputError: a table cannot be written; a picture cannot be written, or would replace
            another picture of this call or a file that no earlier call drew.
    """
    from airkit.evaluation.infer import InferOptions  # noqa: PLC0415 - loads torch
    from airkit.evaluation.infer import infer as infer_images  # noqa: PLC0415

    drawn = None
    if overlay is not None:
        from airkit.figures.overlay import overlays  # noqa: PLC0415 - loads matplotlib

        drawn = partial(overlays, to_path(overlay))
    options = InferOptions(
        invert=invert,
        tile=tile,
        exclude_edges=exclude_edges,
        skip_bad=skip_bad,
        sub_folders=sub_folders,
        csv=path_or_none(csv),
        objects=path_or_none(objects),
        labels=path_or_none(labels),
        rois=path_or_none(rois),
        shapes=path_or_none(shapes),
        overlays=drawn,
    )
    return infer_images(
        images, run, checkpoint=checkpoint, settings=settings, options=options, listener=listener
    )


def __getattr__(name: str) -> Any:
    if name in ("figures", "settings"):
        return import_module(f"airkit.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "figures", "settings"})
