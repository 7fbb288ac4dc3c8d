"""What is not finite is found and told in full: the step, the part, and what works then."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from spoilt import (
    COMBINATIONS,
    message,
    options,
    poison,
    spoil_at,
    spoilt_canvas,
    stopped,
    trainer,
)
from tiny_runs import (
    assert_as_if_never_stopped,
    go_on,
    metrics,
    reference,
)
from torch import Tensor

from airkit.data.dataset import to_ink
from airkit.model.objectives.baselines import LSTMBaseline
from airkit.runs.folder import RunFolder
from airkit.training import loop, validation
from airkit.training.step import Trainer

# What is found, at which step, and what is told


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_a_canvas_that_is_not_finite(
    guide: str, estimator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt_canvas(monkeypatch, 9)
    canvas = int(trainer().batches.at(9)[2])
    got = f"log p(x | canvas_0) = nan for 1 of 8 canvases, first train canvas {canvas}"
    told = stopped(tmp_path, **options(guide, estimator))
    assert told == message("The loss", tmp_path, 10, 8, got)


@pytest.mark.parametrize(("number", "saved"), [(0, 0), (1, 0), (8, 8), (10, 10), (22, 20)])
def test_the_step_and_its_last_checkpoint(
    number: int, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On and off the intervals of logging (3), validation (5) and saving (4)."""
    spoilt_canvas(monkeypatch, number)
    assert f"\n  where     step {number + 1} of {tmp_path}\n" in stopped(tmp_path)
    assert RunFolder(tmp_path).saved()[-1] == RunFolder(tmp_path).file(saved)
    assert metrics(tmp_path) == [row for row in metrics(reference()) if row["step"] <= number]


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_a_gradient_that_is_not_finite(
    guide: str, estimator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: Trainer) -> None:
        for name in ("decoder.layers.0.bias", "guide.encoder.layers.2.weight"):
            grad = self.air.get_parameter(name).grad
            assert grad is not None
            grad.view(-1)[1] = -math.inf

    spoil_at(monkeypatch, 6, spoil)
    got = (
        "that of guide.encoder.layers.2.weight, decoder.layers.0.bias, all terms of the loss "
        "being finite"
    )
    told = stopped(tmp_path, **options(guide, estimator))
    assert told == message("The gradient", tmp_path, 7, 5, got)


def test_a_gradient_of_the_baseline_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(self: Trainer) -> None:
        grad = self.estimator.baselines.get_parameter("head.0.bias").grad
        assert grad is not None
        grad[0] = math.inf

    spoil_at(monkeypatch, 6, spoil)
    got = "that of baseline.head.0.bias, all terms of the loss being finite"
    told = stopped(tmp_path, **options("saliency", "nvil"))
    rate = "train.baseline_learning_rate=0.001"
    assert told == message("The gradient", tmp_path, 7, 5, got, rate)


def test_a_limit_that_was_too_loose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that is not finite is not made finite by clipping; a tenth is proposed."""

    def spoil(self: Trainer) -> None:
        grad = self.air.get_parameter("decoder.layers.0.bias").grad
        assert grad is not None
        grad[0] = math.inf

    spoil_at(monkeypatch, 6, spoil)
    told = stopped(tmp_path, train__clip_norm=0.5)
    hint = f"to go on from step 5: airkit train --run {tmp_path} --set train.clip_norm=0.05"
    assert told.splitlines()[4] == f"  try       {hint}"


def test_a_gradient_that_is_too_great_for_adam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam would square it, and never move that weight again."""

    def spoil(self: Trainer) -> None:
        grad = self.air.get_parameter("decoder.layers.0.bias").grad
        assert grad is not None
        grad[0] = 1e25

    spoil_at(monkeypatch, 6, spoil)
    got = "that of decoder.layers.0.bias, of norm 1e+25: too great to square"
    assert stopped(tmp_path) == message("The gradient", tmp_path, 7, 5, got)


@pytest.mark.parametrize("guide", ["saliency", "lstm"])
def test_a_baseline_that_is_not_finite(
    guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ELBO is finite then, but what the gradients come from is not."""
    original, calls = LSTMBaseline.predict, 0

    def predict(self: LSTMBaseline, before: Any) -> Any:
        nonlocal calls
        calls += 1
        after, value = original(self, before)
        return after, value * math.inf if calls > 3 * 6 + 1 else value

    monkeypatch.setattr(LSTMBaseline, "predict", predict)
    told = stopped(tmp_path, **options(guide, "nvil"))
    canvas = int(trainer().batches.at(6)[0])
    sign = "-" if "= -inf" in told else ""
    got = f"baseline_0 = {sign}inf for 8 of 8 canvases, first train canvas {canvas}"
    rate = "train.baseline_learning_rate=0.001"
    assert told == message("The loss", tmp_path, 7, 5, got, rate)


@pytest.mark.parametrize(("number", "step", "saved"), [(7, 8, 5), (9, 11, 8)])
def test_weights_that_are_not_finite(
    number: int, step: int, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found before they are saved (8) or used (11), though the loss of their step was finite."""
    with monkeypatch.context() as patch:
        spoil_at(patch, number, poison, after="step")
        patch.setattr(loop, "validate", lambda *_: (-1e9, 0.0))
        told = stopped(tmp_path, train__checkpoint_every=4 if number == 7 else 8)
    assert told == (
        "A weight is no longer finite\n"
        f"  where     step {step} of {tmp_path}\n"
        f"  expected  finite numbers, as in the last checkpoint, step-{saved:09d}.pt\n"
        "  got       guide.proposer.0.weight in memory\n"
        f"  try       to go on from step {saved}: airkit train --run {tmp_path}"
    )


def test_a_step_that_is_finite_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, original, steps = Trainer._given, Trainer._backward, list[int]()

    def giving(self: Trainer, step: int) -> tuple[Tensor, Any, Tensor]:
        steps.append(step)
        return given(self, step)

    def backward(self: Trainer, *rest: Any) -> Tensor:
        first = steps.count(6) == 1 and steps[-1] == 6
        return original(self, *rest) * (math.nan if first else 1)

    monkeypatch.setattr(Trainer, "_given", giving)
    monkeypatch.setattr(Trainer, "_backward", backward)
    got = "finite numbers, when the step was tried again; the machine may be at fault"
    hint = f"to go on from step 5: airkit train --run {tmp_path}"
    assert stopped(tmp_path).endswith(f"\n  got       {got}\n  try       {hint}")
    go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path)


def test_a_validation_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(images: Tensor) -> Tensor:
        ink = to_ink(images)
        if len(ink) == 5:  # the second batch of 12 canvases in batches of 7
            ink[3, 0, 0] = math.inf
        return ink

    monkeypatch.setattr(validation, "to_ink", spoilt)
    got = "log p(x | canvas_0) = -inf for 1 of 5 canvases, first val canvas 10"
    assert stopped(tmp_path) == message("The validation ELBO", tmp_path, 5, 4, got)


def test_a_learning_rate_that_explodes(tmp_path: Path) -> None:
    given = {"train__learning_rate": 10.0, "train__steps": 400, "train__schedule": "constant"}
    assert "The loss is no longer finite\n" in stopped(tmp_path, **given)


# What it is made of


def _exactly(model: Trainer, number: int) -> tuple[Tensor, Any]:
    images, noise, _ = model._given(number)
    return images, noise
