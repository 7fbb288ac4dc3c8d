"""Trainings on several processes, as ``torchrun`` starts them; run as a script, one of them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import data_file, fit, go_on, interrupt
from torch import Tensor

from airkit.data import reader
from airkit.errors import AirkitError
from airkit.training.step import Trainer

COUNT = 3
BATCH = 12
NUMBER = int(os.environ.get("RANK", "0"))


def torchrun(count: int, *arguments: object) -> list[str]:
    """The command that starts ``count`` processes; what it runs begins with ``-m`` or a script."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    return [*launcher, "--standalone", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Warnings of PyTorch's launcher are its own; those in airkit are errors."""
    return {**os.environ, "PYTHONWARNINGS": "error:::airkit"}


def all_of(folder: Path) -> list[dict[str, Any]]:
    """What each of the processes found out."""
    given = [folder, data_file(), data_file(seed=3)]
    done = subprocess.run(
        torchrun(COUNT, Path(__file__), *given),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(COUNT)]


class Kept:
    """The trainer of the newest training in this process."""

    trainer: Trainer

    @classmethod
    def keep(cls, original: Callable[..., None] = Trainer.__init__) -> None:
        def init(self: Trainer, *given: Any) -> None:
            original(self, *given)
            cls.trainer = self

        setattr(Trainer, "__init__", init)  # noqa: B010

    @classmethod
    def weights(cls) -> float:
        """A number that two different sets of weights hardly share."""
        estimator = cls.trainer.estimator
        return sum(float(each.detach().double().abs().sum()) for each in estimator.parameters())


def at_step(number: int, act: Callable[[], None], process: int) -> pytest.MonkeyPatch:
    """Have one process act after a step."""
    patch, original = pytest.MonkeyPatch(), Trainer.step

    def step(self: Trainer, at: int) -> Tensor:
        loss = original(self, at)
        if (at, NUMBER) == (number, process):
            act()
        return loss

    patch.setattr(Trainer, "step", step)
    return patch


def spoil_at(number: int, process: int) -> pytest.MonkeyPatch:
    """The second of one process's canvases of a step is no picture."""
    patch, original = pytest.MonkeyPatch(), Trainer._given

    def given(self: Trainer, step: int) -> tuple[Tensor, Any, Tensor]:
        images, seed, log_prior = original(self, step)
        if (step, NUMBER) == (number, process):
            images[1, 0, 0] = math.nan
        return images, seed, log_prior

    patch.setattr(Trainer, "_given", given)
    return patch


def data_elsewhere(data: Path, process: int) -> pytest.MonkeyPatch:
    """One process, as if on another machine, has another file where the data file is."""
    patch, original = pytest.MonkeyPatch(), reader.read_info

    def read_info(path: Path) -> reader.DataInfo:
        return original(data if process == NUMBER else path)

    patch.setattr(reader, "read_info", read_info)
    return patch


def told(work: Callable[[], object]) -> list[object]:
    """What an error says, and whether another process says it."""
    try:
        work()
    except AirkitError as error:
        return [type(error).__name__, str(error), error.shared]
    return []


def stopped_and_gone_on(folder: Path, data: Path, estimator: str) -> dict[str, Any]:
    """A whole training, and one that the second process is asked to stop."""
    keys: dict[str, Any] = {"train__estimator": estimator, "train__batch_size": BATCH}
    fit(folder / estimator, data, **keys)
    weights = Kept.weights()
    patch = at_step(9, interrupt, process=1)
    first = fit(folder / f"{estimator} again", data, **keys)
    patch.undo()
    second = go_on(folder / f"{estimator} again")
    steps = [first.steps, first.stopped, second.resumed_from, second.steps, second.stopped]
    return {"weights": weights, "again": Kept.weights(), "steps": steps}


def faults(folder: Path, data: Path, other: Path) -> dict[str, list[object]]:
    """What is told of trainings that something is wrong with in one process or in all."""
    keys: dict[str, Any] = {"train__batch_size": BATCH}
    found = {
        "uneven": told(lambda: fit(folder / "uneven", data, train__batch_size=8)),
        "missing": told(lambda: fit(folder / "missing", data.with_name("missing.h5"))),
    }
    (folder / "file").touch()
    found["file"] = told(lambda: fit(folder / "file", data, **keys))
    for name, patch in (
        ("elsewhere", data_elsewhere(other, process=2)),
        ("spoilt", spoil_at(6, process=2)),
    ):
        found[name] = told(lambda name=name: fit(folder / name, data, **keys))  # type: ignore[misc]
        patch.undo()
    return found


def main(folder: Path, data: Path, other: Path) -> None:
    """One process's part of all trainings; what it finds out goes into a file of its own."""
    Kept.keep()
    found = {name: stopped_and_gone_on(folder, data, name) for name in ("exact", "nvil")}
    found["faults"] = faults(folder, data, other)
    (folder / f"{NUMBER}.json").write_text(json.dumps(found))
    os._exit(0)  # Python's own end may abort threads of the group, which Kept keeps


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(Path, sys.argv[1:]))
