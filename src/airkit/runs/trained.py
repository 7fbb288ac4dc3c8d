"""Trained models: a checkpoint with the settings of a call, and a run's model on its canvases.

A checkpoint's weights become a model in ``airkit.runs.weights``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from airkit.config import settings
from airkit.config.registry import is_outside
from airkit.config.schema import Config
from airkit.config.settings import Layer, Settings
from airkit.data import reader
from airkit.data.dataset import CanvasDataset, to_float
from airkit.data.info import DataInfo, empty_split_error
from airkit.errors import DataFileError
from airkit.model.air import AIR
from airkit.model.guides import GUIDES
from airkit.model.scene import possible_looks
from airkit.model.spatial_transformer import Shape
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.memory_needs import batch_size_of, check_looks
from airkit.runs.training_data import TrainingData
from airkit.runs.weights import build, with_classes_named
from airkit.system import seeds
from airkit.system.callbacks import SILENT, Listener, caution
from airkit.system.device import generator, pick_device
from airkit.system.paths import to_path

LEARNED = ("model.", "guide.", "prior.", "train.", "data.", "scenes.", "pictures.")
"""Prefixes of the settings that a trained model has for good, but for those ``TAKEN_UP``."""
TAKEN_UP = ("model.slots", "train.device", "train.deterministic", "train.backward")


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint, and the settings of the call that uses it."""

    checkpoint: Path
    """The checkpoint's file."""
    state: Checkpoint
    config: Config
    """The run's settings, overridden by those of the call."""
    trouble: list[str]
    """What was in doubt at the end of the training."""

    @property
    def status(self) -> str:
        """The status of a picture whose results are in order: ok, or that the run is in doubt."""
        return "run in doubt" if self.trouble else "ok"

    @property
    def device(self) -> torch.device:
        """The device that ``train.device`` names; raises DeviceError where there is none such."""
        return pick_device(self.config.train.device)

    @property
    def data(self) -> TrainingData:
        """The data file that the run was trained on."""
        return TrainingData.of(self.state)

    def build(
        self,
        *,
        canvas_size: int | Shape | None = None,
        slots: int | None = None,
        device: torch.device | None = None,
    ) -> AIR:
        """Return the model with its trained weights, in evaluation mode.

        Args:
            canvas_size: side of square canvases in pixels, or height and width; by default those
                of the training.
            slots: most objects it can explain; by default as many as in training.
            device: where it computes; by default the device that ``train.device`` names.

        Raises:
            ExtensionError: the run was trained with a class from outside airkit that the
                settings of this call do not name.
            DeviceError: there is no such device.
            NoMemoryError: the pictures that are looked at together do not fit into memory.
        """
        device = device or self.device
        air = build(self.state, device, self.config, canvas_size=canvas_size, slots=slots)
        check_looks(air, self.config, device)
        air.guide.sharpness = self.config.eval.look_sharpness
        air.candidates = self.config.eval.candidates
        return air

    def on(self, data: str | Path | None) -> tuple[DataInfo, AIR]:
        """Return what a data file says of itself, and the model with slots enough for its canvases.

        Where the call asks for another number of slots than the run has, it has those.

        Args:
            data: the data file; None for the one the run was trained on.

        Raises:
            DataFileError: no such data file, a damaged one, an empty split, canvases of a size that
                the guide does not serve, or the run's own file where it was replaced.
            DeviceError: there is no such device.
            ExtensionError: as ``build``.
        """
        info = reader.read_info(to_path(data)) if data else self.data.read()
        if info.splits[self.config.eval.split] == 0:
            raise empty_split_error(info, self.config.eval.split)
        shape = info.config.data.shape
        self.check_canvas_size(shape, info.path)
        self.check_channels(info.config.data.channels, info.path)
        own, asked = self.state.config, self.config.model.slots
        most = max(own.slots, info.config.data.max_digits + 1)
        same = asked == own.model.slots
        slots = most if same or asked == "auto" else asked
        return info, self.build(canvas_size=shape, slots=slots)

    def run_on(self, data: str | Path | None) -> TrainedRun:
        """Return the model with the canvases of a data file; see ``on``."""
        info, air = self.on(data)
        config = with_learned_noise(self.config, air)
        return TrainedRun(
            config=config,
            air=air,
            device=self.device,
            data=info.path,
            digest=info.content_digest,
            canvases=CanvasDataset(info.path, config.eval.split),
            checkpoint=self.checkpoint,
            trained_on=self.data,
        )

    @property
    def any_canvas(self) -> bool:
        """Whether the guide serves canvases of every size and shape.

        Raises:
            ExtensionError: as ``build``.
        """
        return GUIDES[with_classes_named(self.state.config, self.config).guide.kind].any_canvas

    def check_canvas_size(self, shape: Shape, where: object) -> None:
        """Refuse canvases of another size than a guide that reads whole canvases was trained on.

        Args:
            shape: height and width of the canvases in pixels.
            where: the file that they are in, for the message.

        Raises:
            DataFileError: the guide does not serve canvases of that size.
        """
        ours = self.state.config.data.shape
        if ours != shape and not self.any_canvas:
            kind = self.state.config.guide.kind
            raise DataFileError(
                f"The {kind} guide of this run reads canvases of one size only",
                where=where,
                expected=f"{ours[1]}x{ours[0]} px, as the run was trained on",
                got=f"{shape[1]}x{shape[0]} px",
                hint="train on such canvases, or with guide.kind=saliency, which serves every size",
            )

    def check_channels(self, channels: int, where: object) -> None:
        """Refuse colour canvases for a model of grey ones, and the other way round.

        Args:
            channels: of the canvases, 1 or 3.
            where: the file that they are in, for the message.

        Raises:
            DataFileError: the model has another number of channels.
        """
        kinds, ours = {1: "grey", 3: "colour"}, self.state.config.data.channels
        if channels != ours:
            raise DataFileError(
                f"The run was trained on {kinds[ours]} canvases, and these are not",
                where=where,
                expected=f"{kinds[ours]} canvases",
                got=f"{kinds[channels]} ones",
                hint=f"train on such canvases, or make these with data.channels={ours}",
            )


@dataclass(frozen=True)
class TrainedRun:
    """A trained model and the canvases that it is evaluated on."""

    config: Config
    """The run's settings, overridden by those of the call."""
    air: AIR
    device: torch.device
    data: Path
    """The data file."""
    digest: str
    """Content digest of the data file."""
    canvases: CanvasDataset
    """Canvases of the split ``eval.split``."""
    checkpoint: Path
    """The checkpoint's file."""
    trained_on: TrainingData
    """The data file that the run was trained on, with the settings of the training."""

    @property
    def looks(self) -> int:
        """Explanations to compare per canvas: ``eval.looks``, or 1 for a guide without looks."""
        return possible_looks(self.air, self.config.eval.looks)

    def batches(self, places: Tensor | None = None) -> list[Tensor]:
        """Indices of all canvases, or of those at ``places``, as they are looked at together.

        They are ``eval.batch_size`` at a time, or fewer large ones.
        """
        chosen = torch.arange(len(self.canvases)) if places is None else places
        return list(torch.split(chosen, batch_size_of(self.air, self.config)))

    def images(self, indices: Tensor) -> Tensor:
        """Levels in 0..1 of the canvases at ``indices``, on the device, [B, C, H, W]."""
        return to_float(self.canvases.rows["image"][indices].to(self.device))

    def generator(self, stream: str) -> torch.Generator:
        """A fresh generator on a named random stream of ``eval.seed``."""
        return generator(self.config.eval.seed, stream, self.device)


def load(
    path: str | Path = "runs/air",
    *,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> AIR:
    """Return a trained model, in evaluation mode.

    Args:
        path: a run folder, a checkpoint, or the folder of a model that ``export`` wrote, such as
            one from Hugging Face. No file can run code.
        checkpoint: of a run folder: ``best``, ``last`` or a checkpoint file.
        settings: dotted keys and values, or layers; ``train.device`` matters, and names of
            classes from outside airkit that the model was trained with.
        listener: hears of damaged checkpoints that were passed over.

    Raises:
        CheckpointError: there is no such model, or a damaged one.
        ConfigError: the settings are not valid.
        DeviceError: there is no such device.
        ExtensionError: as ``TrainedModel.build``.
    """
    path = to_path(path)
    chosen = str(path) if os.path.isfile(path) else checkpoint
    return open_model(path, chosen, settings, listener).build()


def open_model(
    run: str | Path,
    checkpoint: str,
    given: Settings,
    listener: Listener,
    *,
    prior: bool = False,
) -> TrainedModel:
    """Read a checkpoint of a run.

    Args:
        run: the run folder.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        given: settings of this call, which override the run's.
        listener: hears of damaged checkpoints that were passed over, and of settings of the call
            that a trained model cannot take up; with ``SILENT`` these are warnings.
        prior: whether counts are to be drawn from the prior, so that its settings have an effect.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: the settings are not valid.
    """
    folder = RunFolder(to_path(run))
    path, state = folder.find(checkpoint, listener)
    config = override(with_auto_backward(state.config), f"run {run}", given)
    taken_up = (*TAKEN_UP, "prior.") if prior else TAKEN_UP
    for key, (ours, other) in settings.differences(state.config, config).items():
        fixed = key.startswith(LEARNED) and not key.startswith(taken_up)
        if fixed and not is_outside(ours):
            caution(listener, f"{key} = {other}: no effect, as the run was trained with {ours}")
    return TrainedModel(path, state, config, RunFolder.of(path).trouble())


def open_run(
    run: str | Path, data: str | Path | None, checkpoint: str, given: Settings, listener: Listener
) -> TrainedRun:
    """Load a trained model, with slots enough for the canvases of a data file.

    Args:
        run: the run folder.
        data: the data file; None for the one the run was trained on.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        given: settings of this call, which override the run's.
        listener: as for ``open_model``.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: the settings are not valid.
        DataFileError, DeviceError, ExtensionError: as ``TrainedModel.on``.
    """
    return open_model(run, checkpoint, given, listener).run_on(data)


def override(base: Config, origin: str, given: Settings) -> Config:
    """Return a recorded configuration, overridden by the settings of a call.

    Args:
        base: the recorded configuration.
        origin: where it was recorded, for messages.
        given: the settings of the call.

    Raises:
        ConfigError: the settings are not valid.
    """
    recorded = Layer(origin, base.model_dump(), recorded=True)
    return settings.resolve(recorded, *settings.layers(given))


def with_auto_backward(config: Config) -> Config:
    """Return a run's settings with ``train.backward`` on auto, to be overridden.

    A call may name another guide or objective than the run's, and that is refused elsewhere. With
    ``fast`` left in place, the message would be that ``fast`` does not serve it.
    """
    return config.updated("train", backward="auto")


def with_learned_noise(config: Config, air: AIR) -> Config:
    """Return a run's settings with the pixel noise that its model has learned, if it learns any."""
    sd = air.pixel_sd
    return config.updated("model", pixel_sd=sd.item()) if isinstance(sd, Tensor) else config


def look_seed(config: Config) -> int:
    """Return the seed of sampled looks; see ``airkit.model.scene.explain_best``."""
    return seeds.integer(config.eval.seed, "looks")


def count_generator(config: Config, device: torch.device) -> torch.Generator | None:
    """Return the generator that samples counts; None where ``eval.counts`` asks for the mode."""
    sampled = config.eval.counts == "sampled"
    return generator(config.eval.seed, "counts", device) if sampled else None
