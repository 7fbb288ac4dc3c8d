"""Stops airkit at random moments, and checks what is left: ``python tools/crash.py --cases 30``.

make-data, train and eval run in processes of their own, which get SIGKILL, SIGTERM or SIGINT at
any moment, while they write a file, or while they load. Afterwards every file must be the old one
or the new one, and whole; and the same command, given again, must end as if nothing had stopped
it, bit for bit. A failure prints its case; ``--seed S --only CASE`` repeats it. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from crash_commands import Command, Ended, debris, make_commands

import airkit.cli.app

# The modules that the commands load, so that forks have them already.
import airkit.data.make
import airkit.evaluation.evaluate
import airkit.training.train
from airkit.system import files
from airkit.system.signals import STOPPING

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = ("any", "any", "write", "write", "write", "load")
"""When a signal is sent: any time, about a write, or while a new Python loads."""
AROUND_A_WRITE = 0.003
"""Seconds from the start or end of a flush to the disk in which the signal is sent."""
LOADING = 2.0
"""Seconds after airkit's first handler of signals that a new Python is given to load."""
PATIENCE = 120.0
"""Seconds after which a process is taken to hang."""


class Process:
    """The command line in a fork of this process, which has torch loaded, or in a new Python."""

    def __init__(self, words: list[str], folder: Path, *, fresh: bool = False) -> None:
        """Start it in ``folder``; its output goes to files beside that."""
        self.outputs = folder.with_name("out.txt"), folder.with_name("err.txt")
        for path in self.outputs:
            path.write_bytes(b"")
        self.began, self.flushes = time.perf_counter(), 0
        self._flushing, writing = os.pipe()  # a fork writes a byte before and after each flush
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self.pid = os.fork()
        if self.pid == 0:
            self._run(words, folder, writing, fresh)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        os.close(writing)

    def _run(self, words: list[str], folder: Path, flushing: int, fresh: bool) -> NoReturn:
        """Run the command line in the child, where signals are blocked at first."""
        os.setsid()
        os.chdir(folder)
        for number, path in enumerate(self.outputs, 1):
            os.dup2(os.open(path, os.O_WRONLY), number)
        for number in () if fresh else STOPPING:
            signal.signal(number, _leave)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "airkit", *words])
        sync = files.sync

        def announced_sync(path: Path) -> None:
            os.write(flushing, b".")
            sync(path)
            os.write(flushing, b".")

        files.sync = announced_sync
        sys.argv, code = ["airkit", *words], 1
        try:
            airkit.cli.run()
        except SystemExit as done:
            code = int(done.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def await_flush(self) -> bool:
        """Wait until a fork starts or ends to flush a file; False where it has ended."""
        flushes = bool(os.read(self._flushing, 1))
        self.flushes += flushes
        return flushes

    def await_handlers(self) -> None:
        """Wait until a new Python has come as far as airkit, which handles SIGTERM."""
        status = ""
        while "State:\tZ" not in status:
            time.sleep(0.0005)
            status = Path(f"/proc/{self.pid}/status").read_text()
            if int(status.partition("SigCgt:")[2].split()[0], 16) & 1 << signal.SIGTERM - 1:
                return

    def wait(self) -> Ended:
        """Wait for its end; raises AssertionError where it hangs."""
        late = time.perf_counter() + PATIENCE
        while not (ended := os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            if time.perf_counter() > late:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.001)
        seconds = time.perf_counter() - self.began
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while self.await_flush():
            pass
        os.close(self._flushing)
        out, err = (path.read_text() for path in self.outputs)
        assert seconds < PATIENCE, f"it hangs ({ended}); so far it said\n{err}"
        return Ended(code, out, err, seconds, self.flushes)


def _leave(*_: object) -> NoReturn:
    """Handle a signal that arrives before airkit handles it, in the same way."""
    os.write(2, b"airkit: interrupted\n")
    os._exit(130)


def finish(words: list[str], folder: Path) -> Ended:
    """Run a command that nothing disturbs."""
    ended = Process(words, folder).wait()
    assert ended.code == 0, f"undisturbed: exit code {ended.code}\n{ended.err}"
    assert "Traceback" not in ended.err, f"undisturbed: {ended.err}"
    return ended


class Case(NamedTuple):
    """One stop."""

    number: int
    command: Command
    signal: signal.Signals
    moment: str
    """One of ``MOMENTS``."""
    share: float
    """When, as a share of the command's time or of its flushes."""
    old: bool
    """Whether there is older work for the command to replace."""

    def __str__(self) -> str:
        over = " over older work" if self.old else ""
        when = f"{self.moment} {self.share:.3f}"
        return f"case {self.number}: {self.command.name}{over}, {self.signal.name}, {when}"


def draw(seed: int, number: int, commands: list[Command]) -> Case:
    """Return the case of a number; commands and signals take turns, the rest is random."""
    rng = random.Random(f"{seed}-{number}")
    command = commands[number % len(commands)]
    kind = SIGNALS[(number + number // len(commands)) % len(SIGNALS)]
    moment = rng.choice([each for each in MOMENTS if each != "write" or command.usual.flushes])
    old = command.can_replace and rng.random() < 0.5
    return Case(number, command, kind, moment, rng.random(), old)


def strike(case: Case, process: Process) -> None:
    """Wait for the moment of the case, and send its signal; a process that has ended is past it."""
    if case.moment == "write":
        position, part = divmod(case.share * case.command.usual.flushes, 1)
        for _ in range(1 + int(position)):
            process.await_flush()
        time.sleep(AROUND_A_WRITE * part)
    elif case.moment == "any":
        time.sleep(case.share * case.command.usual.seconds)
    else:
        if case.signal != signal.SIGKILL:
            process.await_handlers()  # before, Python itself answers
        time.sleep(case.share * (LOADING + case.command.usual.seconds))
    os.kill(process.pid, case.signal)


def try_out(case: Case, folder: Path) -> Ended:
    """Stop a command, check what it left, run it again and check; returns how it was stopped.

    Raises:
        AssertionError: something is not as it should be.
    """
    command = case.command
    words = [*command.words, *(command.over if case.old else ())]
    command.prepare(folder, case.old)
    process = Process(words, folder, fresh=case.moment == "load")
    strike(case, process)
    ended = process.wait()
    try:
        check_end(case, ended, folder)
        command.check_stopped(folder, ended, case.old)
    except Exception as error:
        raise AssertionError(f"{error!r}; it said\n{ended.out}{ended.err}") from error
    command.check_done(folder, finish(words, folder))
    return ended


def check_end(case: Case, ended: Ended, folder: Path) -> None:
    """Check the exit code and the last line; only SIGKILL leaves files of a process at work."""
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    if case.signal == signal.SIGKILL:
        assert ended.code in (0, -signal.SIGKILL), f"exit code {ended.code}"
        return
    assert debris(folder) == [], debris(folder)
    last = ended.err.rstrip("\n").rpartition("\n")[2]
    told = re.fullmatch(case.command.interrupted, last)
    assert ended.code == 0 or (ended.code == 130 and told), f"exit code {ended.code}, {last!r}"


def main() -> int:
    """Run the cases; returns how many were not clean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--only", type=int, help="the case of this number alone")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    os.environ.update(AIRKIT_OFFLINE="1", OMP_NUM_THREADS="1")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a script's background
    tell(f"seed {given.seed}")
    warm_up()
    ended: list[Ended | None] = []
    with tempfile.TemporaryDirectory(prefix="airkit-crash-") as world:
        commands = make_commands(Path(world).resolve(), finish)
        for number in range(given.cases) if given.only is None else [given.only]:
            with tempfile.TemporaryDirectory(dir=world) as name:
                (folder := Path(name).resolve() / "work").mkdir()
                case = draw(given.seed, number, commands)
                try:
                    ended.append(try_out(case, folder))
                except Exception as error:
                    tell(f"{case}\n{type(error).__name__}: {error}")
                    ended.append(None)
    finished = sum(each is not None and each.code == 0 for each in ended)
    failed = ended.count(None)
    tell(f"{len(ended) - failed} of {len(ended)} clean ({finished} ended before the signal)")
    return failed


def warm_up() -> None:
    """Load what torch loads at a first step, so that forks have it."""
    torch.set_num_threads(1)  # threads do not survive a fork
    layer = torch.nn.Linear(1, 1)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 1)).sum().backward()
    optimiser.step()


def tell(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
