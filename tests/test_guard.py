"""A step that is not finite is not taken, nothing of it is kept, and the run can go on."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import command_line
import pytest
import torch
from spoilt import (
    options,
    spoil_at,
    spoilt_canvas,
    stopped,
    trainer,
)
from tiny_runs import (
    STEPS,
    Recorder,
    assert_as_if_never_stopped,
    fit,
    go_on,
    same,
    state,
)

from airkit.errors import TrainingError
from airkit.runs.folder import RunFolder
from airkit.training.guard import Guard
from airkit.training.step import Trainer

# What is kept, and how it goes on


@pytest.mark.parametrize("lags", [False, True])
@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_bad_step_is_not_taken(
    estimator: str, lags: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is any after it: weights and Adam's state are those of the last good step."""

    def spoil(self: Trainer) -> None:
        grad = self.air.get_parameter("decoder.layers.0.bias").grad
        assert grad is not None
        grad.mul_(math.nan)

    good, model = (trainer(**options("saliency", estimator)) for _ in range(2))
    for number in range(4):
        good.step(number)
    for number in (6, 4, 5):
        spoil_at(monkeypatch, number, spoil)
    model.guard.lags = lags
    for number in range(8):
        assert model.guard.first_bad() == (4 if number > 4 else None)
        model.step(number)
    assert same(model.air.state_dict(), good.air.state_dict())
    assert same(model.estimator.baselines.state_dict(), good.estimator.baselines.state_dict())
    ours, theirs = (each.optimiser.state_dict()["state"] for each in (model, good))
    assert same(ours, theirs)


@pytest.mark.parametrize(
    ("number", "told", "saved"), [(6, 8, 5), (8, 9, 8), (9, 10, 8), (21, STEPS, 20)]
)
def test_found_late_it_is_told_the_same(
    number: int, told: int, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where steps do not wait for each other, it is found when a row or checkpoint is due."""
    original, steps = Guard.__init__, Recorder()
    done: list[int] = []
    setattr(steps, "progress", lambda task, step, total: done.append(step))  # noqa: B010

    def lagging(self: Guard, device: torch.device) -> None:
        original(self, device)
        self.lags = True

    spoilt_canvas(monkeypatch, number)
    prompt = stopped(tmp_path / "run")
    monkeypatch.setattr(Guard, "__init__", lagging)
    assert stopped(tmp_path / "run", fresh=True, listener=steps) == prompt
    assert done[-1] == told
    assert RunFolder(tmp_path / "run").saved()[-1] == RunFolder(tmp_path / "run").file(saved)


def test_going_on_stops_at_the_same_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        spoilt_canvas(patch, 13)
        told = stopped(tmp_path)
        for _ in range(2):
            with pytest.raises(TrainingError) as caught:
                go_on(tmp_path)
            assert str(caught.value) == told
    assert go_on(tmp_path).resumed_from == 12
    assert_as_if_never_stopped(tmp_path)


def test_what_it_says_to_try_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that only a training like the first has: the commands, word for word."""

    def spoil(self: Trainer) -> None:
        train = self.config.train
        if train.clip_norm == "none" and train.learning_rate == 2e-3:
            next(self.air.parameters()).grad.mul_(math.nan)  # type: ignore[union-attr]

    spoil_at(monkeypatch, 6, spoil)
    told = stopped(tmp_path / "a run")
    commands = [line.partition(": ")[2] for line in told.splitlines() if "airkit train" in line]
    assert len(commands) == 2
    for command, first in zip(commands, ("going on from step 5", ""), strict=True):
        with pytest.raises(TrainingError):
            fit(tmp_path / "a run", fresh=True)
        result = command_line.run(*shlex.split(command)[1:])
        assert (result.exit_code, first in result.stderr) == (0, True)
        assert state(tmp_path / "a run").step == STEPS


def test_clipping_may_change_and_is_noted(tmp_path: Path) -> None:
    runs = {limit: tmp_path / str(limit) for limit in ("none", 0.5)}
    for limit, run in runs.items():
        fit(run, train__steps=4)
        listener = Recorder()
        go_on(run, listener, train__steps=8, train__clip_norm=limit)
        changed = ["train.clip_norm: none up to step 4, 0.5 from there on"]
        on = f"going on from step 4 of {run}"
        assert listener.notes == [*(changed if limit == 0.5 else []), on]
        assert state(run, 8).config.train.clip_norm == limit
    assert not same(*(state(run, 8).model for run in runs.values()))
