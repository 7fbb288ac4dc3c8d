"""A small data file and short trainings for the tests, made once a session."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from airkit.config import settings
from airkit.config.schema import Config
from airkit.data import sources
from airkit.data.dataset import CanvasDataset
from airkit.data.make import make_data
from airkit.data.sources import LoadedDigits
from airkit.runs import checkpoint
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import Listener
from airkit.training.loop import TrainReport
from airkit.training.step import Trainer
from airkit.training.train import train

torch.set_num_threads(1)
_load = sources.load

STEPS = 23
DATA: Mapping[str, Any] = {
    "data.source": "strokes",
    "data.canvas_size": 24,
    "data.digit_size": 10.0,
    "data.digit_size_sd": 0.5,
    "data.max_digits": 2,
    "data.train": 60,
    "data.val": 12,
    "data.test": 20,
}
TRAIN: Mapping[str, Any] = {
    "model.window_size": 8,
    "model.code_size": 4,
    "model.hidden_size": 16,
    "train.steps": STEPS,
    "train.batch_size": 8,
    "train.device": "cpu",
    "train.precision": "float32",
    "train.log_every": 3,
    "train.val_every": 5,
    "train.checkpoint_every": 4,
    "eval.looks": 3,
    "eval.candidates": 1,  # no search, which is long where little was learned
    "eval.likelihood_samples": 2,
    "eval.batch_size": 12,
}
SEARCH = 6
"""``eval.candidates`` by default, for tests of what a search finds."""
COMBINATIONS = [*product(["saliency", "lstm"], ["exact", "nvil"])]
"""Every guide with every estimator."""
CPU = torch.device("cpu")


class Recorder(Listener):
    """Remembers what it hears, and calls ``at_step`` back after each step."""

    def __init__(self, **at: Any) -> None:
        self.notes: list[str] = []
        self.rows: list[Mapping[str, float]] = []
        self.told: list[tuple[str, int, int]] = []
        self.at = {int(step.removeprefix("step")): act for step, act in at.items()}

    def note(self, text: str) -> None:
        self.notes.append(text)

    def row(self, values: Mapping[str, float]) -> None:
        self.rows.append(values)

    def progress(self, task: str, done: int, total: int) -> None:
        self.told.append((task, done, total))
        if task == "training" and done in self.at:
            self.at[done]()


class CrashError(Exception):
    """Ends a training as a kill does: nothing is saved."""


def interrupt() -> None:
    """What Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def crash() -> None:
    raise CrashError


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@cache
def folder() -> Path:
    """A folder for the session."""
    path = tempfile.mkdtemp(prefix="airkit-tests-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


@cache
def data_file(**other: Any) -> Path:
    """A data file; ``other`` settings of its section replace those of ``DATA``."""
    name = "-".join(["data", *(f"{key}={value}" for key, value in other.items())])
    path = folder() / f"{name}.h5"
    given = {**DATA, **{f"data.{key}": value for key, value in other.items()}}
    with mock.patch.object(sources, "load", return_value=_strokes()):
        make_data(path, settings=given)
    return path


@cache
def _strokes() -> LoadedDigits:
    return _load("strokes")


def fit(
    run: Path,
    data: Path | None = None,
    listener: Listener | None = None,
    *,
    fresh: bool = False,
    **keys: Any,
) -> TrainReport:
    """Train on the tiny data; keywords such as ``train__seed`` are settings."""
    given = {**TRAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    return train(
        data or data_file(), run, settings=given, fresh=fresh, listener=listener or Listener()
    )


def options(guide: str, estimator: str) -> dict[str, Any]:
    """Settings for a guide and an estimator with small networks."""
    sizes = {"guide__rnn_size": 12, "train__baseline_net": (6,)}
    return {**sizes, "guide__kind": guide, "train__estimator": estimator}


def config(**keys: Any) -> Config:
    """The settings that ``fit`` trains with."""
    given = {**DATA, **TRAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    return settings.resolve(*settings.layers(given))


def trainer(device: torch.device = CPU, **keys: Any) -> Trainer:
    """A trainer at its first step, on the tiny data."""
    given, images = config(**keys), CanvasDataset(data_file()).images
    height, width = given.data.shape
    return Trainer(given, images[..., :height, :width], device)


def go_on(run: Path, listener: Listener | None = None, **keys: Any) -> TrainReport:
    """Call ``train`` again with nothing but the run folder."""
    given = {key.replace("__", "."): value for key, value in keys.items()}
    return train(None, run, settings=given, listener=listener or Listener())


@cache
def reference() -> Path:
    """The run of ``STEPS`` steps that nothing interrupted."""
    run = folder() / "reference"
    fit(run)
    return run


@cache
def uninterrupted(guide: str, estimator: str, **other: Any) -> Path:
    """The run of ``STEPS`` steps of a guide and an estimator."""
    run = folder() / "-".join([guide, estimator, *map(str, other.values())])
    fit(run, **options(guide, estimator), **other)
    return run


def evaluated() -> Path:
    """A run whose counts are right for some canvases and wrong for others."""
    path = folder() / "evaluated"
    if not path.exists():
        fit(path, train__learning_rate=5e-3, prior__ratio=0.3, eval__candidates=SEARCH)
    return path


def trained(run: Path) -> Path:
    """A copy of the uninterrupted run, to spoil."""
    return Path(shutil.copytree(reference(), run))


def state(run: Path, step: int = STEPS) -> Checkpoint:
    return checkpoint.read(RunFolder(run).file(step))


def metrics(run: Path) -> list[dict[str, Any]]:
    """Rows of metrics but for the time they took."""
    rows = RunFolder(run).rows()
    return [{key: row[key] for key in row if key != "seconds"} for row in rows]


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def assert_as_if_never_stopped(run: Path, expected: Path | None = None, step: int = STEPS) -> None:
    """Weights, optimiser and metrics are those of the uninterrupted run, with no debris."""
    expected = expected or reference()
    ours, theirs = vars(state(run, step)), vars(state(expected, step))
    for name in ours:
        assert name == "seconds" or same(ours[name], theirs[name]), name
    assert metrics(run) == metrics(expected)
    assert not [name for name in tree(run) if name.endswith(".part")]


def tree(run: Path) -> list[str]:
    """Names of all files in a run folder, but what an evaluation left."""
    files = (file for file in run.rglob("*") if file.is_file())
    return sorted(str(it.relative_to(run)) for it in files if it.name != "evaluation.json")
