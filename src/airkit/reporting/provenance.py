"""Whence a report is: what the files say of themselves, and the commands to make it anew."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from airkit import __version__, settings
from airkit.config import Config
from airkit.evaluation import Opened
from airkit.info import Description, describe
from airkit.rendering.picture import Request
from airkit.reporting.attempts import Attempts
from airkit.sweeping.trial import Plan


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


def seeds(config: Config) -> dict[str, int]:
    """The seeds that a report depends on."""
    return {
        "data.seed": config.data.seed,
        "train.seed": config.train.seed,
        "eval.seed": config.eval.seed,
    }


def commands(run: Description, data: Description, opened: Opened, request: Request) -> list[str]:
    """Commands that make the data, the run and its measures anew."""
    trained_on = str(run.facts["data"])
    folder = str(request.run.path)
    lines = [_make_data(trained_on, run.config)]
    if data.facts["content_digest"] != run.facts["data_digest"]:
        lines.append(_make_data(str(opened.data), data.config))
    lines.append(_train(trained_on, folder, run.config))
    named = {"--run": folder, "--data": str(opened.data), "--checkpoint": request.checkpoint}
    over = {key: new for key, (_, new) in settings.differences(run.config, opened.config).items()}
    return [*lines, _line("eval", named, over), _line("report", named, over)]


def of_sweep(found: Attempts, data: Description, request: Request) -> list[str]:
    """Commands that make a sweep and its report anew."""
    sweep, folder = found.sweep, str(request.run.path)
    plan = Plan.read(request.run.path)
    named = {
        "--data": str(plan.data),
        "--out": folder,
        "--seeds": str(sweep.seeds),
        "--threshold": f"{sweep.threshold:g}",
    }
    lines = [_make_data(str(plan.data), plan.config)]
    if data.facts["content_digest"] != plan.digest:
        lines.append(_make_data(str(sweep.data), data.config))
    lines.append(_line("sweep", named, _of_training(plan.config)))
    return [*lines, _report([folder], sweep.data, request)]


def of_runs(found: Attempts, data: Description, request: Request) -> list[str]:
    """Commands that make several runs and their report anew, the same one but once."""
    lines = []
    for each in found.each:
        run = describe(each.run.path)
        lines.append(_make_data(str(run.facts["data"]), run.config))
        lines.append(_train(str(run.facts["data"]), str(each.run.path), run.config))
    if data.facts["content_digest"] not in [each.digest for each in found.each]:
        lines.append(_make_data(str(found.sweep.data), data.config))
    runs = [str(each.run.path) for each in found.each]
    return list(dict.fromkeys([*lines, _report(runs, found.sweep.data, request)]))


def _report(runs: Sequence[str], data: Path, request: Request) -> str:
    words = [word for run in runs for word in ("--run", run)]
    words += ["--data", str(data), "--checkpoint", request.checkpoint]
    for layer in request.given:
        for key, value in settings.flatten(layer.values):
            words += ["--set", f"{key}={settings.spelled(value)}"]
    return shlex.join(["airkit", "report", *words])


def _train(data: str, folder: str, config: Config) -> str:
    return _line("train", {"--data": data, "--run": folder}, _of_training(config))


def _of_training(config: Config) -> dict[str, Any]:
    """Settings other than the defaults that are for ``train`` to be told."""
    changed = settings.differences(Config(), config).items()
    return {key: new for key, (_, new) in changed if not key.startswith(("data.", "render."))}


def _make_data(path: str, config: Config) -> str:
    changed = settings.differences(Config(), config).items()
    return _line(
        "make-data",
        {"--out": path},
        {key: new for key, (_, new) in changed if key.startswith("data.")},
    )


def _line(command: str, options: Mapping[str, str], changed: Mapping[str, Any]) -> str:
    """One command, quoted for a shell."""
    words = [word for option in options.items() for word in option]
    for key, value in changed.items():
        words += ["--set", f"{key}={settings.spelled(value)}"]
    return shlex.join(["airkit", command, *words])
