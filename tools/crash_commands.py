"""What the crash harness runs, and how the files must be after a stop and after going on."""

from __future__ import annotations

import json
import re
import shutil
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crash_processes import Ended, Fork, run

from airkit.config import settings
from airkit.data import reader
from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder

SETTINGS = """
data = {canvas_size = 24, digit_size = 10.0, digit_size_sd = 0.5, max_digits = 2}
model = {window_size = 8, code_size = 4, hidden_size = 16}

[train]
steps = 30
batch_size = 8
device = "cpu"
log_every = 3
val_every = 5
checkpoint_every = 4

[eval]
looks = 4
likelihood_samples = 4
batch_size = 40
"""
DONE, INTERRUPTED = 0, 130
_PARTIAL = re.compile(r".*\.(part|lock)")


class Command(ABC):
    """One command: its arguments, the folder it works in, and what it must leave there."""

    name: str
    arguments: Sequence[str]
    later: tuple[str, ...] = ()
    """Added to the arguments where there is older work to replace."""
    interrupted = r"airkit: interrupted"

    def given(self, *, old: bool) -> list[str]:
        """The whole command line."""
        return [self.name, *self.arguments, *(self.later if old else ())]

    @abstractmethod
    def prepare(self, folder: Path, *, old: bool) -> None:
        """Ready a new folder, with older work to replace or without."""

    @abstractmethod
    def check_stopped(self, folder: Path, ended: Ended, *, old: bool) -> None:
        """Check that all files are the old ones or the new ones, and whole."""

    @abstractmethod
    def check_done(self, folder: Path, ended: Ended) -> None:
        """Check that all is as if nothing had ever stopped it."""

    def check_exit(self, ended: Ended) -> None:
        """Check the exit code and the last line of a command that a signal ended kindly."""
        assert ended.code in (DONE, INTERRUPTED), f"exit code {ended.code}"
        if ended.code == INTERRUPTED:
            last = ended.err.splitlines()[-1:]
            assert last, "nothing on stderr"
            assert re.fullmatch(self.interrupted, last[0]), f"the last line is {last[0]!r}"


class MakeData(Command):
    """``airkit make-data``, into a new file or over an old one."""

    name = "make-data"
    later = ("--force",)

    def __init__(self, world: Path) -> None:
        sizes = ["--train", "20000", "--val", "1000", "--test", "1000"]
        base = ["--config", str(world / "tiny.toml"), "--source", str(world / "digits"), *sizes]
        self.arguments = [*base, "--seed", "1", "--out", "data.h5"]
        self._old = world / "old.h5"
        succeed(["make-data", *base, "--out", self._old.name], world)
        self._digests = {True: reader.verify(self._old)}
        succeed(self.given(old=False), world)
        self._digests[False] = reader.verify(world / "data.h5")

    def prepare(self, folder: Path, *, old: bool) -> None:
        """An old file of another seed, where there is to be one."""
        if old:
            shutil.copy(self._old, folder / "data.h5")

    def check_stopped(self, folder: Path, ended: Ended, *, old: bool) -> None:
        """The old file or none, or the new one."""
        assert set(names(folder)) <= {"data.h5", "data.h5.part", "data.h5.lock"}, names(folder)
        if not (folder / "data.h5").exists():
            assert not old, "the old file is lost"
            assert ended.code != DONE, "the new file is lost"
            return
        wanted = {self._digests[False]} | ({self._digests[True]} if old else set())
        if ended.code == DONE:
            wanted = {self._digests[False]}
        assert reader.verify(folder / "data.h5") in wanted, "the file is of other content"

    def check_done(self, folder: Path, ended: Ended) -> None:
        """The file alone."""
        assert names(folder) == ["data.h5"], names(folder)
        assert reader.verify(folder / "data.h5") == self._digests[False], "another content digest"
        assert self._digests[False] in ended.out, "another digest on stdout"


class Train(Command):
    """``airkit train``, in a new folder or with ``--fresh`` in one that is trained."""

    name = "train"
    later = ("--fresh",)
    interrupted = (
        r"stopped at step \d+; airkit train --run run goes on from there|airkit: interrupted"
    )

    def __init__(self, world: Path) -> None:
        config = ["--config", str(world / "tiny.toml")]
        sizes = ["--train", "200", "--val", "20", "--test", "200"]
        source = ["--source", str(world / "digits"), *sizes, "--out", "canvases.h5"]
        succeed(["make-data", *config, *source], world)
        base = [*config, "--data", str(world / "canvases.h5")]
        self._old = world / "old-run"
        succeed(["train", *base, "--seed", "1", "--run", self._old.name], world)
        self.arguments = [*base, "--run", "run"]
        succeed(self.given(old=False), world)
        self._state = contents(world / "run")

    def prepare(self, folder: Path, *, old: bool) -> None:
        """A run of another seed, where there is to be one."""
        if old:
            shutil.copytree(self._old, folder / "run")

    def check_stopped(self, folder: Path, ended: Ended, *, old: bool) -> None:
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
        for name in names(run.path):
            assert re.fullmatch(known, name) or name == "train.lock", name
        if ended.code == DONE:
            self._check_state(run.path)

    def check_done(self, folder: Path, ended: Ended) -> None:
        """Weights, optimiser and rows, bit for bit; and no file more than there should be."""
        del ended
        run = folder / "run"
        self._check_state(run)
        assert debris(folder) == [], debris(folder)
        best, keep = self._state["best"], self._state["config"].train.keep
        older = [path.name for path in RunFolder(run).saved()[:-keep]]
        assert older in ([], [RunFolder(run).file(best.step).name]), f"too old: {older}"

    def _check_state(self, run: Path) -> None:
        for name, value in contents(run).items():
            assert same(value, self._state[name]), f"{name} is another one"


class Evaluate(Command):
    """``airkit eval --json``, which writes nothing but its result."""

    name = "eval"
    arguments = ("--run", "run", "--json")

    def __init__(self, world: Path) -> None:
        self._run = world / "run"
        self._before = snapshot(self._run)
        self._result = measures(succeed(self.given(old=False), world).out)

    def prepare(self, folder: Path, *, old: bool) -> None:
        """A trained run; nothing replaces it."""
        del old
        shutil.copytree(self._run, folder / "run")

    def check_stopped(self, folder: Path, ended: Ended, *, old: bool) -> None:
        """The run is as it was, and what was printed is whole."""
        del old
        assert names(folder) == [f"run/{name}" for name in self._before], names(folder)
        assert snapshot(folder / "run") == self._before, "the run has changed"
        if ended.out and ended.code >= 0:
            assert measures(ended.out) == self._result, "other measures"
        assert ended.out or ended.code != DONE, "no measures"

    def check_done(self, folder: Path, ended: Ended) -> None:
        """The same measures."""
        self.check_stopped(folder, ended, old=False)


def make_world(world: Path) -> list[Command]:
    """Digits, settings and undisturbed runs to compare with; returns the commands."""
    (world / "tiny.toml").write_text(SETTINGS)
    _write_digits(world / "digits")
    return [MakeData(world), Train(world), Evaluate(world)]


def _write_digits(folder: Path) -> None:
    """Digits in MNIST's layout, of random ink: quick to read, and as good as any here."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for part, many in {"train": 200, "t10k": 80}.items():
        images = generator.integers(0, 256, (many, 28, 28), dtype=np.uint8)
        labels = generator.integers(0, 10, many, dtype=np.uint8)
        for name, array in {"images-idx3": images, "labels-idx1": labels}.items():
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())


def succeed(arguments: list[str], folder: Path) -> Ended:
    """Run a command that nothing disturbs."""
    ended = run(Fork, arguments, folder)
    assert ended.code == DONE, f"exit code {ended.code}\n{ended.err}"
    return ended


def contents(run: Path) -> Mapping[str, Any]:
    """What the last checkpoint, the rows and the files that point to it say, but for times."""
    folder = RunFolder(run)
    state = vars(checkpoint.read(folder.saved()[-1]))
    rows = [{key: row[key] for key in row if key != "seconds"} for row in folder.rows()]
    texts = {name: (run / name).read_text() for name in ("config.toml", "best.json")}
    return {**{key: state[key] for key in state if key != "seconds"}, "rows": rows, **texts}


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def measures(text: str) -> dict[str, Any]:
    """What ``eval --json`` printed, but for the time it took."""
    values: dict[str, Any] = json.loads(text)
    return {name: value for name, value in values.items() if name != "seconds"}


def names(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def debris(folder: Path) -> list[str]:
    """Files that only a process at work may have."""
    return [name for name in names(folder) if _PARTIAL.fullmatch(name)]


def snapshot(folder: Path) -> Mapping[str, bytes]:
    """All files below a folder and what is in them."""
    return {name: (folder / name).read_bytes() for name in names(folder)}
