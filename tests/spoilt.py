"""Ways to make a training's numbers not finite, and what it then tells."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    DATA,
    TRAIN,
    Recorder,
    data_file,
    fit,
    metrics,
    reference,
)
from torch import Tensor

from airkit.config import settings
from airkit.data.dataset import CanvasDataset
from airkit.errors import TrainingError
from airkit.runs.folder import RunFolder
from airkit.training.step import Trainer

COMBINATIONS = [*product(["saliency", "lstm"], ["exact", "nvil"])]
SMALL: dict[str, Any] = {"guide__rnn_size": 12, "train__baseline_net": (6,)}
CPU = torch.device("cpu")
Spoil = Callable[[Trainer], None]


def options(guide: str, estimator: str) -> dict[str, Any]:
    return {**SMALL, "guide__kind": guide, "train__estimator": estimator}


def trainer(device: torch.device = CPU, **keys: Any) -> Trainer:
    given = {**DATA, **TRAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    config = settings.resolve(*settings.layers(given))
    return Trainer(config, CanvasDataset(data_file()).images, device)


def stopped(run: Path, **keys: Any) -> str:
    """What a training that stops on its numbers tells; nothing bad is kept."""
    with pytest.raises(TrainingError) as caught:
        fit(run, **keys)
    newest = RunFolder(run).latest(Recorder())
    assert newest is not None
    assert all(bool(each.isfinite().all()) for each in newest.model.values())
    assert all(math.isfinite(value) for row in metrics(run) for value in row.values())
    return str(caught.value)


def message(what: str, run: Path, step: int, saved: int, got: str, rate: str = "") -> str:
    on = f"airkit train --run {run}"
    clip = f"to go on from step {saved}: {on} --set train.clip_norm=100\n            "
    lower = rate or "train.learning_rate=0.0002"
    return (
        f"{what} is no longer finite\n"
        f"  where     step {step} of {run}\n"
        f"  expected  finite numbers, as in the last checkpoint, step-{saved:09d}.pt\n"
        f"  got       {got}\n"
        f"  try       {'' if rate else clip}to start anew: "
        f"{on} --fresh --data {data_file()} --config {run}/config.toml --set {lower}"
    )


def spoil_at(
    monkeypatch: pytest.MonkeyPatch, number: int, spoil: Spoil, after: str = "_backward"
) -> None:
    """Call ``spoil`` on the trainer after the gradients of step ``number``, or after the step."""
    begin, original, now = Trainer._given, getattr(Trainer, after), [-1]

    def beginning(self: Trainer, step: int) -> tuple[Tensor, Any, Tensor]:
        now[0] = step
        return begin(self, step)

    def spoiling(self: Trainer, *given: Any) -> Tensor:
        loss: Tensor = original(self, *given)
        if now[0] == number:
            spoil(self)
        return loss

    monkeypatch.setattr(Trainer, "_given", beginning)
    monkeypatch.setattr(Trainer, after, spoiling)


def spoilt_canvas(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The third canvas of the batch of step ``number`` is no picture."""
    assert metrics(reference())  # made before it would be spoilt, too
    original = Trainer._given

    def given(self: Trainer, step: int) -> tuple[Tensor, Any, Tensor]:
        images, seed, log_prior = original(self, step)
        if step == number:
            images[2, 0, 0] = math.nan
        return images, seed, log_prior

    monkeypatch.setattr(Trainer, "_given", given)


def poison(self: Trainer) -> None:
    """What a faulty memory leaves."""
    with torch.no_grad():
        next(self.air.parameters()).fill_(math.nan)
