"""A step that is not finite is not taken; the message tells step, quantity and what to try."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import command_line
import pytest
import torch
from outside import NAMED
from tiny_runs import (
    COMBINATIONS,
    STEPS,
    Recorder,
    assert_as_if_never_stopped,
    fit,
    go_on,
    metrics,
    options,
    reference,
    same,
    state,
    trainer,
)
from torch import Tensor

from airkit.data.dataset import to_float
from airkit.errors import TrainingError
from airkit.runs.folder import RunFolder
from airkit.training import validation
from airkit.training.optimiser import Optimiser
from airkit.training.step import Trainer

Spoil = Callable[[Trainer, Tensor], None]
BIAS = "air.decoder.layers.2.bias"


def spoil_at(monkeypatch: pytest.MonkeyPatch, number: int, spoil: Spoil) -> None:
    """Call ``spoil`` on the trainer and the images of step ``number`` before it is computed."""
    reference()  # trained before it would be spoilt, too
    original = Trainer.inputs

    def inputs(self: Trainer, step: int) -> tuple[Tensor, Any, Tensor]:
        found = original(self, step)
        if step == number:
            spoil(self, found[0])
        return found

    monkeypatch.setattr(Trainer, "inputs", inputs)


def bad_canvas(trainer: Trainer, images: Tensor) -> None:
    images[2, 0, 0, 0] = math.nan


def bad_gradient(factor: float, *names: str) -> Spoil:
    """Multiply the gradients of parameters of the estimator."""

    def spoil(trainer: Trainer, images: Tensor) -> None:
        for name in names:
            parameter: Any = trainer.objective.get_parameter(name)
            parameter.register_hook(lambda grad: grad * factor)

    return spoil


def stopped(run: Path, **keys: Any) -> str:
    """The message of a training that stops on its numbers; nothing bad is kept."""
    with pytest.raises(TrainingError) as caught:
        fit(run, **keys)
    newest = RunFolder(run).latest(Recorder())
    assert newest is not None
    assert all(bool(each.isfinite().all()) for each in newest.model.values())
    assert all(math.isfinite(value) for row in metrics(run) for value in row.values())
    return str(caught.value)


# The message


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS[::3])
@pytest.mark.parametrize(
    ("spoil", "facts"),
    [
        (bad_canvas, ("The loss", "nan")),
        (bad_gradient(math.inf, BIAS), ("The gradient", "that of decoder.layers.2.bias")),
        # Adam would square it.
        (bad_gradient(1e25, BIAS), ("The gradient", "that of decoder.layers.2.bias")),
    ],
)
def test_the_message(
    guide: str,
    estimator: str,
    spoil: Spoil,
    facts: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil_at(monkeypatch, 9, spoil)
    told = stopped(tmp_path, **options(guide, estimator))
    for fact in (*facts, f"step 10 of {tmp_path}", "step-000000008.pt"):
        assert fact in told


@pytest.mark.parametrize(
    ("number", "saved", "late"),
    [(0, 0, 3), (1, 0, 3), (6, 5, 8), (8, 8, 9), (9, 8, 10), (21, 20, STEPS)],
)
def test_the_step_and_its_last_checkpoint(
    number: int, saved: int, late: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On and off the intervals of logging (3), validation (5) and saving (4).

    Where steps do not wait for each other, it is found when a row or a checkpoint is due.
    """
    init = Optimiser.__init__

    def asynchronous(self: Optimiser, *given: Any) -> None:
        init(self, *given)
        self.asynchronous = True

    spoil_at(monkeypatch, number, bad_canvas)
    told, run = stopped(tmp_path), RunFolder(tmp_path)
    steps: list[int] = []
    listener = Recorder(**{f"step{n}": partial(steps.append, n) for n in range(1, STEPS + 1)})
    assert f"step {number + 1} of {tmp_path}\n" in told
    assert metrics(tmp_path) == [row for row in metrics(reference()) if row["step"] <= number]
    assert run.saved()[-1] == run.file(saved)
    monkeypatch.setattr(Optimiser, "__init__", asynchronous)
    assert stopped(tmp_path, fresh=True, listener=listener) == told
    assert steps[-1] == late
    assert run.saved()[-1] == run.file(saved)


def test_its_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipping at a tenth of the limit, a tenth of the learning rate; baselines have their own."""
    with monkeypatch.context() as patch:
        spoil_at(patch, 6, bad_gradient(math.nan, BIAS, "baselines.head.0.bias"))
        told = stopped(tmp_path / "nvil", **options("saliency", "nvil"))
    assert "that of the baseline's head.0.bias" in told
    assert told.endswith("--set train.baseline_learning_rate=0.001")
    assert "clip_norm" not in told
    spoil_at(monkeypatch, 6, bad_gradient(math.nan, BIAS))
    told = stopped(tmp_path / "exact", train__clip_norm=0.5)
    assert " --set train.clip_norm=0.05\n" in told
    assert told.endswith("--set train.learning_rate=0.0002")


@pytest.mark.parametrize("outside", [{}, NAMED], ids=["own", "outside"])
def test_its_commands_work(
    outside: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient that only a training with the first settings has: the commands, word for word."""

    def spoil(trainer: Trainer, images: Tensor) -> None:
        train = trainer.config.train
        if train.clip_norm == "none" and trainer.config.learning_rate == 2e-3:
            bad_canvas(trainer, images)

    spoil_at(monkeypatch, 6, spoil)
    told = stopped(tmp_path / "a run", **outside)
    commands = [line.partition(": ")[2] for line in told.splitlines() if "airkit train" in line]
    assert len(commands) == 2
    for command, first in zip(commands, ("going on from step 5", ""), strict=True):
        result = command_line.run(*shlex.split(command)[1:])
        assert (result.exit_code, first in result.stderr) == (0, True)
        assert state(tmp_path / "a run").step == STEPS
        with pytest.raises(TrainingError):
            fit(tmp_path / "a run", fresh=True, **outside)


def test_a_validation_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "to_float", lambda images: to_float(images) * math.nan)
    told = stopped(tmp_path)
    for fact in ("The validation ELBO", f"step 5 of {tmp_path}", "step-000000004.pt"):
        assert fact in told


def test_a_step_that_is_finite_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoils = [bad_canvas]

    def once(*given: Any) -> None:
        if spoils:
            spoils.pop()(*given)

    spoil_at(monkeypatch, 6, once)
    told = stopped(tmp_path)
    assert "the machine may be at fault" in told
    assert told.endswith(f"to go on from step 5: airkit train --run {tmp_path}")
    go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_a_learning_rate_far_too_high_leaves_numbers_finite(
    guide: str, estimator: str, tmp_path: Path
) -> None:
    """It trains a useless model, but no slot leaves the range of float32."""
    given: dict[str, Any] = {"train__steps": 200, "train__learning_rate": 10.0}
    given |= {"train__val_every": 200, "train__checkpoint_every": 200}
    given |= {"train__schedule": "constant", "prior__schedule": "constant"}
    fit(tmp_path, **options(guide, estimator), **given)
    assert metrics(tmp_path)[-1]["step"] == 200
    assert all(math.isfinite(value) for row in metrics(tmp_path) for value in row.values())


# What is kept, and how it goes on


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_bad_step_is_not_taken(
    estimator: str, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is any after it: weights and Adam's state are those of the last good step."""
    good, model = (trainer(**options("saliency", estimator)) for _ in range(2))
    for number in range(4):
        good.step(number)
    spoil_at(monkeypatch, 6, bad_canvas)
    spoil_at(monkeypatch, 4, bad_gradient(math.nan, BIAS))
    model.optimiser.asynchronous = asynchronous
    for number in range(8):
        assert model.optimiser.first_bad() == (4 if number > 4 else None)
        model.step(number)
    assert same(model.objective.state_dict(), good.objective.state_dict())
    assert same(model.optimiser.state_dict()["state"], good.optimiser.state_dict()["state"])


def test_going_on_stops_at_the_same_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        spoil_at(patch, 13, bad_canvas)
        told = stopped(tmp_path)
        with pytest.raises(TrainingError) as caught:
            go_on(tmp_path)
    assert str(caught.value) == told
    assert go_on(tmp_path).resumed_from == 12
    assert_as_if_never_stopped(tmp_path)


def test_clipping_may_change_and_is_noted(tmp_path: Path) -> None:
    runs = {limit: tmp_path / str(limit) for limit in ("none", 0.5)}
    for limit, run in runs.items():
        fit(run, train__steps=4)
        listener = Recorder()
        go_on(run, listener, train__steps=8, train__clip_norm=limit)
        changed = ["train.clip_norm: none up to step 4, 0.5 from there on"]
        on = f"going on from step 4 of {run}"
        assert listener.notes == [on, *(changed if limit == 0.5 else [])]
        assert state(run, 8).config.train.clip_norm == limit
    assert not same(*(state(run, 8).model for run in runs.values()))


def test_clipping_bounds_the_models_gradient_alone() -> None:
    def norms(**keys: Any) -> list[float]:
        model = trainer(**options("saliency", "nvil"), **keys)
        model.step(0)
        modules = model.air, model.objective.baselines
        found = [[p.grad for p in module.parameters() if p.grad is not None] for module in modules]
        return [float(torch.cat([grad.flatten() for grad in grads]).norm()) for grads in found]

    free = norms()
    assert norms(train__clip_norm=1e6) == free
    assert norms(train__clip_norm=0.5) == pytest.approx([0.5, free[1]], rel=1e-4)
    assert min(free) > 1
