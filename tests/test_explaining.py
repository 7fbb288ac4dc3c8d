"""Long evaluations are shared out among processes, and find the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_infer import canvases, skilled
from tiny_runs import Recorder

import airkit
from airkit.config.schema import Config
from airkit.evaluation import explaining
from airkit.evaluation.evaluate import Evaluation
from airkit.runs.trained import open_run
from airkit.system import memory
from airkit.system.callbacks import SILENT
from airkit.system.workers import in_processes

SMALL = {"eval.batch_size": 3, "eval.looks": 3}
"""Several batches of the tiny canvases."""


@pytest.fixture(name="used")
def _used(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Everything takes long, on two threads; numbers of processes that were used."""
    assert skilled()
    used, before = list[int](), torch.get_num_threads()

    def noted(work: Any, tasks: Any, many: int) -> Any:
        used.append(many)
        return in_processes(work, tasks, many)

    monkeypatch.setattr(explaining, "in_processes", noted)
    monkeypatch.setattr(explaining, "LONG", 0.0)
    torch.set_num_threads(2)
    yield used
    torch.set_num_threads(before)
    assert multiprocessing.active_children() == []


def evaluated(given: Mapping[str, Any] = SMALL) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """The measures of the skilled run, and what it found on each canvas."""
    evaluation = Evaluation(open_run(skilled(), None, "best", given, SILENT)).all(SILENT)
    measures = evaluation.measures(skilled()).to_dict()
    return measures | {"seconds": 0}, [[*each] for each in evaluation.per_canvas]


def test_an_evaluation_in_processes_is_the_same(used: list[int]) -> None:
    threads = torch.get_num_threads()
    there = evaluated()
    assert used == [2]
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    here = evaluated()
    assert used == [2]
    assert here[0] == there[0]
    for ours, theirs in zip(here[1], there[1], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_pictures_are_counted_the_same_in_processes(home: Path, used: list[int]) -> None:
    np.save("test.npy", canvases())
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        counted = airkit.infer("test.npy", skilled(), settings=SMALL)
        predicted = airkit.predict(run=skilled(), settings=SMALL)
        found.append((counted, predicted.arrays))
    assert used == [2, 2]
    (one, arrays), (other, theirs) = found
    assert list(one) == list(other)
    assert arrays.keys() == theirs.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, theirs[name])


def test_an_evaluation_that_is_given_up_ends_its_workers(used: list[int]) -> None:
    class Stopping(Recorder):
        def progress(self, task: str, done: int, total: int) -> None:
            if multiprocessing.active_children():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        airkit.evaluate(skilled(), settings=SMALL, listener=Stopping())
    assert used == [2]


@pytest.mark.slow
def test_what_a_worker_that_is_killed_had_to_do_is_done_here(used: list[int]) -> None:
    class Killing(Recorder):
        def progress(self, task: str, done: int, total: int) -> None:
            for each in multiprocessing.active_children():
                each.kill()

    whole = evaluated()[0]
    evaluation = Evaluation(open_run(skilled(), None, "best", SMALL, SILENT)).all(Killing())
    assert evaluation.measures(skilled()).to_dict() | {"seconds": 0} == whole
    assert used == [2, 2]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (explaining, {"LONG": 60.0}),
        (explaining, {"MOST": 1}),
        (memory, {"available": lambda *_: (1.5 * explaining.MEMORY, "")}),
        (Config, {"has_outside": True}),
        (torch, {"get_num_threads": lambda: 1}),
        (multiprocessing, {"current_process": lambda: SimpleNamespace(daemon=True)}),
    ],
)
def test_work_that_is_done_in_one_process(
    what: Any, why: dict[str, Any], used: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in why.items():
        monkeypatch.setattr(what, name, value)
    evaluated()
    assert used == []


def test_no_more_processes_than_batches(used: list[int]) -> None:
    torch.set_num_threads(4)
    evaluated({"eval.batch_size": 8})  # of 20 canvases
    assert used == [2]
