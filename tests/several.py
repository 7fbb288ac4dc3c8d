"""Trainings on several processes, and the work of each of them."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pytest
from outside import NAMED
from tiny_runs import data_file, fit, go_on, interrupt, options
from torch import Tensor

from airkit.data import reader
from airkit.errors import AirkitError
from airkit.training.step import Trainer

COUNT = 3
STEPS = 8
GIVEN: dict[str, Any] = {"train__steps": STEPS, "train__batch_size": 12}
WORK = f"""
import os, sys, warnings
from pathlib import Path
import torch._dynamo  # loaded once for all, by each of them otherwise
warnings.filterwarnings("error", module="airkit")
sys.path.insert(0, {str(Path(__file__).parent)!r})
from several import COUNT, main
for number in map(str, range(COUNT)):
    if os.fork() == 0:
        os.environ.update(RANK=number, LOCAL_RANK=number)
        main(*map(Path, sys.argv[1:]))
sys.exit(any([os.wait()[1] for _ in range(COUNT)]))
"""
VARIANTS: dict[str, dict[str, Any]] = {
    "exact": {},
    "nvil": options("saliency", "nvil"),
    "outside": NAMED,
}
"""Settings of the trainings that are stopped and go on."""


def own_rank() -> int:
    return int(os.environ["RANK"])


def torchrun(count: int, *arguments: object) -> list[str]:
    """The command that starts ``count`` processes; what it runs begins with ``-m`` or a script."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    return [*launcher, "--standalone", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Warnings of PyTorch's launcher are its own; those in airkit are errors."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONWARNINGS": "error:::airkit", "PYTHONPATH": path}


def finished(command: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=variables, timeout=120
    )


def all_of(folder: Path) -> list[dict[str, Any]]:
    """What each of the processes found out."""
    given = [folder, data_file(), data_file(seed=3)]
    with socket.create_server(("localhost", 0)) as free:
        meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    done = forks.run(WORK, *given, env={**os.environ, "WORLD_SIZE": str(COUNT), **meeting})
    assert (done.stderr, done.stdout, done.returncode) == ("", "", 0)
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(COUNT)]


def patched(owner: Any, name: str, replace: Callable[..., Any], process: int) -> pytest.MonkeyPatch:
    """In one process, replace a function of ``owner``; ``replace`` gets the original first."""
    patch, original = pytest.MonkeyPatch(), getattr(owner, name)
    if process == own_rank():
        patch.setattr(owner, name, lambda *given: replace(original, *given))
    return patch


def stopped_and_gone_on(folder: Path, data: Path, name: str) -> dict[str, Any]:
    """A whole training, and one that the second process is asked to stop."""
    trainers: list[Trainer] = []

    def step(original: Callable[..., Tensor], trainer: Trainer, number: int) -> Tensor:
        loss = original(trainer, number)
        if number == 6 and own_rank() == 1 and (len(trainers), trainers[-1:]) == (2, [trainer]):
            interrupt()
        return loss

    def build(original: Callable[..., None], trainer: Trainer, *given: Any) -> None:
        original(trainer, *given)
        trainers.append(trainer)

    given: dict[str, Callable[..., Any]] = {"step": step, "__init__": build}
    patches = [patched(Trainer, name, replace, own_rank()) for name, replace in given.items()]
    keys = {**VARIANTS[name], **GIVEN}
    fit(folder / name, data, **keys)
    first = fit(folder / f"{name} again", data, **keys)
    second = go_on(folder / f"{name} again", **(VARIANTS[name] if name == "outside" else {}))
    for patch in patches:
        patch.undo()
    weights = [weight_sum(trainer) for trainer in (trainers[0], trainers[2])]
    steps = [first.steps, first.stopped, second.resumed_from, second.steps, second.stopped]
    return {"weights": weights, "steps": steps}


def weight_sum(trainer: Trainer) -> float:
    """A number that two different sets of weights hardly share."""
    return sum(float(each.detach().double().norm()) for each in trainer.objective.parameters())


def told(work: Callable[[], object]) -> list[object]:
    """What an error says, and whether another process says it."""
    try:
        work()
    except AirkitError as error:
        return [type(error).__name__, str(error), error.shared]
    return []


def faults(folder: Path, data: Path, other: Path) -> dict[str, list[object]]:
    """What is told of trainings that something is wrong with in one process or in all."""

    def read(original: Callable[..., Any], path: Path) -> Any:
        """As if on another machine that has another file where the data file is."""
        return original(other if path == data else path)

    def spoil(original: Callable[..., Any], trainer: Trainer, number: int) -> Any:
        images, random, log_prior = original(trainer, number)
        if number == 6:
            images[1, 0, 0, 0] = math.nan
        return images, random, log_prior

    def begin(name: str, path: Path = data, **keys: Any) -> list[object]:
        return told(lambda: fit(folder / name, path, **{**GIVEN, **keys}))

    (folder / "file").touch()
    found = {
        "uneven": begin("uneven", train__batch_size=8),
        "missing": begin("missing", data.with_name("missing.h5")),
        "file": begin("file"),
    }
    for name, patch in (
        ("elsewhere", patched(reader, "read_info", read, process=2)),
        ("spoilt", patched(Trainer, "inputs", spoil, process=2)),
    ):
        found[name] = begin(name)
        patch.undo()
    return found


def main(folder: Path, data: Path, other: Path) -> None:
    """One process's part of all trainings; what it finds out goes into a file of its own."""
    found = {name: stopped_and_gone_on(folder, data, name) for name in VARIANTS}
    found["faults"] = faults(folder, data, other)
    (folder / f"{own_rank()}.json").write_text(json.dumps(found))
    os._exit(0)  # Python's own end may abort threads of the group while trainers are alive
