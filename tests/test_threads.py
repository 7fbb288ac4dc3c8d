"""How many CPU threads a command computes on, and what of that a run keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from tiny_runs import Recorder, fit, go_on, reference, same, state, trained

from airkit.evaluation.evaluate import evaluate
from airkit.system import threads


@pytest.fixture(name="four", autouse=True)
def _four(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four threads that nobody has fixed; runs shared by all tests are made on one before."""
    assert reference()
    before = torch.get_num_threads()
    for name in threads.NAMES:
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        pytest.param({1: 1, 2: 0.55, 4: 0.3}, 4, id="large work on free cores"),
        pytest.param({1: 1, 2: 0.95, 4: 0.9}, 4, id="small work on free cores"),
        pytest.param({1: 1, 2: 1.2, 4: 1.4}, 4, id="threads that sleep on busy cores"),
        pytest.param({1: 1, 2: 20, 4: 60}, 1, id="threads that spin on busy cores"),
        pytest.param({1: 1, 2: 0.6, 4: 9}, 2, id="two of four cores are busy"),
        pytest.param({1: 1, 3: 9}, 1, id="no power of two"),
    ],
)
def test_threads_that_wait_for_each_other_are_left_out(
    seconds: Mapping[int, float], wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(max(seconds))
    clock = [0.0]
    monkeypatch.setattr("airkit.system.threads.time.perf_counter", lambda: clock[0])

    def work() -> None:
        clock[0] += seconds[torch.get_num_threads()]

    assert threads.paying(work) == wanted
    assert torch.get_num_threads() == max(seconds)


@pytest.mark.parametrize("name", threads.NAMES)
def test_a_number_in_the_environment_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not threads.fixed()
    monkeypatch.setenv(name, "4")
    assert threads.fixed()


def paying(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have so many threads pay, whatever this machine does."""

    def measured(work: Callable[[], object]) -> int:
        work()
        return number

    monkeypatch.setattr(threads, "paying", measured)


def test_a_new_run_takes_those_that_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding out leaves no trace: on one thread the run is that of a process with one."""
    paying(1, monkeypatch)
    listener = Recorder()
    fit(tmp_path, listener=listener)
    assert state(tmp_path).threads == 1
    assert [note for note in listener.notes if note.startswith("1 of 4 CPU threads: ")]
    assert same(state(tmp_path).model, state(reference()).model)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("now", [1, 4])
def test_a_run_keeps_its_number(now: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paying(2, monkeypatch)
    fit(tmp_path, train__steps=2)
    paying(now, monkeypatch)
    listener = Recorder()
    go_on(tmp_path, listener, train__steps=4)
    assert state(tmp_path, 4).threads == 2
    told = [note for note in listener.notes if "CPU threads" in note]
    assert len(told) == (1 if now == 1 else 0)
    assert all("OMP_NUM_THREADS=1" in note for note in told)


def test_a_run_that_does_not_depend_on_it_takes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying(2, monkeypatch)
    fit(tmp_path, train__steps=2, train__deterministic=True)
    paying(1, monkeypatch)
    listener = Recorder()
    go_on(tmp_path, listener, train__steps=4)
    assert state(tmp_path, 4).threads == 1
    assert not [note for note in listener.notes if "keep its bits" in note]


def test_more_threads_than_there_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paying(4, monkeypatch)
    fit(tmp_path, train__steps=2)
    torch.set_num_threads(2)
    paying(1, monkeypatch)
    listener = Recorder()
    go_on(tmp_path, listener, train__steps=4)
    assert state(tmp_path, 4).threads == 1
    assert "where the run had 4" in listener.notes[-1]


def test_evaluation_takes_one(tmp_path: Path) -> None:
    run, used = trained(tmp_path / "run"), set()

    class Watching(Recorder):
        def progress(self, task: str, done: int, total: int) -> None:
            used.add(torch.get_num_threads())

    evaluate(run, listener=Watching())
    assert used == {1}
    assert torch.get_num_threads() == 4
