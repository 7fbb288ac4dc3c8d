"""Processes to stop: airkit's command line in forks of this one, or in fresh ones.

A fork has torch loaded already and begins at once; it is as much a process of its own as a fresh
one, with a group, signals, locks and files of its own. Needs a POSIX system.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

import airkit.cli.app

# The modules that the commands load, so that forks have them.
import airkit.data.make
import airkit.evaluation
import airkit.training.loop
from airkit.cli import process as cli_process
from airkit.system import files
from airkit.system.signals import STOPPING

PATIENCE = 120.0
"""Seconds after which a process is taken to hang."""


@dataclass(frozen=True)
class Ended:
    """How a process ended; a negative code is the signal that killed it."""

    code: int
    out: str
    err: str


class Process(Protocol):
    """A process that runs."""

    @property
    def pid(self) -> int | None:
        """Its number."""

    def is_running(self) -> bool:
        """Whether it has not ended."""

    def wait(self) -> int:
        """Its exit code, once it has ended."""


class Fresh:
    """A new Python that runs the command line."""

    def __init__(self, arguments: list[str], folder: Path, out: Path, err: Path) -> None:
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airkit", *arguments],
                cwd=folder,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(PATIENCE)


class Fork:
    """A fork of this process that runs the command line.

    It writes a byte to ``syncs`` each time before it flushes a file to the disk.
    """

    def __init__(self, arguments: list[str], folder: Path, out: Path, err: Path) -> None:
        self.syncs, writing = os.pipe()
        context = multiprocessing.get_context("fork")
        given = (arguments, folder, out, err, writing)
        self._process = context.Process(target=_run_in_fork, args=given)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self._process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        os.close(writing)
        self.pid = self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self._process.join(PATIENCE)
        os.close(self.syncs)
        code = self._process.exitcode
        if code is None:
            raise TimeoutError
        return code


def warm_up() -> None:
    """Load what torch loads at a first step, so that forks begin with it."""
    torch.set_num_threads(1)  # threads do not survive a fork
    layer = torch.nn.Linear(1, 1)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 1)).sum().backward()
    optimiser.step()


def run(
    kind: type[Fresh | Fork],
    arguments: list[str],
    folder: Path,
    meanwhile: Callable[[Process], None] | None = None,
) -> Ended:
    """Run a command in ``folder``, call ``meanwhile``, and wait for the end."""
    out, err = folder.with_name("out.txt"), folder.with_name("err.txt")
    process = kind(arguments, folder, out, err)
    try:
        if meanwhile is not None:
            meanwhile(process)
        code = process.wait()
    except (TimeoutError, subprocess.TimeoutExpired):
        send(process, signal.SIGKILL)
        process.wait()
        raise AssertionError(f"it hangs; so far it said\n{err.read_text()}") from None
    return Ended(code, out.read_text(), err.read_text())


def send(process: Process, number: int) -> None:
    """Send a signal, unless the process has ended."""
    if process.is_running() and process.pid is not None:
        os.kill(process.pid, number)


def await_handlers(process: Process) -> None:
    """Wait until a fresh process has come as far as airkit, which catches SIGTERM."""
    status = Path(f"/proc/{process.pid}/status")
    while process.is_running() and status.exists():
        lines = dict(line.split(":\t") for line in status.read_text().splitlines())
        if int(lines.get("SigCgt", "0"), 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.0005)


def await_sync(process: Process, number: int) -> None:
    """Wait until a fork is about to flush its ``number``-th file to the disk, or has ended."""
    assert isinstance(process, Fork)
    while number > 0 and os.read(process.syncs, 1):
        number -= 1


def _run_in_fork(arguments: list[str], folder: Path, out: Path, err: Path, syncs: int) -> None:
    os.setsid()
    for path, number in ((out, 1), (err, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(folder)
    sync = files.sync

    def told(path: Path) -> None:
        os.write(syncs, b".")
        sync(path)

    files.sync = told
    sys.argv = ["airkit", *arguments]
    cli_process.handle(cli_process.leave)  # as ``run`` does: signals came to no one until here
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    airkit.cli.run()
