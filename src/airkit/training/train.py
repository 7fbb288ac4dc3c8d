"""Train a model in a run folder: ``airkit train``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from airkit.config.settings import Settings, layers
from airkit.errors import AirkitError
from airkit.runs.folder import RunFolder
from airkit.system import threads
from airkit.system.callbacks import SILENT, Listener
from airkit.system.device import deterministic
from airkit.system.extras import check_installed
from airkit.system.paths import to_path
from airkit.system.signals import stop_on_signals
from airkit.training.loop import Loop, TrainReport
from airkit.training.parallel import joined
from airkit.training.pictures import kept
from airkit.training.resume import Start, check_unused, prepare


def train(
    data: str | Path | None = None,
    run: str | Path = "runs/air",
    *,
    images: Any = None,
    settings: Settings = (),
    fresh: bool = False,
    listener: Listener = SILENT,
) -> TrainReport:
    """Train on a data file or on pictures, or go on where the run folder stopped.

    Settings are laid over those in the data file, or in the run that is resumed. Stopping
    anywhere and calling again gives the same weights, bit for bit, as never stopping.

    Where ``torchrun`` started several processes, all call this with the same arguments, and
    train together: the first one writes, and calls its listener; all return the report.

    Args:
        data: the data file; by default that of the run that goes on, else multi-mnist.h5.
        run: the run folder.
        images: pictures of your own in place of a data file, as ``import_scenes`` takes them: an
            array or tensor, a list, a folder, a file. They are imported into ``pictures.h5`` in the
            run folder, so that resuming and evaluating need nothing else.
        settings: dotted keys and values, or layers.
        fresh: start anew, removing what an earlier training left in the folder.
        listener: hears notes, progress and rows of metrics.

    Raises:
        DataFileError: the data file cannot be used, or contradicts the settings.
        ImageError: the images cannot be read or used.
        CheckpointError: the run belongs to other settings, data or images, or cannot be read; or
            the folder holds other files and no run.
        ConfigError: the settings are not valid.
        ExtensionError: a class from outside airkit cannot be used, or the run that goes on needs
            one that the settings do not name.
        DeviceError: there is no such device, or not one for each process.
        LaunchError: the processes cannot meet, or cannot share the batch.
        TrainingError: the loss, a gradient or the validation ELBO is no longer finite,
            or another process ended.
        OutputError: the run folder cannot be written, or another process trains in it.
        AirkitError: ``train.tensorboard`` is on, and TensorBoard is not installed; or there
            are both data and images.
    """
    _check_given(data, images)
    folder = RunFolder(to_path(run))
    with ExitStack() as stack:
        # The caller may have switched gradients off, as is usual around trained models.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        processes = stack.enter_context(joined())
        # torchrun passes on a Ctrl-C that its processes may have had from the terminal, too.
        request = stack.enter_context(stop_on_signals(patient=not processes.launch.alone))

        def begin() -> Start:
            stack.enter_context(folder.locked(listener))
            given = layers(settings)
            if not fresh:
                check_unused(folder)
            named = data
            if images is not None:
                pictures = kept(images, folder, given, fresh=fresh, listener=listener)
                named = beginning.enter_context(pictures)
            start = prepare(named, folder, given, fresh=fresh, listener=listener)
            if start.config.train.tensorboard:
                check_installed("tensorboard", "tensorboard")
            return start

        with ExitStack() as beginning:
            start = processes.by_lead(begin)
            stack.enter_context(deterministic(start.config.train.deterministic))
            stack.enter_context(threads.restored())
            loop = Loop(start, listener if processes.lead else SILENT, processes)
        stack.callback(loop.board.close)
        return loop.run(request)


def _check_given(data: object, images: object) -> None:
    """Refuse a data file beside images, and images in its place."""
    both = data is not None and images is not None
    if both or not isinstance(data, str | Path | None):
        raise AirkitError(
            "Both a data file and images are given"
            if both
            else "This is not the path of a data file",
            where="data",
            expected="the path of a data file, or images=...",
            got=f"{type(data).__name__}" + " and images" * both,
            hint="airkit.train(images=...) for pictures, airkit.train(FILE) for a data file",
        )
