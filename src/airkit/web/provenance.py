"""Where a report comes from: versions, seeds, the nearest preset, and the commands to repeat it."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import torch

from airkit._version import __version__
from airkit.config import settings
from airkit.config.registry import is_outside
from airkit.config.schema import Config
from airkit.figures import Request
from airkit.runs.describe import Description
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan
from airkit.runs.sweep_report import SweepReport
from airkit.runs.training_data import OF_DATA, TrainingData, assigned, make_data_command

_OF_CALL = ("eval.", "render.", "train.device", "prior.")
"""Prefixes of the settings that a report takes from its call; ``prior`` is that of the samples.

All other settings are the run's, but for classes from outside, which the call has to name.
"""


def today() -> date:
    """Return the day on which a report is made."""
    return datetime.now().astimezone().date()


def versions() -> dict[str, str]:
    """Return the versions of what the report was made with."""
    return {
        "airkit": __version__,
        "PyTorch": str(torch.__version__),
        "Python": platform.python_version(),
        "platform": platform.platform(),
    }


def from_preset(config: Config) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return the preset that a configuration differs least from, and how.

    A run does not record its preset. Of equally near ones it is ``default``, or the first by name.

    Returns:
        The preset's name, and the preset's value and the run's by dotted key.
    """
    found = {
        name: settings.differences(settings.resolve(settings.from_preset(name)), config)
        for name in sorted(settings.presets(), key=lambda name: (name != "default", name))
    }
    nearest = min(found, key=lambda name: len(found[name]))
    return nearest, {
        key: (settings.spelled(old), settings.spelled(new))
        for key, (old, new) in found[nearest].items()
    }


def seeds(trained: Config, measured: Config) -> dict[str, int]:
    """Return the seeds of a run, and the one that it was measured with."""
    return {
        "data.seed": trained.data.seed,
        "train.seed": trained.train.seed,
        "eval.seed": measured.eval.seed,
    }


def of_runs(
    runs: Sequence[tuple[RunFolder, TrainingData]], data: Description, request: Request
) -> list[str]:
    """Return the commands that repeat one run or several, and the report.

    Args:
        runs: the runs, each with its data file and configuration.
        data: the file that was measured on.
        request: the call of ``report``.
    """
    script = _Script(data, request)
    for run, trained_on in runs:
        script.train(run, trained_on)
    folders = [run for run, _ in runs]
    if len(runs) == 1:
        script.measure("eval", *folders)
    script.measure("report", *folders)
    return script.lines


def of_sweep(sweep: SweepReport, data: Description, request: Request) -> list[str]:
    """Return the commands that repeat a sweep and its report; see ``of_runs``."""
    plan, script = Plan.read(request.run.path), _Script(data, request)
    words = ["sweep", "--data", script.data(plan.training_data), "--out", str(request.run.path)]
    words += ["--seeds", str(sweep.seeds), "--threshold", str(sweep.threshold)]
    script.add(words, _training(plan.config))
    script.measure("report", request.run)
    return script.lines


class _Script:
    """Commands in order, each data file made once, however often it is used."""

    def __init__(self, measured: Description, request: Request) -> None:
        self.lines: list[str] = []
        self._paths: dict[str, str] = {}  # of the data files made so far, by content digest
        facts, self._request = measured.facts, request
        self._measured = TrainingData(
            "run", measured.path, facts["content_digest"], measured.config, facts["source"]
        )

    def train(self, run: RunFolder, trained_on: TrainingData) -> None:
        """Add the training of a run."""
        words = ["train", "--data", self.data(trained_on), "--run", str(run.path)]
        self.add(words, _training(trained_on.config))

    def measure(self, command: str, *runs: RunFolder) -> None:
        """Add ``eval`` or ``report`` with the settings of the call."""
        words = [word for run in runs for word in ("--run", str(run.path))]
        words += ["--data", self.data(self._measured), "--checkpoint", self._request.checkpoint]
        given: dict[str, Any] = {}
        for layer in self._request.given:
            given |= settings.flatten(layer.values)
        kept = {key: it for key, it in given.items() if key.startswith(_OF_CALL) or is_outside(it)}
        self.add([command, *words], kept)

    def data(self, file: TrainingData) -> str:
        """Add the making of a data file, if it is not made yet, and return its path."""
        if file.digest not in self._paths:
            path = Path(file.path)
            while str(path) in self._paths.values():  # of other canvases, since replaced
                path = path.with_stem(f"{path.stem}-2")
            same = file.digest == self._measured.digest
            source = self._measured.source if same else file.source
            self._paths[file.digest] = str(path)
            self.lines.append(make_data_command(file.config, source, str(path)))
            if source is None and file.config.data.source == "auto":
                self.lines[-1] += "  # with --source mnist or strokes, as auto took then"
        return self._paths[file.digest]

    def add(self, words: list[str], changed: Mapping[str, Any]) -> None:
        """Add a command of ``words``, and settings by dotted key."""
        self.lines.append(shlex.join(["airkit", *words, *assigned(changed)]))


def _training(config: Config) -> dict[str, Any]:
    """Return the settings of ``train`` that differ from the defaults."""
    changed = settings.changed(config).items()
    return {key: value for key, value in changed if not key.startswith(OF_DATA)}
