"""What airkit does with each kind of file, and what must hold of all that it takes in."""

from __future__ import annotations

import encodings.ascii
import encodings.cp437
import encodings.latin_1
import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
import torch._subclasses.schema_check_mode
import torch.nested._internal.ops
import torch.nested._internal.sdpa

from airkit.config import settings
from airkit.config.schema import Config, DataConfig
from airkit.config.settings import Layer
from airkit.data import sources
from airkit.data.compose import compose
from airkit.data.dataset import CanvasDataset
from airkit.errors import ConfigError
from airkit.runs import checkpoint
from airkit.runs.describe import describe
from airkit.runs.folder import RunFolder
from airkit.runs.trained import build
from airkit.system.callbacks import SILENT
from airkit.training.loop import _Loop
from airkit.training.resume import Start
from fuzz import checkpoints, hdf5, idx, toml

CODECS = (encodings.ascii, encodings.cp437, encodings.latin_1)
"""Loaded on first use, as PyTorch's own parts above are, which is no business of a file's."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Reader:
    """How inputs of one kind are made, and read."""

    make: Callable[[Path, Path, random.Random], str]
    """Writes an input to a path, from the seeds in a folder; says how it was spoilt."""
    take: Callable[[Path, Path], object]
    """Reads the input, with the seeds beside it, and asserts that what was read is sound."""
    good: tuple[str, ...]
    """Seeds that are whole."""

    def warm_up(self, seeds: Path) -> None:
        """Read what is whole, and tell of a problem, so that all modules are loaded."""
        with suppress(ConfigError):
            settings.resolve(Layer("none", {"train": {"steps": "x", "nothing": 1}}))
        for seed in self.good:
            self.take(seeds / seed, seeds)


def data_file(path: Path, seeds: Path) -> None:
    """As ``info --verify``, ``train``, ``eval`` and ``render`` read it."""
    for split in ("train", "val"):
        canvases = CanvasDataset(path, split)
        many, places = canvases.labels.shape
        assert canvases.boxes.shape == (many, places, 4)
        assert canvases.images.shape[0] == len(canvases.counts) == many
        assert canvases.boxes.isfinite().all()
        assert many == 0 or int(canvases.counts.max()) <= places
    found = describe(path, verify=True)
    assert found.facts["verified"]
    assert found.facts["content_digest"] == digest(path, found.config.data)


def digest(path: Path, data: DataConfig) -> str:
    """The content digest as the documentation describes it."""
    lines = []
    with h5py.File(path) as file:
        for split in ("train", "val", "test"):
            for name in ("image", "count", "label", "box", "source_index"):
                array = file[split][name][:]
                content = hashlib.sha256(array.tobytes()).hexdigest()
                lines.append(f"{split}/{name} {array.dtype.str} {array.shape} {content}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def checkpoint_file(path: Path, seeds: Path) -> None:
    """As ``info``, ``eval`` and a ``train`` that goes on read it; then one step is taken."""
    state = checkpoint.read(path)
    air = build(state, CPU)
    assert all(weights.isfinite().all() for weights in air.parameters())
    if state.config.data.canvas_size != 24 or state.config.train.device not in ("auto", "cpu"):
        return
    start = Start(RunFolder(path.parent), seeds / "data.h5", state.data_digest, state.config, state)
    loop = _Loop(start, SILENT)
    assert loop.step == state.step >= 0
    if state.config.train.batch_size <= 8 and state.config.slots <= 3:
        loop.trainer.step(state.step)


def config_file(path: Path, seeds: Path) -> None:
    """As ``--config`` reads it."""
    config = settings.resolve(settings.from_file(path))
    again = settings.from_json(settings.to_json(config), "itself")
    assert again == config == Config.model_validate(config.model_dump())


def digit_folder(path: Path, seeds: Path) -> None:
    """As ``make-data --source`` reads it; then canvases are made of it."""
    source = sources.load(str(path), 0)
    data = DataConfig(canvas_size=16, digit_size=6.0, digit_size_sd=0.5, max_digits=1)
    for split, pool in source.pools.items():
        many, height, width = pool.images.shape
        assert many == len(pool.labels) == len(pool.index) > 0
        assert height == width
        assert pool.images.dtype == pool.labels.dtype == np.uint8
        assert pool.labels.max() <= 127
        compose(data, split, pool, 0, 2)


READERS = {
    "hdf5": Reader(hdf5.make, data_file, ("data.h5", "gzip.h5", "lzf.h5", "none.h5")),
    "checkpoint": Reader(checkpoints.make, checkpoint_file, ("saliency.pt", "lstm.pt", "nvil.pt")),
    "toml": Reader(toml.make, config_file, ("all.toml", "paper.toml")),
    "idx": Reader(idx.make, digit_folder, ("digits",)),
}
