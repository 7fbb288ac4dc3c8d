"""The commands that ``crash.py`` stops, and what must be true of their files afterwards."""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from airkit.config import settings
from airkit.data import reader
from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder

SETTINGS = """
data = {canvas_size = 24, digit_size = 10.0, digit_size_sd = 0.5, max_digits = 2}
model = {window_size = 8, code_size = 4, hidden_size = 16}
eval = {looks = 4, likelihood_samples = 4, batch_size = 40}

[train]
steps = 30
batch_size = 8
device = "cpu"
log_every = 3
val_every = 5
checkpoint_every = 4
"""
SIZES = {
    "data.h5": ("--train", "20000", "--val", "1000", "--test", "1000", "--force"),
    "canvases.h5": ("--train", "200", "--val", "20", "--test", "200"),
}


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    """Its exit code; a negative one is the signal that killed it."""
    out: str
    err: str
    seconds: float
    flushes: int
    """Starts and ends of a fork's flushes of files to the disk."""


class Command:
    """One command, the folder it works in, and what it must leave there."""

    name: str
    words: list[str]
    """The command line."""
    over: tuple[str, ...] = ()
    """Added to it where there is older work to replace."""
    can_replace = True
    interrupted = r"airkit: interrupted"
    """Pattern of the last line after a signal."""
    usual: Ended
    """How it ends where nothing disturbs it."""

    def prepare(self, folder: Path, old: bool) -> None:
        """Fill a new folder, with older work to replace or without."""
        raise NotImplementedError

    def check_stopped(self, folder: Path, ended: Ended, old: bool) -> None:
        """Check that all files are the old ones or the new ones, and whole."""
        raise NotImplementedError

    def check_done(self, folder: Path, ended: Ended) -> None:
        """Check that all is as if nothing had ever stopped it."""
        raise NotImplementedError


class MakeData(Command):
    """``airkit make-data``, into a new file or over an old one."""

    name = "make-data"

    def __init__(self, world: Path, run: Callable[..., Ended]) -> None:
        base = make_data(world, "data.h5")
        run(base, world)
        self.old = (world / "data.h5").rename(world / "old.h5")
        self.words = [*base, "--seed", "1"]
        self.usual = run(self.words, world)
        self.old_digest, self.new_digest = map(reader.verify, (self.old, world / "data.h5"))

    def prepare(self, folder: Path, old: bool) -> None:
        """With a file of another seed, or none."""
        if old:
            shutil.copy(self.old, folder / "data.h5")

    def check_stopped(self, folder: Path, ended: Ended, old: bool) -> None:
        """The old file or none, or the new one."""
        assert set(names(folder)) <= {"data.h5", "data.h5.part", "data.h5.lock"}, names(folder)
        finished = ended.code == 0
        if (folder / "data.h5").exists():
            digest = reader.verify(folder / "data.h5")
            is_old = old and not finished and digest == self.old_digest
            assert is_old or digest == self.new_digest, "the file has other content"
        else:
            assert not old, "the old file is lost"
            assert not finished, "the new file is lost"

    def check_done(self, folder: Path, ended: Ended) -> None:
        """The new file and nothing else."""
        assert names(folder) == ["data.h5"], names(folder)
        assert reader.verify(folder / "data.h5") == self.new_digest, "another content digest"
        assert self.new_digest in ended.out, "another digest on stdout"


class Train(Command):
    """``airkit train``, in a new folder or with ``--fresh`` in one that is trained."""

    name = "train"
    over = ("--fresh",)
    interrupted = (
        r"stopped at step \d+ of run: training it again.*|leave --fresh out to resume"
        r"|airkit: interrupted"
    )

    def __init__(self, world: Path, run: Callable[..., Ended]) -> None:
        run(make_data(world, "canvases.h5"), world)
        data = ["--data", str(world / "canvases.h5"), "--config", str(world / "tiny.toml")]
        self.words, self.old = ["train", *data, "--run", "run"], world / "old"
        run([*self.words, "--seed", "1"], world)
        (world / "run").rename(self.old)
        self.usual = run(self.words, world)
        self.state = contents(world / "run")

    def prepare(self, folder: Path, old: bool) -> None:
        """With a run of another seed, or none."""
        if old:
            shutil.copytree(self.old, folder / "run")

    def check_stopped(self, folder: Path, ended: Ended, old: bool) -> None:
        """Every checkpoint can be read, and so can what points to them."""
        run = RunFolder(folder / "run")
        states = [checkpoint.read(path) for path in run.saved()]
        assert states or not old, "the old training is lost"
        assert states or not run.path.exists() or ended.code < 0, "a folder without any checkpoint"
        if (run.path / "config.toml").exists():
            settings.resolve(settings.from_file(run.path / "config.toml"))
        if (run.path / "best.json").exists():
            json.loads((run.path / "best.json").read_text())
        known = r"(best\.json|config\.toml|metrics\.jsonl|checkpoints/step-\d{9}\.pt)(\.part)?"
        unknown = [name for name in names(run.path) if not re.fullmatch(known, name)]
        assert unknown in ([], ["train.lock"]), unknown
        assert ended.code or same(contents(run.path), self.state), "another training"

    def check_done(self, folder: Path, ended: Ended) -> None:  # noqa: ARG002
        """The same weights, optimiser and rows, bit for bit, and no file too many."""
        run = RunFolder(folder / "run")
        assert same(contents(run.path), self.state), "another training"
        older = run.saved()[: -self.state["config"].train.keep]
        assert older in ([], [run.file(self.state["best"].step)]), f"too old: {older}"
        assert debris(folder) == [], debris(folder)


KEPT = "evaluation.json"


class Evaluate(Command):
    """``airkit eval --json``, which prints its result and keeps what it found."""

    name = "eval"
    can_replace = False

    def __init__(self, world: Path, run: Callable[..., Ended]) -> None:
        self.run, self.before = world / "run", _snapshot(world / "run")
        self.words = ["eval", "--run", "run", "--json"]
        self.usual = run(self.words, world)
        self.kept = _kept(self.run)

    def prepare(self, folder: Path, old: bool) -> None:  # noqa: ARG002
        """With a trained run."""
        shutil.copytree(self.run, folder / "run", ignore=lambda *_: [KEPT])

    def check_stopped(self, folder: Path, ended: Ended, old: bool) -> None:  # noqa: ARG002
        """The run is as it was, and what was printed and what was kept is whole."""
        found = _snapshot(folder / "run")
        of_training = {name: found[name] for name in found if not name.startswith(KEPT)}
        assert of_training == self.before, "the run has changed"
        if KEPT in found:
            assert _kept(folder / "run") == self.kept, "other results are kept"
        if ended.code >= 0 and (ended.out or ended.code == 0):
            assert _measures(ended.out) == _measures(self.usual.out), "other measures"

    def check_done(self, folder: Path, ended: Ended) -> None:
        """The same measures."""
        self.check_stopped(folder, ended, old=False)
        assert KEPT in names(folder / "run"), "nothing is kept"
        assert debris(folder) == [], debris(folder)


def make_commands(world: Path, run: Callable[..., Ended]) -> list[Command]:
    """Write digits, settings and the results of undisturbed runs; returns the commands."""
    (world / "tiny.toml").write_text(SETTINGS)
    (world / "digits").mkdir()
    rng = np.random.default_rng(0)
    for part, many in {"train": 200, "t10k": 80}.items():  # random ink in MNIST's layout
        for name, shape in {"images-idx3": (many, 28, 28), "labels-idx1": (many,)}.items():
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            array = rng.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8)
            (world / "digits" / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
    return [MakeData(world, run), Train(world, run), Evaluate(world, run)]


def make_data(world: Path, name: str) -> list[str]:
    """Return the command line that makes a data file."""
    given = ["--config", str(world / "tiny.toml"), "--source", str(world / "digits")]
    return ["make-data", *given, "--out", name, *SIZES[name]]


def contents(run: Path) -> Mapping[str, Any]:
    """Return what a run's last checkpoint, rows and texts hold, but for times."""
    folder = RunFolder(run)
    state = vars(checkpoint.read(folder.saved()[-1]))
    rows = [{**row, "seconds": 0} for row in folder.rows()]
    texts = [(run / name).read_text() for name in ("config.toml", "best.json")]
    return {**state, "seconds": 0, "rows": rows, "texts": texts}


def same(one: Any, other: Any) -> bool:
    """Return whether two nested states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def names(folder: Path) -> list[str]:
    """Return all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def debris(folder: Path) -> list[str]:
    """Return the files that only a process at work may have."""
    return [name for name in names(folder) if name.endswith((".part", ".lock"))]


def _kept(run: Path) -> dict[str, Any]:
    """What ``eval`` keeps in a run folder of the canvases, and of what it is."""
    content: dict[str, Any] = json.loads((run / KEPT).read_text())
    return {name: content[name] for name in ("of", "canvases")}


def _measures(text: str) -> dict[str, Any]:
    """What ``eval --json`` printed, but for the time it took."""
    return {**json.loads(text), "seconds": 0}


def _snapshot(folder: Path) -> Mapping[str, bytes]:
    """All files below a folder and what is in them."""
    return {name: (folder / name).read_bytes() for name in names(folder)}
