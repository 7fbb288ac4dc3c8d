"""How many CPU threads to compute on: fewer where they wait for each other on busy cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a person fixes the number."""
MUCH = 3 / 4
"""Half as many threads are taken where the work then takes less than this share of the time."""
_ROUNDS = 2


@contextmanager
def restored() -> Iterator[None]:
    """Restore PyTorch's number of CPU threads at the end."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fixed() -> bool:
    """Return whether the number stays as it is: the environment sets it, or it is one."""
    return torch.get_num_threads() == 1 or any(map(os.environ.get, NAMES))


def paying(work: Callable[[], object]) -> int:
    """Return how many threads to take for ``work``: halved while that saves much time.

    Threads synchronise after every operation. Where another program occupies a core, one of them
    is late each time; spinning makes that worse.
    """
    number = torch.get_num_threads()
    with restored():
        while number > 1 and _saves(work, number // 2, number):
            number //= 2
    return number


def note(number: int) -> str:
    """Return what to say of fewer threads than there are."""
    return (
        f"{number} of {torch.get_num_threads()} CPU threads: other programs keep the cores busy, "
        "and more would wait for each other"
    )


def _saves(work: Callable[[], object], few: int, many: int) -> bool:
    """Whether ``work`` takes much less time on ``few`` threads, in rounds that take turns."""
    spent = {few: 0.0, many: 0.0}
    for turn in range(1 + _ROUNDS):
        for number in spent:
            torch.set_num_threads(number)
            began = time.perf_counter()
            work()
            if turn:  # the first call prepares kernels, and starts the threads
                spent[number] += time.perf_counter() - began
    return spent[few] < MUCH * spent[many]
