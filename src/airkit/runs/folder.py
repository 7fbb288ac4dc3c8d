"""A run folder: the files of one training.

config.toml             the resolved configuration
metrics.jsonl           a row every ``train.log_every`` steps, and one for each validation
checkpoints/step-*.pt   the newest few checkpoints, and the best
best.json               step and measures of the best validation
trust.json              the verdict at the end of a training on pictures
evaluation.json         what the last ``airkit eval`` found, for reports
pictures.h5             the data file, where pictures were named in its place
report.html             what ``airkit report`` writes
figures/                pictures of ``airkit render``
tensorboard/            event files, where ``train.tensorboard`` is on
train.lock              while a process trains here
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Self

from airkit.config import settings
from airkit.errors import CheckpointError, sanitize
from airkit.runs import cards, hub
from airkit.runs import checkpoint as checkpoints
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.records import parsed
from airkit.runs.sweep_folder import is_sweep
from airkit.system import files
from airkit.system.callbacks import Listener
from airkit.system.locks import exclusive
from airkit.system.paths import to_path
from airkit.system.text import first_three, quoted

_STEP = re.compile(r"step-(\d{9,})\.pt")
_MOST = 3.4028234663852886e38  # the greatest float32; metrics are computed in it
MOST_STEPS = 10**9
_MOST_VERDICT = 2**14
_NAMES = ("config.toml", "metrics.jsonl", "best.json", "trust.json")
_OURS = ("checkpoints", "evaluation.json", "figures", "tensorboard", "report.html", "train.lock")
_PICTURES = ("pictures.h5", "pictures-new.h5")
_LOGS = (".log", ".out", ".err")
_ANOTHER = "name another; airkit train makes one"


class RunFolder:
    """Reads and writes the parts of one run folder; this module says what they are."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metrics = self.path / "metrics.jsonl"
        self.evaluation = self.path / "evaluation.json"
        self.verdict = self.path / "trust.json"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the run folder at a path, or that of the checkpoint file there."""
        inside = os.path.isfile(path) and path.parent.name == "checkpoints"
        return cls(path.parent.parent if inside else path)

    def trouble(self) -> list[str]:
        """Return what was in doubt at the end of the training; nothing where none was."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            verdict: Any = parsed(files.start_of(self.verdict, _MOST_VERDICT))
            return [sanitize(str(each), 200) for each in verdict["trouble"]]
        return []

    def events(self) -> list[Path]:
        """Return the event files, oldest first."""
        return sorted(files.matching(self.tensorboard, "events.out.tfevents.*"))

    def saved(self) -> list[Path]:
        """Return the checkpoint files, oldest first; files of other names are ignored."""
        found = files.matching(self.path / "checkpoints", "step-*.pt")
        return sorted((path for path in found if _STEP.fullmatch(path.name)), key=_step)

    @property
    def holds_model(self) -> bool:
        """Whether there are checkpoints, or a model that ``airkit export`` wrote."""
        return bool(self.saved()) or cards.is_shared(self.path)

    def file(self, step: int) -> Path:
        """Return the checkpoint file of a step."""
        return self.path / "checkpoints" / f"step-{step:09d}.pt"

    def locked(self, listener: Listener) -> AbstractContextManager[None]:
        """Lock the folder against other trainings while inside; readers need no lock.

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

        If the checkpoint cannot be written, the earlier training is still complete. Figures and
        files of other names stay.
        """
        self.save(state)
        for old in self.saved():
            if old != self.file(state.step):
                files.remove(old)
        for old in (self.metrics, self.evaluation, *self.events()):
            files.remove(old)
        self._remove_partial()

    def save(self, state: Checkpoint) -> None:
        """Write a checkpoint, ``config.toml`` and ``best.json``, then remove old checkpoints."""
        files.remove(self.verdict)  # of an earlier end
        if os.path.exists(self.metrics):
            files.sync(self.metrics)  # a checkpoint never outlasts the rows before it
        checkpoints.write(self.file(state.step), state)
        self._update(state)

    def _update(self, state: Checkpoint) -> None:
        """Make ``config.toml`` and ``best.json`` agree with a checkpoint, and remove old ones."""
        files.write_text(self.path / "config.toml", settings.to_toml(state.config))
        if state.best is None:
            files.remove(self.path / "best.json")
        else:
            best = {**vars(state.best), "checkpoint": self.file(state.best.step).name}
            files.write_text(self.path / "best.json", json.dumps(best) + "\n")
        self._prune(state)

    def _prune(self, state: Checkpoint) -> None:
        """Remove checkpoints before this one but the newest few and the best."""
        past = [path for path in self.saved() if _step(path) <= state.step]
        for old in past[: -state.config.train.keep]:
            if state.best is None or old != self.file(state.best.step):
                files.remove(old)

    def kept(self) -> list[Path]:
        """Return the files that airkit keeps in a run folder, whether they are there or not."""
        return [self.path / name for name in (*_NAMES, *_OURS, *_PICTURES, cards.CONFIG)]

    def foreign(self) -> list[str]:
        """Return names of files that a training would replace, where there is no checkpoint."""
        names = (*_NAMES, cards.WEIGHTS, cards.CONFIG)
        return [name for name in names if not self.saved() and os.path.exists(self.path / name)]

    def others(self) -> list[str]:
        """Return names of what is in a folder without checkpoints and is of no run.

        All that is in the folder of a sweep's seed is left out, as no one has named it.
        """
        if self.saved() or is_sweep(self.path.parent):
            return []
        return strangers(self.path, {*_NAMES, *_OURS, *_PICTURES})

    def latest(self, listener: Listener) -> Checkpoint | None:
        """Return the newest checkpoint that can be read; None where there is none at all.

        Damaged ones are passed over, with a note.

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
            else:
                for newer, why in passed:
                    listener.note(f"{why.what}: {newer}; going back to step {state.step}")
                return state
        if passed:
            raise passed[0][1]
        return None

    def find(self, name: str, listener: Listener) -> tuple[Path, Checkpoint]:
        """Return the file and the content of a checkpoint: ``best``, ``last`` or a file.

        The folder may be one that ``airkit export`` wrote, which holds one state alone.

        Raises:
            CheckpointError: no run, no checkpoint, or one that cannot be read.
        """
        if name not in ("best", "last"):
            file = to_path(name)
            exported = file.name == cards.WEIGHTS and cards.is_shared(file.parent)
            return file, hub.read(file.parent) if exported else checkpoints.read(file)
        saved = self.saved()
        newest = self.latest(listener)
        if newest is None and cards.is_shared(self.path):
            return self.path / cards.WEIGHTS, hub.read(self.path)
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
        """Return the rows of metrics up to the first line that is none, such as one cut short.

        Values that are no finite float32 are left out.
        """
        return [
            {name: value for name, value in row.items() if _is_number(value)}
            for row in self._all_rows()
        ]

    def _all_rows(self) -> list[dict[str, Any]]:
        """Return the rows with all that they hold, also what airkit did not write."""
        if not os.path.isfile(self.metrics):
            return []
        rows = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row: Any = parsed(line)
            except ValueError:
                break
            if not _is_row(row):
                break
            rows.append(row)
        return rows

    def rewind(self, state: Checkpoint) -> None:
        """Bring the folder in line with a checkpoint to resume from: drop later rows of metrics."""
        kept = [row for row in self._all_rows() if row["step"] <= state.step]
        files.write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))
        self._update(state)
        self._remove_partial()

    def _remove_partial(self) -> None:
        """Remove files that a killed process left half written."""
        named = (self.path / f"{name}.part" for name in _NAMES)
        for partial in (*files.matching(self.path / "checkpoints", "step-*.pt.part"), *named):
            files.remove(partial)


def strangers(folder: Path, known: set[str]) -> list[str]:
    """Return names of what is in a folder besides what is ``known``.

    Hidden files and logs, such as Slurm's of the work itself, are left out.
    """
    names = sorted(path.name for path in files.matching(folder, "*"))
    other = [name for name in names if name.removesuffix(".part") not in known]
    return [name for name in other if not name.startswith(".") and not name.endswith(_LOGS)]


def _is_row(row: object) -> bool:
    """Return whether a line of metrics belongs to a step."""
    step = row.get("step") if isinstance(row, dict) else None
    return type(step) is int and 0 <= step <= MOST_STEPS


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _MOST


def _step(path: Path) -> int:
    """Return the step in the name of a checkpoint file."""
    return int(path.stem.removeprefix("step-"))


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
    runs = _runs_in(path)
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
    return None, _where_one_is(path)


def _about_file(path: Path) -> tuple[str | None, str]:
    """Return what is there in place of a folder, and a hint."""
    if os.path.lexists(path) and not os.path.exists(path):
        return "a link to nothing", _ANOTHER
    if not os.path.exists(path):
        return None, _where_one_is(path)
    kind = files.file_kind(path)
    if kind is None:
        return "a file", _ANOTHER
    option = {"data file": "--data", "checkpoint": "--checkpoint"}[kind]
    return f"a {kind}", f"name it with {option}, and a run in its place"


def _where_one_is(path: Path) -> str:
    """Return a hint for a folder without a run: the runs beside it, and how to train one here."""
    train, beside = f"airkit train --run {quoted(path)}", _runs_in(path.parent)
    if not beside:
        return train
    return f"name another: {first_three([*map(quoted, beside)])}; {train} makes this one"


def _runs_in(folder: Path) -> list[Path]:
    """Return the runs in a folder, in the order of their names."""
    found = files.matching(folder, "*/checkpoints/step-*.pt")
    return sorted({file.parent.parent for file in found if _STEP.fullmatch(file.name)})
