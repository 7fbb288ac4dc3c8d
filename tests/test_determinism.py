"""The same weights, bit for bit: whatever is looked at, whatever else draws, on any threads."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import (
    COMBINATIONS,
    SEARCH,
    STEPS,
    TRAIN,
    CrashError,
    Recorder,
    assert_as_if_never_stopped,
    crash,
    data_file,
    fit,
    go_on,
    interrupt,
    options,
    reference,
    same,
    state,
    trained,
    uninterrupted,
)

from airkit.evaluation.evaluate import evaluate
from airkit.figures.render import render
from airkit.runs import checkpoint
from airkit.runs.describe import describe
from airkit.runs.folder import RunFolder
from airkit.system.device import SAME_BITS


def generators() -> tuple[Any, ...]:
    """The states of all global generators."""
    numpy: Any = np.random.get_state(legacy=False)
    return random.getstate(), str(numpy), torch.get_rng_state().numpy().tobytes()


class Drawing(Recorder):
    """Draws from every global generator after each step, and checks that no step did."""

    def __init__(self, **at: Any) -> None:
        super().__init__(**at)
        self.states = generators()

    def progress(self, task: str, done: int, total: int) -> None:
        assert generators() == self.states
        draws = random.random(), np.random.rand(), torch.rand(())
        assert draws
        self.states = generators()
        super().progress(task, done, total)


# What else happens in the process


@pytest.mark.parametrize(
    ("guide", "estimator", "end"),
    [
        ("saliency", "exact", interrupt),
        ("saliency", "nvil", crash),
        ("lstm", "exact", crash),
        ("lstm", "nvil", interrupt),
    ],
)
def test_global_generators(
    guide: str, estimator: str, end: Callable[[], None], tmp_path: Path
) -> None:
    """They are left alone, however the training ends, and do not matter to it."""
    for generator in (random.seed, np.random.seed, torch.manual_seed):
        generator(3)
    listener = Drawing(step15=end)
    with suppress(CrashError):
        fit(tmp_path, listener=listener, **options(guide, estimator))
    assert generators() == listener.states
    go_on(tmp_path, Drawing())
    assert_as_if_never_stopped(tmp_path, uninterrupted(guide, estimator))


@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_measuring_and_drawing_in_between(estimator: str, tmp_path: Path) -> None:
    """In the process of the training, between its steps and between its calls."""
    keys = options("saliency", estimator)

    def look() -> None:
        describe(tmp_path)
        evaluate(tmp_path, settings={"eval.candidates": SEARCH})
        render(tmp_path, out=tmp_path / "figures" / "one.png")

    fit(tmp_path, listener=Recorder(step6=look, step11=interrupt), **keys)
    look()
    go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path, uninterrupted("saliency", estimator))


# Deterministic algorithms


def chosen() -> tuple[Any, ...]:
    """What ``train.deterministic`` switches."""
    memory: Any = torch.utils.deterministic
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
        *map(os.environ.get, SAME_BITS),
    )


@pytest.mark.parametrize("callers", [(False, False), (True, True), (True, False)])
def test_on_while_training_and_put_back(
    callers: tuple[bool, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's choices, and variables that are set, stay."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    torch.use_deterministic_algorithms(callers[0], warn_only=callers[1])
    before = chosen()
    try:
        for wanted, end in ((True, interrupt), (True, crash), (False, interrupt)):
            listener = Recorder(step2=lambda: seen.append(chosen()), step3=end)
            with suppress(CrashError):
                fit(tmp_path, fresh=True, listener=listener, train__deterministic=wanted)
            assert chosen() == before
    finally:
        torch.use_deterministic_algorithms(False)
    on = (True, False, False, ":4096:8", "COMPATIBLE")
    assert seen == [on, on, before]


def test_the_switch_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    fit(tmp_path, listener=Recorder(step10=interrupt), train__deterministic=True)
    listener = Recorder()
    go_on(tmp_path, listener, train__deterministic=False)
    assert listener.notes == [f"going on from step 10 of {tmp_path}"]
    assert same(state(tmp_path).model, state(reference()).model)


# Threads

MKL: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]


@pytest.mark.skipif(not MKL, reason="PyTorch without MKL cannot promise it")
@pytest.mark.slow
def test_any_number_of_threads(tmp_path: Path) -> None:
    """In a fresh process, as MKL reads its environment once."""
    sizes = {"train.steps": 2, "train.batch_size": 60, "model.hidden_size": 64}
    given = {**TRAIN, **sizes, "train.deterministic": True}
    script = f"""
import airkit, torch
for threads in (1, 2):
    torch.set_num_threads(threads)
    run = {str(tmp_path)!r} + f"/{{threads}}"
    airkit.train({str(data_file())!r}, run, settings={given!r})
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
    one, two = (state(tmp_path / threads, 2) for threads in ("1", "2"))
    assert (one.threads, two.threads) == (1, 2)
    assert same(one.model, two.model)


@pytest.fixture(name="two_threads")
def _two_threads() -> Iterator[None]:
    assert reference()  # made on one, for all tests
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_another_number_of_threads_is_noted(tmp_path: Path) -> None:
    run, listener = trained(tmp_path / "run"), Recorder()
    go_on(run, listener, train__steps=STEPS + 1)
    assert "2 CPU threads where the run had 1" in listener.notes[1]
    assert "OMP_NUM_THREADS=1" in listener.notes[1]
    assert state(run, STEPS + 1).threads == 2


@pytest.mark.usefixtures("two_threads")
def test_where_threads_are_not_noted(tmp_path: Path) -> None:
    """A run with nothing to do, one that does not depend on them, and one of an older airkit."""
    run, listener = trained(tmp_path / "run"), Recorder()
    go_on(run, listener)
    go_on(run, listener, train__steps=STEPS + 1, train__deterministic=True)
    path = RunFolder(run).file(STEPS + 1)
    loaded = torch.load(path, weights_only=True)
    del loaded["threads"]
    torch.save(loaded, path)
    assert checkpoint.read(path).threads is None
    go_on(run, listener, train__steps=STEPS + 2, train__deterministic=False)
    assert not [note for note in listener.notes if "CPU threads" in note]


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_the_same_weights_on_a_gpu(guide: str, estimator: str, tmp_path: Path) -> None:
    """Twice from start to end, and once with a stop; no operation of any is refused."""
    keys = {**options(guide, estimator), "train__device": "cuda", "train__deterministic": True}
    for name in ("one", "two"):
        fit(tmp_path / name, **keys)
    fit(tmp_path / "three", listener=Recorder(step10=interrupt), **keys)
    go_on(tmp_path / "three")
    for name in ("two", "three"):
        assert_as_if_never_stopped(tmp_path / name, tmp_path / "one")
