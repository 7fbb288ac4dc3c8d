"""Steps that are captured and replayed; what is CUDA's own needs a GPU, the rest does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import Recorder, assert_as_if_never_stopped, fit, options, trainer
from torch import Tensor

from airkit.training.cuda_graph import WARM_UP, CUDAGraph, Inputs
from airkit.training.step import Trainer


class Eager(CUDAGraph):
    """Replays as a CUDA graph does, on the memory that it was captured with, by calling again."""

    captured = replayed = 0
    fails = False

    def warm_up(self, inputs: Inputs) -> Tensor:
        return self.function(*inputs)

    def capture(self, inputs: Inputs) -> Callable[[], Tensor]:
        self.captured += 1
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

        def replay() -> Tensor:
            self.replayed += 1
            return self.function(*inputs)

        return replay


class Failing(Eager):
    fails = True


def capturing(kind: type[Eager], **keys: Any) -> tuple[Trainer, Eager]:
    model = trainer(**keys)
    assert model.graph is None  # there is no GPU
    model.graph = graph = kind(model._take_captured, model.device)
    return model, graph


def assert_same_steps(one: Trainer, other: Trainer, steps: int) -> None:
    for step in range(steps):
        assert torch.equal(one.step(step), other.step(step))
    for mine, theirs in zip(one.air.parameters(), other.air.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    "keys",
    [
        options("saliency", "exact"),
        options("lstm", "exact"),
        {"guide__looks": "argmax"},
        {"data__height": 16},
    ],
)
def test_replayed_steps_are_the_steps(keys: dict[str, Any]) -> None:
    """Batch, random numbers, prior and learning rate of each step reach the captured one."""
    given = {**keys, "prior__anneal_duration": 4}
    model, graph = capturing(Eager, **given)
    assert_same_steps(model, trainer(**given), WARM_UP + 5)
    assert (graph.captured, graph.replayed) == (1, 5)


def test_where_nothing_can_be_captured_steps_are_eager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, graph = capturing(Failing)
    assert_same_steps(model, trainer(), WARM_UP + 3)
    assert graph.captured == 1
    monkeypatch.setattr("airkit.training.step.CUDAGraph", Failing)
    monkeypatch.setattr(Trainer, "_can_capture", lambda self: True)
    listener = Recorder()
    fit(tmp_path, listener=listener)
    (note,) = listener.notes
    assert note.endswith(": operation not permitted when stream is capturing")
    assert_as_if_never_stopped(tmp_path)


def test_a_bad_step_is_noted_by_its_own_number() -> None:
    """Not by that of the step that was captured."""
    model, _ = capturing(Eager)
    for step in range(WARM_UP + 2):
        model.step(step)
    images, random, log_prior = model.inputs(WARM_UP + 2)
    model.__dict__["inputs"] = lambda number: (images * torch.nan, random, log_prior)
    before = [weights.clone() for weights in model.air.parameters()]
    model.step(WARM_UP + 2)
    assert model.optimiser.first_bad() == WARM_UP + 2
    assert all(map(torch.equal, before, model.air.parameters()))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_captured_steps_are_the_steps_on_a_gpu(precision: str) -> None:
    one, other = (
        trainer(torch.device("cuda"), train__precision=precision, train__cuda_graph=graph)
        for graph in (True, False)
    )
    losses = [[model.step(step).item() for step in range(12)] for model in (one, other)]
    assert one.graph is not None
    assert one.graph.replay is not None
    assert other.graph is None
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.fixture(name="asynchronous")
def _asynchronous() -> Iterator[Callable[[], None]]:
    """A function that makes every wait for the GPU an error from then on."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
def test_replays_wait_for_nothing(asynchronous: Callable[[], None]) -> None:
    """In two epochs."""
    model = trainer(torch.device("cuda"))
    for step in range(12):
        if step > WARM_UP:
            asynchronous()
        model.step(step)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
def test_the_check_for_finite_numbers_waits_for_nothing(asynchronous: Callable[[], None]) -> None:
    model = trainer(torch.device("cuda"), train__cuda_graph=False)
    loss = model.step(0)
    asynchronous()
    model.optimiser.step(1, loss)
