"""A small sweep for the tests, made once a session, and an engine without processes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tiny_runs import TRAIN, Recorder, data_file, folder

from airkit.runs.sweep_folder import Trial
from airkit.sweeps.engines import Ended, Engine, Processes
from airkit.sweeps.sweep import sweep
from airkit.sweeps.trial import run_trial


class InTurn(Engine):
    """Runs trials in this process, but for the seeds that are to fail or to stop it."""

    def __init__(self, *, fail: Sequence[int] = (), stop_at: int | None = None) -> None:
        self.fail, self.stop_at = fail, stop_at
        self.ran: list[int] = []

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        for trial in trials:
            if trial.seed == self.stop_at:
                signal.raise_signal(signal.SIGTERM)
            if stop():
                return
            self.ran.append(trial.seed)
            if trial.seed in self.fail:
                yield trial, "killed by SIGKILL"
            else:
                assert run_trial(trial, Recorder())
                yield trial, None


@cache
def swept() -> Path:
    """A sweep of two seeds: one in this process, then one by a process of its own."""
    path = folder() / "sweep"
    sweep(data_file(), path, seeds=1, settings=TRAIN, engine=InTurn())
    engine = Processes(workers=1, threads=1)  # the same bits as in this process
    sweep(folder=path, seeds=2, engine=engine)
    return path


def report(path: Path) -> dict[str, Any]:
    """The content of a sweep's report.json."""
    found: dict[str, Any] = json.loads((path / "report.json").read_text())
    return found
