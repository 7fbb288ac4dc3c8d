"""Worker processes: results in order, in bounded memory, and none that is left behind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airkit.errors import WorkerError
from airkit.system.workers import AHEAD, in_processes


def slow_at_first(number: int) -> int:
    """The square of a number; of 0 it takes long."""
    time.sleep(0.5 * (number == 0))
    return number**2


@pytest.mark.parametrize(("many", "tasks"), [(1, 3), (3, 20), (2, 1), (2, 0)])
def test_results_come_in_the_order_of_the_tasks(many: int, tasks: int) -> None:
    found = in_processes(slow_at_first, range(tasks), many)
    assert list(found) == [number**2 for number in range(tasks)]
    assert multiprocessing.active_children() == []


def test_an_error_comes_in_its_place() -> None:
    """Of two, that of the first task that failed, after the results before it."""
    found = in_processes(int, ["1", "2", "x", "y"], 2)
    assert (next(found), next(found)) == (1, 2)
    with pytest.raises(ValueError, match="'x'") as error:
        next(found)
    assert "result: Any = work(task)" in error.value.__notes__[0]  # where it was raised
    assert multiprocessing.active_children() == []


def test_tasks_are_read_as_workers_become_free() -> None:
    read = 0

    def tasks() -> Iterator[int]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield number

    with closing(in_processes(slow_at_first, tasks(), 2)) as found:
        for number in range(20):
            assert next(found) == number**2
            assert read <= number + 1 + 2 * AHEAD
    assert multiprocessing.active_children() == []


def test_a_worker_that_dies() -> None:
    with pytest.raises(WorkerError) as error:
        list(in_processes(os._exit, [1], 2))
    assert error.value.what == "A worker process failed"
    assert "memory" in error.value.hint
    assert multiprocessing.active_children() == []


SCRIPT = """
import operator
from airkit.system.workers import in_processes

found = in_processes(operator.neg, range(100), 2)
print(next(found))
raise SystemExit(3)
"""


def test_a_script_that_ends_amid_the_results(tmp_path: Path) -> None:
    """It needs no guard, and no worker keeps it from ending."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "0\n", "")
