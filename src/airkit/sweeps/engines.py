"""Where the trials of a sweep run: processes on this machine, or jobs of submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airkit.config.settings import named_classes, spelled
from airkit.errors import AirkitError, OutputError
from airkit.runs.sweep_folder import Trial
from airkit.sweeps.trial import run_trial
from airkit.system import files, threads
from airkit.system.callbacks import SILENT
from airkit.system.signals import EXIT_CODE, FROM_TERMINAL

POLL = 0.1
"""Seconds between checks of what runs."""

Ended = tuple[Trial, str | None]
"""A trial whose attempt ended, and why it failed; None where it did not fail."""


class Engine(ABC):
    """Runs trials side by side."""

    def check(self) -> None:  # noqa: B027 - most need none
        """Find out whether the engine can run at all, before anything is done.

        Raises:
            AirkitError: it cannot.
        """

    @abstractmethod
    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        """Yield each trial when its attempt has ended; one that fails does not end the others.

        Args:
            trials: what to run.
            stop: returns whether a stop was asked for. Then no more trials are started; those
                that run save, stop, and are not yielded.
        """


class _Running(Protocol):
    """A trial that runs: whether it has ended and why it failed; ``stop`` makes it save and end."""

    @property
    def done(self) -> bool: ...
    def failure(self) -> str | None: ...
    def stop(self) -> None: ...
    def wait(self) -> None: ...


def _side_by_side(
    trials: Sequence[Trial],
    most: int,
    start: Callable[[Trial, int], _Running],
    stop: Callable[[], bool],
) -> Iterator[Ended]:
    """Run at most ``most`` trials at a time; ``start`` is told which of so many places is free."""
    waiting = list(reversed(trials))
    running: dict[int, tuple[Trial, _Running]] = {}
    try:
        while (waiting or running) and not stop():
            for place in range(most):
                if place in running and running[place][1].done:
                    trial, ended = running.pop(place)
                    yield trial, ended.failure()
                if place not in running and waiting:
                    trial = waiting.pop()
                    try:
                        running[place] = trial, start(trial, place)
                    except OutputError as error:  # its folder, not the others'
                        yield trial, error.what
            time.sleep(POLL)
    finally:
        for _, each in running.values():
            each.stop()
        for _, each in running.values():
            each.wait()


@dataclass
class Processes(Engine):
    """Processes on this machine: a crash in one, even of the interpreter, leaves the others."""

    workers: int | None = None
    """Processes at a time; by default one a GPU, where trials may use any, one alone for a device
    that is named by number or is mps, and else one a CPU core."""
    threads: int | None = None
    """Threads of each; by default the cores are shared out among the workers."""

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        """See ``Engine.run``."""
        device = trials[0].config.train.device
        gpus = visible_gpus(device)
        shared = not gpus and device not in ("auto", "cpu")  # a device that all would share
        workers = self.workers or len(gpus) or (1 if shared else cores())
        capped = self._environment(workers)

        def start(trial: Trial, place: int) -> _Running:
            own = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {}
            return _Process(trial, self.command(trial), {**capped, **own})

        yield from _side_by_side(trials, min(workers, len(trials)), start, stop)

    def _environment(self, workers: int) -> dict[str, str]:
        """Return the environment of each process, which says how many threads it has.

        Where ``threads`` is None, it is a share of the cores, but no more than the environment
        allows; a worker that has all of them finds out itself how many pay.
        """
        # Not by how many trials are left: another number of threads gives other bits.
        allowed = [int(it) for it in map(os.environ.get, threads.NAMES) if it and it.isdecimal()]
        if self.threads is None and workers == 1 and not allowed:
            return {**os.environ}
        number = self.threads or max(1, min([cores() // workers, *allowed]))
        return {**os.environ, **dict.fromkeys(threads.NAMES, str(number))}

    def command(self, trial: Trial) -> Sequence[str]:
        """Return the command line that runs a trial.

        Classes from outside that the person named for the sweep are named on it: the trial's
        process imports none that only the sweep's files name.
        """
        named = [f"{key}={spelled(value)}" for key, value in named_classes(trial.config).items()]
        folder, seed = str(trial.plan.folder), str(trial.seed)
        return sys.executable, "-m", "airkit.cli.trial", folder, seed, *named


class _Process:
    """The process of a trial; it appends what it prints to the trial's log."""

    def __init__(
        self, trial: Trial, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.log = trial.log
        with files.writing(self.log):
            trial.run.mkdir(parents=True, exist_ok=True)
            log = self.log.open("ab")
        with log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # closed when this process ends, which stops that one
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the sweep, which stops its trials
            )

    @property
    def done(self) -> bool:
        return self.process.poll() is not None

    def failure(self) -> str | None:
        """In one line: the signal that killed it, or its error message, or its last output."""
        self.wait()
        code = self.process.returncode
        if code == 0:
            return None
        if code < 0:
            names = {member.value: member.name for member in signal.Signals}
            return f"killed by {names.get(-code, f'signal {-code}')}"
        if code == EXIT_CODE:
            return "stopped by a signal"
        printed = self.log.read_bytes()[self.log_start :].decode(errors="replace")
        lines = [line for line in printed.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("airkit: ")]
        last = [f"exit code {code}", *lines, *errors][-1]
        return last.removeprefix("airkit: ")

    def stop(self) -> None:
        self.process.terminate()

    def wait(self) -> None:
        self.process.communicate()  # closes its pipe, too


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus(device: str) -> list[str]:
    """Return GPUs as CUDA_VISIBLE_DEVICES names them, one for each worker; none for other devices.

    Args:
        device: ``train.device``; only ``auto`` and ``cuda`` leave the choice of a GPU open.
    """
    import torch  # noqa: PLC0415 - takes a second to load

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return []
    named, many = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","), torch.cuda.device_count()
    return named[:many] if all(named) else [*map(str, range(many))]


@dataclass
class Submitit(Engine):
    """Jobs of submitit: on Slurm where it is found, else processes on this machine."""

    workers: int | None = None
    """Jobs at a time; by default all of them on Slurm, or one a core on this machine."""
    threads: int = 1
    """Threads of each."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of submitit's executor, such as slurm_partition."""

    def check(self) -> None:
        """See ``Engine.check``."""
        with tempfile.TemporaryDirectory() as folder:
            self._executor(Path(folder))

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        """See ``Engine.run``."""
        executor = self._executor(trials[0].plan.folder / "jobs")
        local = executor.cluster == "local"
        most = self.workers or (cores() if local else len(trials))

        def start(trial: Trial, place: int) -> _Running:
            del place
            return _Submitted(_submit(executor, Job(trial, self.threads)), local)

        yield from _side_by_side(trials, min(most, len(trials)), start, stop)

    def _executor(self, folder: Path) -> Any:
        try:
            import submitit  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise AirkitError(
                "The engine submitit is not installed",
                hint='pip install "airkit[cluster]", or leave out --engine for processes here',
            ) from error
        executor = submitit.AutoExecutor(folder)
        defaults = {"name": "airkit", "cpus_per_task": self.threads, "timeout_min": 24 * 60}
        try:
            executor.update_parameters(**{**defaults, **self.parameters})
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise AirkitError(
                "submitit does not accept these parameters",
                got=" ".join(str(error).split()),
                hint="see the parameters of submitit.AutoExecutor",
            ) from error
        return executor


@dataclass(frozen=True)
class Job:
    """A trial as submitit runs it; a cluster may stop it and start it again.

    submitit pickles it, with the classes from outside that the person named for the sweep.
    """

    trial: Trial
    threads: int

    def __call__(self) -> str | None:
        """Run the trial; returns why it failed, or None."""
        import torch  # noqa: PLC0415 - in the job only
        from submitit.core.utils import UncompletedJobError  # noqa: PLC0415

        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            # Slurm sends it ahead of a preemption, for which submitit has another signal.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        torch.set_num_threads(self.threads)
        try:
            return None if run_trial(self.trial, SILENT) else "stopped by a signal"
        except UncompletedJobError:  # by which submitit ends a job that timed out too often
            raise
        except AirkitError as error:
            return error.what
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def checkpoint(self) -> Any:
        """Return what submitit starts after a preemption: the same job, as a run goes on itself."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415

        return DelayedSubmission(self)


@dataclass
class _Submitted:
    """A job of submitit."""

    job: Any
    local: bool

    @property
    def done(self) -> bool:
        return bool(self.job.done())

    def failure(self) -> str | None:
        """What the job returned, or the error that ended it."""
        error = self.job.exception()
        if error is not None:
            return f"{type(error).__name__}, see {self.job.paths.stderr}"
        returned: str | None = self.job.result()
        return returned

    def stop(self) -> None:
        if self.local:
            with suppress(ProcessLookupError):
                os.kill(int(self.job.job_id), signal.SIGTERM)
        else:
            self.job.cancel(check=False)  # it saves nothing more

    def wait(self) -> None:
        while self.local and not self.job.done():
            time.sleep(POLL)


def _submit(executor: Any, job: Job) -> Any:
    """Submit a job; on this machine it must not get what its terminal sends the sweep."""
    from submitit.core.utils import FailedJobError  # noqa: PLC0415

    main = threading.current_thread() is threading.main_thread()
    heard = FROM_TERMINAL if main else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in heard}
    try:
        return executor.submit(job)
    except FailedJobError as error:
        raise AirkitError(
            "The cluster does not accept a job",
            got=" ".join(str(error).split()),
            hint="see --job, and the parameters of submitit.AutoExecutor",
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
