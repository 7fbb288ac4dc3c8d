"""Loss, gradient and weights that are not finite: found at once, told in full, never kept."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import command_line
import pytest
import torch
from tiny_runs import (
    DATA,
    STEPS,
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    go_on,
    metrics,
    reference,
    same,
    state,
)
from torch import Tensor

from airkit import settings
from airkit.dataset import CanvasDataset, to_ink
from airkit.errors import TrainingError
from airkit.estimators import exact
from airkit.model.baselines import LSTMBaseline
from airkit.model.prior import log_count
from airkit.run import RunFolder
from airkit.training import loop
from airkit.training.guard import Guard
from airkit.training.step import Trainer

COMBINATIONS = [*product(["saliency", "lstm"], ["exact", "nvil"])]
SMALL: dict[str, Any] = {"guide__rnn_size": 12, "train__baseline_net": (6,)}
Spoil = Callable[[Trainer], None]


def options(guide: str, estimator: str) -> dict[str, Any]:
    return {**SMALL, "guide__kind": guide, "train__estimator": estimator}


def trainer(**keys: Any) -> Trainer:
    given = {**DATA, **TRAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    config = settings.resolve(*settings.layers(given))
    return Trainer(config, CanvasDataset(data_file()).images, torch.device("cpu"))


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


@pytest.fixture(name="at")
def _at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Spoil], None]:
    """``at(number, spoil)`` calls ``spoil(trainer)`` after the gradients of step ``number``."""

    def patch(number: int, spoil: Spoil) -> None:
        original = Trainer.backward

        def backward(self: Trainer, step: int) -> Tensor:
            loss = original(self, step)
            if step == number:
                spoil(self)
            return loss

        monkeypatch.setattr(Trainer, "backward", backward)

    return patch


def spoilt_canvas(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The third canvas of the batch of step ``number`` is no picture."""
    assert metrics(reference())  # made before it would be spoilt, too
    original = Trainer._given

    def given(self: Trainer, step: int) -> tuple[Tensor, int, Tensor]:
        images, seed, log_prior = original(self, step)
        if step == number:
            images[2, 0, 0] = math.nan
        return images, seed, log_prior

    monkeypatch.setattr(Trainer, "_given", given)


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
    guide: str, estimator: str, tmp_path: Path, at: Callable[[int, Spoil], None]
) -> None:
    def spoil(self: Trainer) -> None:
        for name in ("decoder.layers.0.bias", "guide.encoder.layers.2.weight"):
            grad = self.air.get_parameter(name).grad
            assert grad is not None
            grad.view(-1)[1] = -math.inf

    at(6, spoil)
    got = (
        "that of guide.encoder.layers.2.weight, decoder.layers.0.bias, all terms of the loss "
        "being finite"
    )
    told = stopped(tmp_path, **options(guide, estimator))
    assert told == message("The gradient", tmp_path, 7, 5, got)


def test_a_gradient_of_the_baseline_alone(tmp_path: Path, at: Callable[[int, Spoil], None]) -> None:
    def spoil(self: Trainer) -> None:
        grad = self.estimator.baselines.get_parameter("head.0.bias").grad
        assert grad is not None
        grad[0] = math.inf

    at(6, spoil)
    got = "that of baseline.head.0.bias, all terms of the loss being finite"
    told = stopped(tmp_path, **options("saliency", "nvil"))
    rate = "train.baseline_learning_rate=0.001"
    assert told == message("The gradient", tmp_path, 7, 5, got, rate)


def test_a_limit_that_was_too_loose(tmp_path: Path, at: Callable[[int, Spoil], None]) -> None:
    """A gradient that is not finite is not made finite by clipping; a tenth is proposed."""

    def spoil(self: Trainer) -> None:
        grad = self.air.get_parameter("decoder.layers.0.bias").grad
        assert grad is not None
        grad[0] = math.inf

    at(6, spoil)
    told = stopped(tmp_path, train__clip_norm=0.5)
    assert told.splitlines()[4].endswith(
        f"airkit train --run {tmp_path} --set train.clip_norm=0.05"
    )


def test_a_gradient_that_is_too_great_for_adam(
    tmp_path: Path, at: Callable[[int, Spoil], None]
) -> None:
    """Adam would square it, and never move that weight again."""

    def spoil(self: Trainer) -> None:
        grad = self.air.get_parameter("decoder.layers.0.bias").grad
        assert grad is not None
        grad[0] = 1e25

    at(6, spoil)
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


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_a_term_is_found_where_it_comes_about(guide: str, estimator: str) -> None:
    """A window that is not finite spoils all that is computed after it, too."""
    model = trainer(**options(guide, estimator))
    with torch.no_grad():
        model.air.get_parameter("decoder.layers.2.bias").fill_(math.nan)
    bad = [name for name, each in model.terms(3).items() if not each.isfinite().all()]
    assert bad[0] == "log p(x | canvas_1)"
    assert bad[-1] == "log p(x | canvas_3)"


def poison(self: Trainer) -> None:
    """What a faulty memory leaves."""
    with torch.no_grad():
        next(self.air.parameters()).fill_(math.nan)


@pytest.mark.parametrize(("number", "step", "saved"), [(7, 8, 5), (9, 11, 8)])
def test_weights_that_are_not_finite(
    number: int, step: int, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found before they are saved (8) or used (11), though the loss of their step was finite."""
    original = Trainer.step

    def spoil(self: Trainer, at: int) -> Tensor:
        loss = original(self, at)
        if at == number:
            poison(self)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", spoil)
        patch.setattr(loop, "validate", lambda *_: (-1e9, 0.0))
        told = stopped(tmp_path, train__checkpoint_every=4 if number == 7 else 8)
    assert told == (
        "A weight is no longer finite\n"
        f"  where     step {step} of {tmp_path}\n"
        f"  expected  finite numbers, as in the last checkpoint, step-{saved:09d}.pt\n"
        "  got       guide.proposer.glimpse.weight in memory\n"
        f"  try       to go on from step {saved}: airkit train --run {tmp_path}"
    )


def test_a_step_that_is_finite_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Trainer.backward, 0

    def backward(self: Trainer, step: int) -> Tensor:
        nonlocal calls
        calls += step == 6
        return original(self, step) * (math.nan if (step, calls) == (6, 1) else 1)

    monkeypatch.setattr(Trainer, "backward", backward)
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

    monkeypatch.setattr(loop, "to_ink", spoilt)
    got = "log p(x | canvas_0) = -inf for 1 of 5 canvases, first val canvas 10"
    assert stopped(tmp_path) == message("The validation ELBO", tmp_path, 5, 4, got)


def test_a_learning_rate_that_explodes(tmp_path: Path) -> None:
    given = {"train__learning_rate": 10.0, "train__steps": 400, "train__schedule": "constant"}
    assert "The loss is no longer finite\n" in stopped(tmp_path, **given)


# What is kept, and how it goes on


@pytest.mark.parametrize("lags", [False, True])
@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_bad_step_is_not_taken(
    estimator: str, lags: bool, at: Callable[[int, Spoil], None]
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
        at(number, spoil)
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


def test_what_it_says_to_try_works(tmp_path: Path, at: Callable[[int, Spoil], None]) -> None:
    """A gradient that only a training like the first has: the commands, word for word."""

    def spoil(self: Trainer) -> None:
        train = self.config.train
        if train.clip_norm == "none" and train.learning_rate == 2e-3:
            next(self.air.parameters()).grad.mul_(math.nan)  # type: ignore[union-attr]

    at(6, spoil)
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


# What it is made of


def test_the_terms_are_those_of_the_step() -> None:
    """Of the exact estimator: the same draw, and together the loss."""
    model = trainer()
    terms, loss = model.terms(3), model.backward(3)
    slots = range(model.air.slots)
    logits = model.air(*_exactly(model, 3)).logits
    log_q, on = log_count(logits)
    assert torch.equal(torch.stack([terms[f"log q(n = {n})"] for n in slots], 1), log_q[:, :-1])
    fit = torch.stack([terms[f"log p(x | canvas_{n})"] for n in [*slots, len(slots)]], 1)
    kl = torch.stack([terms[f"KL of z_where_{n}"] + terms[f"KL of z_what_{n}"] for n in slots], 1)
    elbo = (log_q.exp() * (fit + model.log_prior(3) - log_q)).sum(1) - (on * kl).sum(1)
    assert -elbo.mean().item() == pytest.approx(loss.item(), rel=1e-6)


def _exactly(model: Trainer, number: int) -> tuple[Tensor, Any]:
    images, seed, _ = model._given(number)
    assert isinstance(model.estimator, exact.Exact)
    return images, model.estimator._noise(len(images), seed)


@pytest.mark.parametrize("guide", ["saliency", "lstm"])
def test_the_terms_of_nvil_are_those_of_the_step(guide: str) -> None:
    model = trainer(**options(guide, "nvil"))
    terms, loss = model.terms(3), model.backward(3)
    latents = {name: each for name, each in terms.items() if "(z" in name}
    costs = [each if name.startswith("log p") else -each for name, each in latents.items()]
    elbo = terms["log p(x | canvas_3)"] + sum(costs)
    assert -elbo.mean().item() == pytest.approx(loss.item(), rel=1e-6)
