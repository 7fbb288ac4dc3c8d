"""The crash harness: ``python tools/crash.py`` stops airkit at random moments, and looks.

make-data, train and eval run in processes of their own, which get SIGKILL, SIGTERM or SIGINT at
any moment, in the midst of a write, or while they load. Then every file must be the old one or
the new one, and whole; and the same command, given again, must end as if nothing had happened,
bit for bit. ``--seed`` with the number that was printed, and ``--only``, replay a failure.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import crash_processes as processes
from crash_commands import DONE, Command, debris, make_world
from crash_processes import Ended, Fork, Fresh, Process

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KINDS = {"any": 3, "write": 2, "load": 1}
"""Where a signal strikes, with weights: any moment, about a write, or in a fresh process."""

AROUND_A_WRITE = 0.003
"""Seconds after the begin of a flush in which a signal strikes."""


@dataclass(frozen=True)
class Timing:
    """What an undisturbed command takes."""

    seconds: float
    syncs: int


@dataclass(frozen=True)
class Case:
    """One stop: which command, which signal, where; ``moment`` is a share of what is possible."""

    number: int
    command: Command
    signal: signal.Signals
    kind: str
    old: bool
    moment: float
    delay: float

    @property
    def fresh(self) -> bool:
        """Whether a new Python runs it."""
        return self.kind == "load"

    def __str__(self) -> str:
        over = " over older work" if self.old else ""
        where = f"{self.kind} {self.moment:.3f}"
        return f"case {self.number}: {self.command.name}{over}, {self.signal.name}, {where}"


def draw(seed: int, number: int, commands: list[Command]) -> Case:
    """The case of a number; commands and signals take turns, the rest is drawn."""
    generator = random.Random(f"{seed}-{number}")
    command = commands[number % len(commands)]
    kinds = dict(KINDS)
    if command.name == "eval":
        del kinds["write"]  # it writes no file
    return Case(
        number=number,
        command=command,
        signal=SIGNALS[(number + number // len(commands)) % len(SIGNALS)],
        kind=generator.choices(list(kinds), list(kinds.values()))[0],
        old=generator.random() < 0.4 and bool(command.later),
        moment=generator.random(),
        delay=generator.uniform(0, AROUND_A_WRITE),
    )


@cache
def measure(command: Command, fresh: bool, world: Path) -> Timing:
    """Time a command that nothing disturbs, and check that it does what it must."""
    syncs = 0

    def count(process: Process) -> None:
        nonlocal syncs
        if isinstance(process, Fork):
            while os.read(process.syncs, 1):
                syncs += 1

    with tempfile.TemporaryDirectory(dir=world) as name:
        folder = Path(name) / "work"
        folder.mkdir()
        command.prepare(folder, old=False)
        began = time.perf_counter()
        ended = processes.run(_kind(fresh), command.given(old=False), folder, count)
        seconds = time.perf_counter() - began
        command.check_done(folder, ended)
    return Timing(seconds, syncs)


def _kind(fresh: bool) -> type[Fork | Fresh]:
    return Fresh if fresh else Fork


def strike(case: Case, timing: Timing, process: Process) -> None:
    """Wait for the moment of the case, and send its signal."""
    if case.kind == "write":
        processes.await_sync(process, 1 + int(case.moment * timing.syncs))
        time.sleep(case.delay)
    elif case.kind == "any":
        time.sleep(case.moment * timing.seconds)
    else:
        if case.signal != signal.SIGKILL:  # before, Python itself answers
            processes.await_handlers(process)
        time.sleep(case.moment * timing.seconds)
    processes.send(process, case.signal)


def try_out(case: Case, folder: Path, world: Path) -> Ended:
    """Stop the command, look, give it again and look; returns how the stopped one ended.

    Raises:
        AssertionError: something is not as it should be.
    """
    command, arguments = case.command, case.command.given(old=case.old)
    command.prepare(folder, old=case.old)
    timing = measure(command, case.fresh, world)
    ended = processes.run(
        _kind(case.fresh), arguments, folder, lambda process: strike(case, timing, process)
    )
    try:
        if case.signal == signal.SIGKILL:
            assert ended.code in (DONE, -signal.SIGKILL), f"exit code {ended.code}"
        else:
            command.check_exit(ended)
            assert debris(folder) == [], f"debris: {debris(folder)}"
        assert "Traceback" not in ended.err, "a traceback"
        assert "Exception ignored" not in ended.err, "a traceback"
        command.check_stopped(folder, ended, old=case.old)
    except Exception as error:
        raise AssertionError(f"{error!r}; it said\n{ended.out}{ended.err}") from error
    made = command.name == "make-data" and (folder / "data.h5").exists()
    rest = ["--force"] if made and "--force" not in arguments else []
    again = processes.run(Fork, [*arguments, *rest], folder)
    assert again.code == DONE, f"the second call: exit code {again.code}\n{again.err}"
    assert "Traceback" not in again.err, f"the second call: {again.err}"
    command.check_done(folder, again)
    return ended


def main(given: list[str] | None = None) -> int:
    """Run the cases; returns how many were not clean."""
    options = parse(given)
    numbers = range(options.cases) if options.only is None else [options.only]
    os.environ.update(AIRKIT_OFFLINE="1", OMP_NUM_THREADS="1")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # whatever this process itself was started with
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tell(f"seed {options.seed}")
    processes.warm_up()
    with tempfile.TemporaryDirectory(prefix="airkit-crash-") as name:
        world = Path(name).resolve()
        commands = make_world(world)
        cases = [draw(options.seed, number, commands) for number in numbers]
        codes = [_clean(case, world) for case in cases]
    failed, finished = codes.count(None), codes.count(DONE)
    tell(f"{len(cases) - failed} of {len(cases)} clean ({finished} ended before the signal)")
    return failed


def _clean(case: Case, world: Path) -> int | None:
    """Try a case out; returns the exit code of what was stopped, or None where all is not well."""
    with tempfile.TemporaryDirectory(dir=world) as name:
        folder = Path(name) / "work"
        folder.mkdir()
        try:
            return try_out(case, folder, world).code
        except Exception as error:
            tell(f"{case}\n{type(error).__name__}: {error}")
            return None


def parse(given: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--only", type=int, help="the case of this number alone")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    return parser.parse_args(given)


def tell(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
