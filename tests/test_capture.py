"""Steps that are captured and replayed; CUDA's own part needs a GPU, the rest does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from spoilt import options, trainer
from tiny_runs import Recorder, assert_as_if_never_stopped, fit
from torch import Tensor

from airkit.runs import cuda_graph
from airkit.runs.cuda_graph import WARM_UP, Captured
from airkit.training.step import Trainer


class Tape:
    """Records as a CUDA graph does: what a call reads and where, and not what it returns."""

    def __init__(self) -> None:
        self.warm, self.captured, self.replayed = 0, 0, 0

    def warm_up(self, call: Callable[[], Tensor]) -> Tensor:
        self.warm += 1
        return call()

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.captured += 1

        def replay() -> Tensor:
            self.replayed += 1
            return call()

        return replay


class Clumsy(Tape):
    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.captured += 1
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")


def capturing(recorder: Tape, **keys: Any) -> Trainer:
    model = trainer(**keys)
    assert model.captured is None  # there is no GPU, or it is not asked for
    model.captured = Captured(model._take_captured, recorder)
    return model


def assert_same_steps(one: Trainer, other: Trainer, steps: int) -> None:
    for step in range(steps):
        assert torch.equal(one.step(step), other.step(step))
    for mine, theirs in zip(one.air.parameters(), other.air.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("guide", ["saliency", "lstm"])
def test_replayed_steps_are_the_steps(guide: str) -> None:
    """Batch, numbers, prior and rate of each step get to it through the memory it was made on."""
    keys = options(guide, "exact") | {"prior__anneal_duration": 4}
    recorder = Tape()
    assert_same_steps(capturing(recorder, **keys), trainer(**keys), WARM_UP + 5)
    assert (recorder.warm, recorder.captured, recorder.replayed) == (WARM_UP, 1, 5)


def test_looks_that_are_not_drawn_are_no_input() -> None:
    keys: dict[str, Any] = {"guide__looks": "argmax"}
    assert_same_steps(capturing(Tape(), **keys), trainer(**keys), WARM_UP + 2)


def test_what_cannot_be_captured_is_done_without() -> None:
    model = capturing(recorder := Clumsy())
    assert_same_steps(model, trainer(), WARM_UP + 3)
    assert recorder.captured == 1
    assert model.captured is not None
    assert model.captured.trouble == "operation not permitted when stream is capturing"


def test_it_is_said_once_that_nothing_is_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_capturing", lambda self: Captured(self._take_captured, Clumsy()))
    listener = Recorder()
    fit(tmp_path, listener=listener)
    why = "operation not permitted when stream is capturing"
    assert listener.notes == [f"no CUDA graph can be made of a step: {why}"]
    assert_as_if_never_stopped(tmp_path)


def test_a_bad_step_is_noted_by_its_own_number() -> None:
    """Not by that of the step that was captured."""
    model = capturing(Tape())
    for step in range(WARM_UP + 2):
        model.step(step)
    images, random, log_prior = model._given(WARM_UP + 2)
    model.__dict__["_given"] = lambda number: (images * torch.nan, random, log_prior)
    before = [weights.clone() for weights in model.air.parameters()]
    model.step(WARM_UP + 2)
    assert model.guard.first_bad() == WARM_UP + 2
    assert all(map(torch.equal, before, model.air.parameters()))


def test_only_the_exact_estimator_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airkit.training.step.CUDAGraphs", lambda device: Tape())
    for estimator, wanted in (("exact", True), ("nvil", False)):
        model = trainer(**options("saliency", estimator))
        assert model._capturing() is None
        model.device = torch.device("cuda")
        assert (model._capturing() is not None) == wanted
        off = model.config.train.model_copy(update={"cuda_graph": False})
        model.config = model.config.model_copy(update={"train": off})
        assert model._capturing() is None


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_captured_steps_are_the_steps_on_a_gpu(precision: str) -> None:
    one, other = (
        trainer(torch.device("cuda"), train__precision=precision, train__cuda_graph=graph)
        for graph in (True, False)
    )
    losses = [[model.step(step).item() for step in range(12)] for model in (one, other)]
    assert one.captured is not None
    assert one.captured.replay is not None
    assert other.captured is None
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
def test_replays_wait_for_nothing() -> None:
    """In two epochs."""
    model = trainer(torch.device("cuda"))
    for step in range(cuda_graph.WARM_UP + 1):
        model.step(step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(cuda_graph.WARM_UP + 1, 12):
            model.step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
