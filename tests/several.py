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
from tiny_runs import STEPS, data_file, fit, go_on, interrupt
from torch import Tensor

from airkit.errors import AirkitError
from airkit.training import loop
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
    given = [str(data_file()), str(folder)]
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

    def given(self: Trainer, step: int) -> tuple[Tensor, int, Tensor]:
        images, seed, log_prior = original(self, step)
        if (step, NUMBER) == (number, process):
            images[1, 0, 0] = math.nan
        return images, seed, log_prior

    patch.setattr(Trainer, "_given", given)
    return patch


def error(work: Callable[[], object]) -> str:
    try:
        work()
    except AirkitError as told:
        return f"{type(told).__name__} {told.shared} {told}"
    return ""


def main(data: Path, folder: Path) -> None:
    """One process's part of all trainings; what it finds out goes into a file of its own."""
    Kept.keep()
    found: dict[str, Any] = {}
    for estimator in ("exact", "nvil"):
        keys: dict[str, Any] = {"train__estimator": estimator, "train__batch_size": BATCH}
        fit(folder / estimator, data, **keys)
        found[estimator] = Kept.weights()
        patch = at_step(9, interrupt, process=1)
        report = fit(folder / f"{estimator} again", data, **keys)
        patch.undo()
        found[f"{estimator} stopped"] = [report.steps, report.stopped]
        report = go_on(folder / f"{estimator} again")
        found[f"{estimator} again"] = [report.resumed_from, report.steps, Kept.weights()]
    found["uneven"] = error(lambda: fit(folder / "uneven", data, train__batch_size=8))
    found["no data"] = error(lambda: fit(folder / "no data", data.with_name("missing.h5")))
    elsewhere = data if NUMBER < 2 else data.with_name("missing.h5")
    patch = pytest.MonkeyPatch()
    patch.setattr(loop, "CanvasDataset", lambda _, split: original(elsewhere, split))
    original = sys.modules["airkit.dataset"].CanvasDataset
    found["no data there"] = error(lambda: fit(folder / "no data", data, train__batch_size=BATCH))
    patch.undo()
    patch = spoil_at(6, process=2)
    found["spoilt"] = error(lambda: fit(folder / "spoilt", data, train__batch_size=BATCH))
    patch.undo()
    (folder / "file").touch()
    found["no folder"] = error(lambda: fit(folder / "file", data, train__batch_size=BATCH))
    (folder / f"{NUMBER}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert STEPS > 10
    main(*map(Path, sys.argv[1:]))
