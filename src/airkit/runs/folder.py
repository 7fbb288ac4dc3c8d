"""A run folder: the configuration, the metrics, the checkpoints and the figures of one training.

config.toml             the resolved configuration
metrics.jsonl           one row a log interval and one a validation
checkpoints/step-*.pt   the newest few and the best
best.json               step and measures of the best validation
figures/                what ``airkit render`` draws
tensorboard/            event files, where ``train.tensorboard`` is on
train.lock              while a process trains here
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airkit.config import settings
from airkit.errors import CheckpointError
from airkit.runs import checkpoint as checkpoints
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.sweep_folder import is_sweep
from airkit.system import files
from airkit.system.callbacks import Listener
from airkit.system.locks import exclusive
from airkit.system.text import quoted

_STEP = re.compile(r"step-(\d{9,})\.pt")
_MOST = 3.4028234663852886e38  # of a float32, in which all of it was computed
_MOST_STEPS = 10**9
_ANOTHER = "name another; airkit train makes one"


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes the parts of one run folder."""

    path: Path

    @property
    def metrics(self) -> Path:
        """The file of metrics rows."""
        return self.path / "metrics.jsonl"

    @property
    def figures(self) -> Path:
        """The folder of pictures."""
        return self.path / "figures"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    def events(self) -> list[Path]:
        """The event files, oldest first."""
        return sorted(files.matching(self.tensorboard, "events.out.tfevents.*"))

    def saved(self) -> list[Path]:
        """Checkpoint files, oldest first; files of other names are not ours."""
        found = files.matching(self.path / "checkpoints", "step-*.pt")
        return sorted((path for path in found if _STEP.fullmatch(path.name)), key=_step)

    def file(self, step: int) -> Path:
        """The checkpoint file of a step."""
        return self.path / "checkpoints" / f"step-{step:09d}.pt"

    def locked(self, listener: Listener) -> AbstractContextManager[None]:
        """Keep other trainings out while inside; readers need no lock.

        Raises:
            OutputError: another process trains here, or the folder cannot be written.
        """
        return exclusive(
            self.path / "train.lock",
            self.path,
            work="training is at work in this folder",
            hint="wait for its end, or name another --run",
            listener=listener,
        )

    def start(self, state: Checkpoint) -> None:
        """Write the first checkpoint, then remove what an earlier training left.

        Where it cannot be written, the earlier training is still whole; figures and whatever
        else is in the folder stay in any case.
        """
        self.save(state)
        for old in self.saved():
            if old != self.file(state.step):
                _remove(old)
        for old in (self.metrics, *self.events()):
            _remove(old)
        self._sweep()

    def save(self, state: Checkpoint) -> None:
        """Write a checkpoint, then what points to it, then prune all but the newest and best."""
        if os.path.exists(self.metrics):
            files.sync(self.metrics)  # a checkpoint never outlasts the rows before it
        checkpoints.write(self.file(state.step), state)
        self._follow(state)

    def _follow(self, state: Checkpoint) -> None:
        """Make what points to the newest checkpoint agree with it, and prune."""
        files.write_text(self.path / "config.toml", settings.to_toml(state.config))
        if state.best is None:
            _remove(self.path / "best.json")
        else:
            best = {**vars(state.best), "checkpoint": self.file(state.best.step).name}
            files.write_text(self.path / "best.json", json.dumps(best) + "\n")
        self._prune(state)

    def _prune(self, state: Checkpoint) -> None:
        """Keep the newest and best up to this one; later ones, which were passed over, stay."""
        past = [path for path in self.saved() if _step(path) <= state.step]
        for old in past[: -state.config.train.keep]:
            if state.best is None or old != self.file(state.best.step):
                _remove(old)

    def foreign(self) -> list[str]:
        """Names of files that a training would replace, in a folder without any checkpoint."""
        names = ("config.toml", "metrics.jsonl", "best.json")
        return [name for name in names if not self.saved() and os.path.exists(self.path / name)]

    def latest(self, listener: Listener) -> Checkpoint | None:
        """The newest checkpoint that can be read, or None where there is none at all.

        One that cannot be read is passed over in favour of the one before, with a note.

        Raises:
            CheckpointError: there are checkpoints, but none can be read.
        """
        passed: list[tuple[Path, CheckpointError]] = []
        saved = self.saved()
        for path in reversed(saved):
            try:
                state = checkpoints.read(path)
            except CheckpointError as error:
                if self.saved() != saved:  # a training has pruned it meanwhile
                    return self.latest(listener)
                passed.append((path, error))
                continue
            for newer, why in passed:
                listener.note(f"{why.what}: {newer}; going back to step {state.step}")
            return state
        if passed:
            raise passed[0][1]
        return None

    def find(self, name: str, listener: Listener) -> tuple[Path, Checkpoint]:
        """The checkpoint called ``best`` or ``last``, or the one in the file ``name``.

        Raises:
            CheckpointError: no run, no checkpoint, or one that cannot be read.
        """
        if name not in ("best", "last"):
            return Path(name), checkpoints.read(Path(name))
        saved = self.saved()
        newest = self.latest(listener)
        if newest is None:
            raise no_run_error(self.path)
        if name == "last" or newest.best is None or newest.best.step == newest.step:
            return self.file(newest.step), newest
        best = self.file(newest.best.step)
        try:
            return best, checkpoints.read(best)
        except CheckpointError as error:
            if self.saved() != saved:  # a training has found a better one meanwhile
                return self.find(name, listener)
            raise CheckpointError(
                "The best checkpoint of the run cannot be read",
                where=best,
                expected=f"the state of step {newest.best.step}, where validation was best",
                got=error.what,
                hint=f"--checkpoint last takes the newest, of step {newest.step}",
            ) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Append one row of metrics."""
        with files.writing(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics, up to the first line that is none, such as one cut short.

        What is no number that a training can come to is left out of its row.
        """
        return [
            {name: value for name, value in row.items() if _is_number(value)}
            for row in self._written()
        ]

    def _written(self) -> list[dict[str, Any]]:
        """The rows with all that they hold, be it from another hand."""
        if not os.path.isfile(self.metrics):
            return []
        rows = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not _is_row(row):
                break
            rows.append(row)
        return rows

    def rewind(self, state: Checkpoint) -> None:
        """Ready the folder to go on from ``state``: drop rows past it, end what was cut short."""
        kept = [row for row in self._written() if row["step"] <= state.step]
        files.write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))
        self._follow(state)
        self._sweep()

    def _sweep(self) -> None:
        """Remove files that a killed process left half written."""
        named = ("config.toml.part", "best.json.part", "metrics.jsonl.part")
        for partial in files.matching(self.path / "checkpoints", "step-*.pt.part"):
            _remove(partial)
        for name in named:
            _remove(self.path / name)


def _is_row(row: object) -> bool:
    """Whether a line of metrics is of a step."""
    return (
        isinstance(row, dict) and type(row.get("step")) is int and 0 <= row["step"] <= _MOST_STEPS
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and not _MOST < abs(value) < math.inf


def _step(path: Path) -> int:
    """The step in the name of a checkpoint file."""
    return int(path.stem.removeprefix("step-"))


def _remove(path: Path) -> None:
    with files.writing(path):
        path.unlink(missing_ok=True)


def no_run_error(path: Path) -> CheckpointError:
    """Return the error of a path at which there is no trained run."""
    got, hint = _about_folder(path) if os.path.isdir(path) else _about_file(path)
    return CheckpointError(
        "There is no trained run here",
        where=path,
        expected="a folder with checkpoints/step-*.pt",
        got=got,
        hint=hint,
    )


def _about_folder(path: Path) -> tuple[str | None, str]:
    """Return what kind of folder this is, and a hint."""
    runs = sorted(file.parent.parent for file in files.matching(path, "*/checkpoints/step-*.pt"))
    if is_sweep(path):
        one = quoted(runs[0] if runs else path / "seed-000")
        both = f"airkit report --run {quoted(path)} compares them"
        return "the folder of a sweep", f"name one of its runs, such as {one}; {both}"
    if runs:
        return "a folder of runs", f"name one of them, such as {quoted(runs[0])}"
    if files.matching(path, "step-*.pt"):
        named = path.name not in ("", "..") and not path.is_symlink()
        parent = path.parent if named else path / ".."
        return "the checkpoints of a run", f"name the run itself: {quoted(parent)}"
    if files.matching(path, "*"):
        return "a folder of other things", _ANOTHER
    return None, f"airkit train --run {quoted(path)}"


def _about_file(path: Path) -> tuple[str | None, str]:
    """Return what is there in place of a folder, and a hint."""
    if os.path.lexists(path) and not os.path.exists(path):
        return "a link to nothing", _ANOTHER
    if not os.path.exists(path):
        return None, f"airkit train --run {quoted(path)}"
    kind = files.file_kind(path)
    if kind is None:
        return "a file", _ANOTHER
    option = {"data file": "--data", "checkpoint": "--checkpoint"}[kind]
    return f"a {kind}", f"name it with {option}, and a run in its place"
