"""Whence a report is: what the files say of themselves, and the commands to make it anew."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from airkit._version import __version__
from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import AirkitError
from airkit.figures.base import Request
from airkit.runs.describe import Description, describe
from airkit.runs.origin import assigned, data_settings
from airkit.runs.sweep_folder import Plan
from airkit.runs.trained import TrainedRun
from airkit.web.comparison import Attempts

_OF_CALL = ("eval.", "render.", "train.device", "prior.")
"""Beginnings of the settings that a report takes from its call; the others are the run's.

``prior`` is that of the sheet of samples.
"""
_DOUBT = "# data.source was auto, and no file is there to tell what that took: mnist or strokes"


def versions() -> dict[str, str]:
    """What the report was made with."""
    return {
        "airkit": __version__,
        "PyTorch": str(torch.__version__),
        "Python": platform.python_version(),
        "platform": platform.platform(),
    }


def from_preset(config: Config) -> tuple[str, dict[str, tuple[str, str]]]:
    """The preset from which a configuration differs least, and how: key, preset's value, own.

    A run does not remember its preset. Where several are as near, it is ``default``, or the
    first by name.
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
    """The seeds that a report depends on: those of the run, and the one it was measured with."""
    return {
        "data.seed": trained.data.seed,
        "train.seed": trained.train.seed,
        "eval.seed": measured.eval.seed,
    }


def commands(
    run: Description, data: Description, opened: TrainedRun, request: Request
) -> list[str]:
    """Commands that make the data, the run and its measures anew."""
    files, folder = _Files(data), str(request.run.path)
    trained_on, digest = str(run.facts["data"]), str(run.facts["data_digest"])
    lines = [*files.make(trained_on, digest, run.config), _train(trained_on, folder, run.config)]
    lines += files.make_measured()
    named = {"--run": folder, "--data": files.measured, "--checkpoint": request.checkpoint}
    differing = settings.differences(run.config, opened.config).items()
    over = {key: new for key, (_, new) in differing if key.startswith(_OF_CALL)}
    return [*lines, _line("eval", named, over), _line("report", named, over)]


def of_sweep(found: Attempts, data: Description, request: Request) -> list[str]:
    """Commands that make a sweep and its report anew."""
    sweep, folder = found.sweep, str(request.run.path)
    plan, files = Plan.read(request.run.path), _Files(data)
    named = {
        "--data": str(plan.data),
        "--out": folder,
        "--seeds": str(sweep.seeds),
        "--threshold": str(sweep.threshold),
    }
    lines = files.make(str(plan.data), plan.digest, plan.config)
    lines.append(_line("sweep", named, _of_training(plan.config)))
    return [*lines, *files.make_measured(), _report([folder], files.measured, request)]


def of_runs(found: Attempts, data: Description, request: Request) -> list[str]:
    """Commands that make several runs and their report anew."""
    lines, files = [], _Files(data)
    for each in found.each:
        assert each.config is not None, "of several runs, all were measured"
        lines += files.make(each.data, each.digest, each.config)
        lines.append(_train(each.data, str(each.run.path), each.config))
    lines += files.make_measured()
    return [*lines, _report([str(each.run.path) for each in found.each], files.measured, request)]


class _Files:
    """The data files that commands make, each of them once."""

    def __init__(self, data: Description) -> None:
        """``data`` is the file that is measured on."""
        self._data = data
        self._digest = str(data.facts["content_digest"])
        self._held: dict[Path, tuple[str, str]] = {}
        """What is at each place so far: its digest, and the place as it was named."""

    @property
    def measured(self) -> str:
        """A file with the canvases measured on: one that a run was trained on, if any."""
        same = (path for digest, path in self._held.values() if digest == self._digest)
        return next(same, str(self._data.path))

    def make_measured(self) -> list[str]:
        """Lines that make the file measured on, if none made so far is."""
        return self.make(self.measured, self._digest, self._data.config)

    def make(self, path: str, digest: str, config: Config) -> list[str]:
        """Lines that make a file of such canvases; none where it is made already."""
        place = Path(path).absolute()
        held, _ = self._held.get(place, ("", ""))
        self._held[place] = digest, path
        if held == digest:
            return []
        data = config.data.model_copy(update={"source": self._source(place, digest, config)})
        over = data_settings(config.model_copy(update={"data": data}))
        line = _line("make-data", {"--out": path}, over) + (" --force" if held else "")
        return [_DOUBT, line] if data.source == "auto" else [line]

    def _source(self, path: Path, digest: str, config: Config) -> str:
        """The digits of a file; those that ``auto`` stood for are told by the file alone."""
        if config.data.source != "auto":
            return config.data.source
        told = self._data
        if told.facts["content_digest"] != digest:
            try:
                told = describe(path)
            except AirkitError:
                return "auto"
        return str(told.facts["source"]) if told.facts.get("content_digest") == digest else "auto"


def _report(runs: Sequence[str], data: str, request: Request) -> str:
    words = [word for run in runs for word in ("--run", run)]
    words += ["--data", data, "--checkpoint", request.checkpoint]
    for layer in request.given:
        for key, value in settings.flatten(layer.values):
            if key.startswith(_OF_CALL):
                words += assigned({key: value})
    return shlex.join(["airkit", "report", *words])


def _train(data: str, folder: str, config: Config) -> str:
    return _line("train", {"--data": data, "--run": folder}, _of_training(config))


def _of_training(config: Config) -> dict[str, Any]:
    """Settings other than the defaults that are for ``train`` to be told."""
    changed = settings.differences(Config(), config).items()
    return {key: new for key, (_, new) in changed if not key.startswith("data.")}


def _line(command: str, options: Mapping[str, str], changed: Mapping[str, Any]) -> str:
    """One command, quoted for a shell."""
    words = [word for option in options.items() for word in option]
    return shlex.join(["airkit", command, *words, *assigned(changed)])
