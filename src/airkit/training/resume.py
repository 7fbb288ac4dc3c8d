"""What a training starts from: a data file and settings, or a run that stopped."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from airkit.config import settings
from airkit.config.schema import CANVAS_SECTIONS, Config
from airkit.config.settings import Layer, Settings
from airkit.data import reader
from airkit.data.info import DataInfo
from airkit.errors import CheckpointError, DataFileError
from airkit.model.counts import COUNT_PRIORS
from airkit.model.decoders import DECODERS
from airkit.model.guides import GUIDES
from airkit.model.objectives import OBJECTIVES
from airkit.model.precision import best_precision
from airkit.runs import checkpoint as checkpoints
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.trained import override, with_auto_backward
from airkit.runs.training_data import OF_DATA, SCENE, TrainingData
from airkit.system.callbacks import Listener
from airkit.system.device import is_gpu
from airkit.system.paths import absolute, to_path
from airkit.system.text import first_three
from airkit.training.idle import note_idle

FREE = (
    "train.steps",
    "train.device",
    "train.cuda_graph",
    "train.deterministic",
    "train.clip_norm",
    "train.log_every",
    "train.val_every",
    "train.val_early",
    "train.checkpoint_every",
    "train.keep",
    "train.tensorboard",
    "eval.",
    "render.",
)
"""Prefixes of the settings that may change when a run goes on."""

FIXED = "precision", "backward", "batch_size"
"""Settings of ``train`` whose auto a run fixes when it starts."""

OPTION = {"run": "--run", "sweep": "--out"}
"""The command line's option for the folder of a run and of a sweep."""

DEFAULT_DATA = "multi-mnist.h5"


@dataclass(frozen=True)
class Start:
    """What a training needs to begin or to go on."""

    run: RunFolder
    data: DataInfo
    """The data file, its path absolute."""
    config: Config
    checkpoint: Checkpoint | None
    """Where to go on; None for a new run."""


def prepare(
    data: str | Path | None,
    run: RunFolder,
    given: Settings,
    *,
    fresh: bool,
    listener: Listener,
) -> Start:
    """Find out what to train on and from where; nothing is written.

    Args:
        data: the data file; None for that of the run that goes on, or the default.
        run: the run folder.
        given: settings of this call.
        fresh: ignore what an earlier training left in the folder.
        listener: hears of settings without effect and of damaged checkpoints.

    Raises:
        DataFileError, CheckpointError, ConfigError, ExtensionError: as ``train`` does.
    """
    layers = settings.layers(given)
    checkpoint = None if fresh else _latest(run, listener)
    if checkpoint is not None:
        earlier = Earlier(run.path, TrainingData.of(checkpoint), FREE)
        info, config = earlier.go_on(data, layers, listener)
    else:
        info, config = configure(to_path(data or DEFAULT_DATA), layers, listener)
    return Start(run, replace(info, path=absolute(info.path)), config, checkpoint)


def configure(data: Path, layers: list[Layer], listener: Listener) -> tuple[DataInfo, Config]:
    """What a data file holds, and the settings of a new run on it.

    Raises:
        DataFileError, ConfigError, ExtensionError: as ``train`` does.
    """
    info = reader.read_info(data)
    if info.splits["train"] == 0:
        raise DataFileError(
            "The data file has no canvases to train on",
            where=info.path,
            expected="at least one canvas in the train split",
            hint="name one that has with --data, or make one: airkit make-data --out NAME",
        )
    made = Layer(f"data file {info.path}", info.config.model_dump(), recorded=True)
    layers = [_fitting(layer, info.config, listener) for layer in layers]
    config = settings.resolve(made, *layers)
    _check_classes(config)
    config = _with_data(info.config, info.path, config, listener)
    note_idle(layers, config, listener)
    train = config.train
    best = "float32" if train.deterministic else best_precision(train.device)
    size = config.gpu_batch_size if is_gpu(train.device) else config.batch_size
    return info, _without_auto(config, precision=best, backward=config.backward, batch_size=size)


def _latest(run: RunFolder, listener: Listener) -> Checkpoint | None:
    try:
        return run.latest(listener)
    except CheckpointError as error:
        if error.hint != checkpoints.ANOTHER:  # such as one of a newer airkit, which is not lost
            raise
        raise error.advising(
            "name another --run; the same command with --fresh removes the training of this one"
        ) from error


@dataclass(frozen=True)
class Earlier:
    """A run or a sweep that was started before, and goes on."""

    where: Path
    """Its folder."""
    trained_on: TrainingData
    """Its data and its settings."""
    free: tuple[str, ...]
    """Prefixes of the settings that may change."""

    def go_on(
        self, data: str | Path | None, layers: list[Layer], listener: Listener
    ) -> tuple[DataInfo, Config]:
        """What the data file holds, and the settings to go on with.

        Raises:
            DataFileError, CheckpointError, ConfigError, ExtensionError: as ``train`` does.
        """
        earlier = self.trained_on.config
        earlier = _without_auto(earlier, backward=earlier.backward, batch_size=earlier.batch_size)
        info = self._named(to_path(data)) if data else self.trained_on.read(instead=False)
        origin = f"{self.trained_on.what} {self.where}"
        fitting = [_fitting(layer, earlier, listener) for layer in layers]
        config = override(with_auto_backward(earlier), origin, fitting)
        if not config.fast_serves:  # such as on another device
            earlier = earlier.updated("train", backward="reference")
        config = _without_auto(config, **{name: getattr(earlier.train, name) for name in FIXED})
        config = _with_data(earlier, info.path, config, listener)
        self._check_unchanged(earlier, config)
        _check_classes(config)
        return info, config

    def _named(self, data: Path) -> DataInfo:
        """What a data file holds that was named in place of the original."""
        info, old = reader.read_info(data), self.trained_on
        if info.content_digest != old.digest:
            raise CheckpointError(
                f"The {old.what} was trained on other data",
                where=self.where,
                expected=f"canvases with digest {old.digest[:16]} ({old.path})",
                got=f"digest {info.content_digest[:16]} ({info.path})",
                hint=f"name another {OPTION[old.what]}, or remove this one with --fresh",
            )
        return info

    def _check_unchanged(self, earlier: Config, config: Config) -> None:
        differing = settings.differences(earlier, config).items()
        changed = {key: values for key, values in differing if not key.startswith(self.free)}
        if changed:
            raise CheckpointError(
                f"The {self.trained_on.what} was started with other settings",
                where=self.where,
                expected=_listed(changed, 0),
                got=_listed(changed, 1),
                hint=f"leave those out to go on, name another {OPTION[self.trained_on.what]}, or "
                "remove this one with --fresh",
            )


def _fitting(layer: Layer, made: Config, listener: Listener) -> Layer:
    """The layer without a preset's canvases, so that presets fit any data; notes what differs."""
    if not layer.preset:
        return layer
    kept = {name: it for name, it in layer.values.items() if name not in CANVAS_SECTIONS}
    left_out = {name: it for name, it in layer.values.items() if name in CANVAS_SECTIONS}
    canvases = dict(settings.flatten(made.model_dump(mode="json")))  # lists, as TOML has them
    other = [key for key, value in settings.flatten(left_out) if canvases[key] != value]
    if other:
        listener.note(f"{layer.origin}: {', '.join(other)}: taken from the data file")
    return replace(layer, values=kept)


def _check_classes(config: Config) -> None:
    """Import the classes that the settings name; raises ExtensionError."""
    GUIDES[config.guide.kind]
    DECODERS[config.model.decoder]
    COUNT_PRIORS[config.prior.kind]
    OBJECTIVES[config.train.estimator]


def check_same_data(start: Start) -> None:
    """Check that the data file is the one that the first of several processes has found.

    Raises:
        DataFileError: another file has this name on this machine, or none.
    """
    found, expected = reader.read_info(start.data.path), start.data.content_digest
    if found.content_digest != expected:
        raise DataFileError(
            "Not all processes have the same data file",
            where=f"{found.path} on {platform.node()}",
            expected=f"canvases with digest {expected[:16]}, as the first process has",
            got=f"digest {found.content_digest[:16]}",
            hint="copy the file to every machine, or name one that all of them share with --data",
        )


def note_resumption(start: Start, device: str, processes: int, listener: Listener) -> None:
    """Note that a run goes on, and where its weights will not be those of one that never stopped.

    Args:
        start: where it goes on.
        device: what kind of device computes.
        processes: how many processes train together.
        listener: hears of it.
    """
    earlier, train, threads = start.checkpoint, start.config.train, torch.get_num_threads()
    if earlier is None or earlier.step >= train.steps:
        return
    listener.note(f"going on from step {earlier.step} of {start.run.path}")
    clipped = earlier.config.train.clip_norm
    if clipped != train.clip_norm:
        listener.note(
            f"train.clip_norm: {clipped} up to step {earlier.step}, {train.clip_norm} from there on"
        )
    differ = "the last bits of its weights may differ from those of an uninterrupted run"
    if device == "cpu" and not train.deterministic and earlier.threads not in (None, threads):
        listener.note(
            f"{threads} CPU threads where the run had {earlier.threads}: {differ}; "
            f"OMP_NUM_THREADS={earlier.threads} keeps them"
        )
    if earlier.processes not in (None, processes):
        if train.estimator == "nvil":
            differ = "it draws other random numbers than an uninterrupted run"
        listener.note(
            f"{processes} processes where the run had {earlier.processes}: {differ}; "
            f"torchrun --nproc-per-node {earlier.processes} keeps them"
        )


def check_unused(run: RunFolder) -> None:
    """Refuse to write over files of something else, or between them, as in ``--run .``.

    Raises:
        CheckpointError: there are such files, and no checkpoint.
    """
    foreign = run.foreign() or run.others()
    if foreign:
        raise CheckpointError(
            "The folder holds files that belong to no checkpoint",
            where=run.path,
            expected="a new folder, or one with checkpoints/step-*.pt",
            got=first_three(foreign),
            hint="name another --run, or move those files away",
        )


def _with_data(made: Config, path: Path, config: Config, listener: Listener) -> Config:
    """The settings with the sections ``data``, ``pictures`` and ``scenes`` of the file at ``path``.

    Settings that contradict the file's canvases are refused; a note lists those without effect.
    """
    differing = settings.differences(made, config)
    data = {key: values for key, values in differing.items() if key.startswith(OF_DATA)}
    wrong = {key: values for key, values in data.items() if key.startswith(SCENE)}
    if wrong:
        raise DataFileError(
            "The settings contradict the data file",
            where=path,
            expected=_listed(wrong, 1) + " (settings)",
            got=_listed(wrong, 0) + " (data file)",
            hint="leave those settings out, or make a file with them: airkit make-data",
        )
    if data:
        names = ", ".join(data)
        listener.note(f"{names}: taken from the data file, where the settings say otherwise")
    return config.on_canvases_of(made)


def _without_auto(config: Config, **chosen: str | int) -> Config:
    """The settings with values of ``train`` in place of auto, which the run then keeps."""
    fixed = {key: value for key, value in chosen.items() if getattr(config.train, key) == "auto"}
    return config.updated("train", **fixed)


def _listed(differing: Mapping[str, tuple[Any, Any]], place: int) -> str:
    """Settings that differ, with their old value (place 0) or their new one (1)."""
    pairs = differing.items()
    return ", ".join(f"{key} = {settings.spelled(values[place])}" for key, values in pairs)
