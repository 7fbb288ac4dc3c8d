"""A trained model beside the canvases that it is to look at.

The one place where a checkpoint's weights become a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer, Settings
from airkit.data import reader
from airkit.data.dataset import CanvasDataset, to_ink
from airkit.data.reader import DataInfo
from airkit.errors import DataFileError
from airkit.model.air import AIR
from airkit.model.guides import GUIDES
from airkit.model.scene import possible_looks
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.origin import Original
from airkit.system.callbacks import Listener
from airkit.system.device import generator, pick_device


def original(path: Path, state: Checkpoint) -> Original:
    """The data file that the checkpoint in the file ``path`` was trained on."""
    config = path.parent.parent / "config.toml"
    return Original("run", Path(state.data), state.data_digest, state.config, config)


def build(state: Checkpoint, device: torch.device, **sizes: int | None) -> AIR:
    """The trained model of a checkpoint, in evaluation mode, on ``device``.

    ``sizes`` may name another ``canvas`` or other ``slots`` than it was trained on.
    """
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and then replaced
        air = AIR(state.config, **sizes)
    air.load_state_dict(state.model)
    return air.to(device).eval()


@dataclass(frozen=True)
class Opened:
    """A trained model beside the canvases it is to look at."""

    config: Config
    air: AIR
    device: torch.device
    data: Path
    digest: str
    canvases: CanvasDataset
    checkpoint: Path

    @property
    def looks(self) -> int:
        """Explanations to compare per canvas; a guide that does not look has but one."""
        return possible_looks(self.air, self.config.eval.looks)

    def batches(self) -> list[Tensor]:
        """Indices of the canvases, ``eval.batch_size`` at a time."""
        return list(torch.split(torch.arange(len(self.canvases)), self.config.eval.batch_size))

    def images(self, indices: Tensor) -> Tensor:
        """Ink in 0..1 of the canvases at ``indices``, on the device, [B, H, H]."""
        return to_ink(self.canvases.images[indices].to(self.device))

    def generator(self, stream: str) -> torch.Generator:
        """A fresh generator on a named random stream of ``eval.seed``."""
        return generator(self.config.eval.seed, stream, self.device)


def open_run(
    run: str | Path,
    data: str | Path | None,
    checkpoint: str,
    given: Settings,
    listener: Listener,
) -> Opened:
    """Load a trained model for the canvases of a data file, whatever their size and number.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        DataFileError: no such data file, a damaged one, an empty split, or the run's own file
            where it was replaced.
    """
    path, state = RunFolder(Path(run)).find(checkpoint, listener)
    config = laid_over(state.config, f"run {run}", given)
    info = reader.read_info(Path(data)) if data else original(path, state).read()
    canvases = CanvasDataset(info.path, config.eval.split)
    if len(canvases) == 0:
        raise empty_split(info.path, config.eval.split)
    check_canvas(state.config, info)
    device = pick_device(config.train.device)
    slots = max(state.config.slots, info.config.data.max_digits + 1)
    air = build(state, device, canvas=info.config.data.canvas_size, slots=slots)
    air.guide.sharpness = config.eval.look_sharpness
    return Opened(config, air, device, info.path, info.content_digest, canvases, path)


def laid_over(base: Config, origin: str, given: Settings) -> Config:
    """The settings given, laid over a configuration that came from ``origin``.

    Raises:
        ConfigError: settings that make no configuration.
    """
    return settings.resolve(
        Layer(origin, base.model_dump(), recorded=True), *settings.layers(given)
    )


def count_draws(config: Config, device: torch.device) -> torch.Generator | None:
    """What draws the counts of one look; None where ``eval.counts`` asks for their mode."""
    sampled = config.eval.counts == "sampled"
    return generator(config.eval.seed, "counts", device) if sampled else None


def check_canvas(trained: Config, info: DataInfo) -> None:
    """Refuse canvases of another size than a guide that reads whole canvases was trained on.

    Raises:
        DataFileError: the guide of ``trained`` does not serve the canvases of ``info``.
    """
    check_side(trained, info.config.data.canvas_size, info.path)


def check_side(trained: Config, side: int, where: object) -> None:
    """Refuse canvases of ``side`` pixels, from ``where``, as ``check_canvas`` does."""
    ours = trained.data.canvas_size
    if ours != side and not GUIDES[trained.guide.kind].any_canvas:
        raise DataFileError(
            f"The {trained.guide.kind} guide of this run reads canvases of one size only",
            where=where,
            expected=f"{ours}x{ours} px, as the run was trained on",
            got=f"{side}x{side} px",
            hint="train on such canvases, or with guide.kind=saliency, which serves every size",
        )


def empty_split(path: Path, split: str) -> DataFileError:
    """The error of a data file whose split has no canvases."""
    return DataFileError(
        f"The data file has no canvases in its {split} split",
        where=path,
        expected="at least one",
        hint="choose another with --split, or make a file that has some",
    )
