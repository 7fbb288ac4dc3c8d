"""All that a trained model says of canvases or pictures: ``airkit predict``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airkit.config.settings import Settings
from airkit.data.imports.images import ImageLike
from airkit.errors import AirkitError, OutputError
from airkit.evaluation.prediction_files import check_predictions, writing_predictions
from airkit.evaluation.prediction_sources import CanvasesSource, PicturesSource
from airkit.evaluation.predictions import Predictions, Rows, joined
from airkit.evaluation.screening import repeat_verdict
from airkit.runs.folder import RunFolder
from airkit.runs.trained import open_model
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import output_file, to_path
from airkit.system.text import argument, quoted


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file of predictions that was written."""

    path: Path
    """The file."""
    pictures: int
    """Pictures, or canvases, that it is about."""
    seconds: float
    """Time taken."""
    bytes: int
    """Size of the file."""
    bad: Mapping[str, str]
    """Files that could not be read and were left out, and why."""


def predict(  # noqa: PLR0913 - an argument for each option of the command
    run: str | Path = "runs/air",
    *,
    images: ImageLike | Iterable[ImageLike] | None = None,
    data: str | Path | None = None,
    samples: int = 0,
    checkpoint: str = "best",
    skip_bad: bool = False,
    sub_folders: bool = False,
    invert: bool = False,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Predictions:
    """Return all that a trained model says of the canvases of a data file, or of pictures.

    Counts are those of ``evaluate`` and of ``infer``: it is the same posterior.

    Args:
        run: the run folder.
        images: pictures, as ``infer`` takes them, in place of a data file.
        data: the data file, of whose split ``eval.split`` the canvases are; by default the one
            that the run was trained on.
        samples: K, samples to draw of the posterior over scenes; see
            ``airkit.model.samples.sample``.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        skip_bad: leave out pictures that cannot be read; ``bad`` of the result names them.
        sub_folders: take the pictures of the folders inside a folder too, one level down.
        invert: ink is dark on bright, on pictures.
        settings: dotted keys and values, or layers; ``model.slots`` and those of ``eval`` matter.
        listener: hears notes and progress.

    Raises:
        AirkitError: both images and a data file; a negative number of samples; or ``skip_bad``,
            ``sub_folders`` or ``invert`` without images.
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: the settings are not valid.
        DataFileError: no such data file, a damaged one, an empty split, canvases of a size that
            the guide does not serve, or the run's own file where it was replaced.
        DeviceError: there is no such device.
        ExtensionError: a class from outside that was not named in this call, or cannot be used.
        ImageError: a picture that cannot be read, or none that can.
    """
    how = {"skip_bad": skip_bad, "sub_folders": sub_folders, "invert": invert}
    source = _source((run, checkpoint, settings, listener), images, data, samples, how)
    return joined([*source.batches()], source.bad)


def write_predictions(  # noqa: PLR0913 - an argument for each option of the command
    out: str | Path,
    run: str | Path = "runs/air",
    *,
    images: ImageLike | Iterable[ImageLike] | None = None,
    data: str | Path | None = None,
    samples: int = 0,
    rows: Rows = "pictures",
    checkpoint: str = "best",
    skip_bad: bool = False,
    sub_folders: bool = False,
    invert: bool = False,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Written:
    """Write what ``predict`` returns to a file, some pictures at a time.

    Memory does not grow with the number of pictures. The file appears when it is complete.

    Args:
        out: the file, a table of CSV, JSON lines (.jsonl), COCO results (.json), Parquet (.parquet)
            or NumPy's arrays by name (.npz) by its ending; or a folder that ends in a slash.
        run: the run folder.
        images: as for ``predict``, and the following likewise.
        data: the data file.
        samples: K; a CSV and COCO results have none.
        rows: of a CSV: ``pictures`` or ``objects``.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        skip_bad: leave out pictures that cannot be read.
        sub_folders: take the pictures of the folders inside a folder too.
        invert: ink is dark on bright, on pictures.
        settings: dotted keys and values, or layers.
        listener: hears notes and progress.

    Raises:
        OutputError: the file cannot be written, would replace what is read, or has an ending that
            is none of these; or a library is not installed that it needs.
        AirkitError: all that ``predict`` raises.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; nothing is left of the file.
    """
    began, target = time.perf_counter(), output_file(out, "predictions.csv")
    check_predictions(target, rows, samples)
    how = {"skip_bad": skip_bad, "sub_folders": sub_folders, "invert": invert}
    source = _source((run, checkpoint, settings, listener), images, data, samples, how)
    _check_not_read(target, [*source.files, *RunFolder(to_path(run)).kept()])
    with writing_predictions(target, rows) as add:
        for batch in source.batches():
            add(batch)
    return Written(
        path=target,
        pictures=source.many,
        seconds=round(time.perf_counter() - began, 2),
        bytes=target.stat().st_size,
        bad=source.bad,
    )


def _source(
    opening: tuple[str | Path, str, Settings, Listener],
    images: Any,
    data: str | Path | None,
    samples: int,
    how: Mapping[str, bool],
) -> CanvasesSource | PicturesSource:
    """What there is to look at, checked before any of it is."""
    if samples < 0:
        hint = "leave it out for none"
        raise AirkitError(
            "The number of samples is negative", expected="0 or more", got=samples, hint=hint
        )
    if images is None:
        if given := [argument(name, True) for name, on in how.items() if on]:
            hint = "name pictures, or leave it out"
            raise AirkitError(f"{given[0]} is for pictures alone", got="no pictures", hint=hint)
    elif data is not None:
        raise AirkitError(
            "Both pictures and a data file are given",
            got=f"--data {quoted(data)} and pictures",
            hint="name one of them; airkit import makes a data file of pictures",
        )
    listener = opening[-1]
    model = open_model(*opening)
    repeat_verdict(model, listener)
    if images is None:
        return CanvasesSource(model, data, samples, listener)
    return PicturesSource(model, images, samples, how, listener)


def _check_not_read(target: Path, files: Iterable[Path]) -> None:
    """Refuse to replace what the predictions are about, or a file of the run."""
    if os.path.realpath(target) in map(os.path.realpath, files):
        raise OutputError(
            "The predictions would replace a file that they are made from",
            where=target,
            hint="another --out",
        )
