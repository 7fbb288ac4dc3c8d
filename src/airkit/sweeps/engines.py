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
from typing import Any

from airkit.errors import AirkitError
from airkit.runs.sweep_folder import Trial
from airkit.sweeps.trial import run_trial
from airkit.system import files
from airkit.system.callbacks import SILENT
from airkit.system.signals import EXIT_CODE

POLL = 0.1
"""Seconds between looks at what runs."""

Ended = tuple[Trial, str | None]
"""A trial whose attempt ended, and why it failed; None where it did not."""


class Engine(ABC):
    """Runs trials side by side."""

    def check(self) -> None:  # noqa: B027 - most need none
        """Look whether it can run at all, before anything is done.

        Raises:
            AirkitError: it cannot.
        """

    @abstractmethod
    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        """Yield each trial when its attempt has ended; one that fails does not end the others.

        Args:
            trials: what to run.
            stop: whether a stop was asked for. Then no trial is begun any more, and those that
                run save, stop, and are not yielded.
        """


@dataclass
class _Worker:
    """A place for one process at a time."""

    environment: Mapping[str, str]
    running: tuple[Trial, subprocess.Popen[bytes]] | None = None
    logged: int = 0
    """Bytes in the trial's log before this attempt."""

    def start(self, trial: Trial, command: Sequence[str]) -> None:
        """Start a trial's process."""
        with files.writing(trial.log):
            trial.run.mkdir(parents=True, exist_ok=True)
            log = trial.log.open("ab")
        with log:
            self.logged = log.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # closed when this process ends, which stops that one
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,  # Ctrl-C is for the sweep, which stops its trials
            )
        self.running = trial, process

    def ended(self) -> Iterator[Ended]:
        """Yield the trial if its process has ended; there is room for another then."""
        assert self.running is not None
        trial, process = self.running
        code = process.poll()
        if code is not None:
            self.wait()
            yield trial, None if code == 0 else _failure(code, trial.log, self.logged)

    def terminate(self) -> None:
        """Ask a running trial to save and stop."""
        if self.running:
            self.running[1].terminate()

    def wait(self) -> None:
        """Wait until a running trial has ended."""
        if self.running:
            self.running[1].communicate()
        self.running = None


@dataclass
class Processes(Engine):
    """Processes on this machine: a crash in one, even of the interpreter, leaves the others."""

    workers: int | None = None
    """Processes at a time; by default one a GPU, where trials use them, or else one a CPU core."""
    threads: int | None = None
    """Threads of each; by default the cores are shared out among the workers."""

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        """See ``Engine.run``."""
        waiting = list(reversed(trials))
        workers = list(self._workers(trials))
        try:
            while (waiting or any(worker.running for worker in workers)) and not stop():
                for worker in workers:
                    if worker.running:
                        yield from worker.ended()
                    elif waiting:
                        trial = waiting.pop()
                        try:
                            worker.start(trial, self.command(trial))
                        except AirkitError as error:
                            yield trial, error.what
                time.sleep(POLL)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()

    def command(self, trial: Trial) -> Sequence[str]:
        """The command line that runs a trial."""
        return sys.executable, "-m", "airkit.cli.trial", str(trial.plan.folder), str(trial.seed)

    def _workers(self, trials: Sequence[Trial]) -> Iterator[_Worker]:
        """Workers with capped threads, and a GPU each: libraries read these when loaded."""
        device = trials[0].config.train.device
        gpus = visible_gpus(device)
        one = not gpus and device not in ("auto", "cpu")  # a device that all would share
        workers = self.workers or len(gpus) or (1 if one else cores())
        # Not by how many trials are left: another number of threads gives other bits.
        threads = str(self.threads or max(1, cores() // workers))
        capped = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        for number in range(min(workers, len(trials))):
            own = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
            yield _Worker({**capped, **own})


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus(device: str) -> list[str]:
    """GPUs to deal out, as CUDA_VISIBLE_DEVICES names them; none where ``device`` uses none."""
    import torch  # noqa: PLC0415 - what is asked of it takes a second to load

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return named if all(named) else [str(number) for number in range(torch.cuda.device_count())]


def _failure(code: int, log: Path, start: int) -> str:
    """Why an attempt failed, in a line: its signal, or what it printed last, from ``start`` on."""
    if code < 0:
        return f"killed by {_signal(-code)}"
    if code == EXIT_CODE:
        return "stopped by a signal"
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    said = [line for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("airkit: ")]
    last = [*said, *errors][-1:] or [f"exit code {code}"]
    return last[0].removeprefix("airkit: ")


def _signal(number: int) -> str:
    """Its name, or its number where it has none."""
    names = {member.value: member.name for member in signal.Signals}
    return names.get(number, f"signal {number}")


@dataclass(frozen=True)
class Job:
    """A trial as submitit runs it; a cluster may stop it and start it again."""

    trial: Trial
    threads: int

    def __call__(self) -> str | None:
        """Run the trial; returns why it failed, or None."""
        import torch  # noqa: PLC0415 - in the job only
        from submitit.core.utils import UncompletedJobError  # noqa: PLC0415

        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            # Slurm sends it ahead of a preemption; submitit has another signal for us then.
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
        """What submitit starts again after a preemption: the same, as runs go on by themselves."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415

        return DelayedSubmission(self)


@dataclass
class Submitit(Engine):
    """Jobs of submitit: on Slurm where it is found, else processes on this machine."""

    workers: int | None = None
    """Jobs at a time; by default all of them on Slurm, or one a core on this machine."""
    threads: int = 1
    """Threads of each."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What submitit's executor is told beyond that, such as slurm_partition."""

    def check(self) -> None:
        """See ``Engine.check``."""
        with tempfile.TemporaryDirectory() as folder:
            self._executor(Path(folder))

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        """See ``Engine.run``."""
        waiting = list(reversed(trials))
        running: list[tuple[Trial, Any]] = []
        executor = self._executor(trials[0].plan.folder / "jobs")
        most = self.workers or (len(trials) if executor.cluster == "slurm" else cores())
        try:
            while (waiting or running) and not stop():
                while waiting and len(running) < most:
                    trial = waiting.pop()
                    running.append((trial, _submitted(executor, Job(trial, self.threads))))
                done = [pair for pair in running if pair[1].done()]
                running = [pair for pair in running if pair not in done]
                yield from ((trial, _outcome(job)) for trial, job in done)
                time.sleep(POLL)
        finally:
            _cancel([job for _, job in running], local=executor.cluster == "local")

    def _executor(self, folder: Path) -> Any:
        try:
            import submitit  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise AirkitError(
                "The engine submitit is not installed",
                hint='pip install "airkit[cluster]", or leave out --engine for processes here',
            ) from error
        executor = submitit.AutoExecutor(folder)
        told = {"name": "airkit", "cpus_per_task": self.threads, "timeout_min": 24 * 60}
        try:
            executor.update_parameters(**{**told, **self.parameters})
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise AirkitError(
                "submitit does not take these parameters",
                got=" ".join(str(error).split()),
                hint="see the parameters of submitit.AutoExecutor",
            ) from error
        return executor


def _submitted(executor: Any, job: Job) -> Any:
    """Send a job; one on this machine does not hear the Ctrl-C that is for the sweep."""
    from submitit.core.utils import FailedJobError  # noqa: PLC0415

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        return executor.submit(job)
    except FailedJobError as error:
        raise AirkitError(
            "The cluster does not take a job",
            got=" ".join(str(error).split()),
            hint="see --job, and the parameters of submitit.AutoExecutor",
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def _cancel(jobs: Sequence[Any], *, local: bool) -> None:
    """Stop jobs; those on this machine save, and are waited for."""
    for job in jobs:
        if local:
            with suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGTERM)
        else:
            job.cancel(check=False)
    while local and not all(job.done() for job in jobs):
        time.sleep(POLL)


def _outcome(job: Any) -> str | None:
    """Why a job that is done failed, or None."""
    error = job.exception()
    return job.result() if error is None else f"{type(error).__name__}, see {job.paths.stderr}"
