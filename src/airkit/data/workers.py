"""Worker processes that make parts of a data file, in order and only a little ahead.

Each worker makes every n-th part and waits until the last one was taken from it, so that memory
does not grow with the number of canvases. It ends when nobody listens any more, however that
came about.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import ModuleType

from airkit.config.schema import DataConfig
from airkit.data.compose import compose
from airkit.data.packing import Packed, pack
from airkit.data.sources import Digits
from airkit.errors import CanvasError
from airkit.system.signals import STOPPING


@dataclass(frozen=True)
class Part:
    """Canvases ``start`` to ``stop`` (excluded) of a split."""

    split: str
    start: int
    stop: int


@dataclass(frozen=True)
class Job:
    """What canvases are made of."""

    data: DataConfig
    pools: Mapping[str, Digits]

    def make(self, part: Part) -> Packed:
        """Compose and pack a part."""
        pool = self.pools[part.split]
        canvases = compose(self.data, part.split, pool, part.start, part.stop)
        return pack(self.data, part.split, canvases)


def made(job: Job, parts: Sequence[Part], workers: int) -> Generator[Packed]:
    """Yield all parts in order, made here or, for more than one worker, in processes.

    Raises:
        CanvasError: the canvases cannot be composed as asked, or a worker was ended.
    """
    if workers == 1:
        yield from map(job.make, parts)
        return
    team: list[_Worker] = []
    try:
        for number in range(min(workers, len(parts))):
            team.append(_Worker(number))  # noqa: PERF401 - whoever started is ended
        for worker in team:
            worker.send((job, parts[worker.number :: len(team)]))
        for place in range(len(parts)):
            yield team[place % len(team)].receive()
    finally:
        for worker in team:
            worker.end()


class _Worker:
    """A worker as its employer sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        context = multiprocessing.get_context("spawn")  # at home everywhere, and beside threads
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        with theirs:
            _start(self._process)

    def send(self, content: object) -> None:
        """Hand over what it needs."""
        with self._attended():
            self._line.send(content)

    def receive(self) -> Packed:
        """Wait for its next part, or the error that came of it."""
        with self._attended():
            result = self._line.recv()
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, Packed)
        return result

    @contextmanager
    def _attended(self) -> Iterator[None]:
        """Tell of a worker that is no longer there."""
        try:
            yield
        except (EOFError, OSError) as error:
            self._process.join()
            raise CanvasError(
                "A worker process ended before its work was done",
                where=f"worker {self.number + 1}",
                expected="canvases",
                got=f"exit code {self._process.exitcode}",
                hint="fewer --workers, if memory ran out",
            ) from error

    def end(self) -> None:
        """End it wherever it is: it has nothing to tidy up."""
        self._line.close()
        self._process.kill()
        self._process.join()


def _start(process: SpawnProcess) -> None:
    """Start a worker, deaf to signals: those are for its employer, who ends it.

    Python would import the main module there too, and run a script that does not expect it.
    """
    main = sys.modules["__main__"]
    try:
        with _deaf():
            sys.modules["__main__"] = ModuleType("__main__")
            process.start()
    except OSError as error:
        raise CanvasError(
            "Cannot start a worker process", got=error.strerror or error, hint="fewer --workers"
        ) from error
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _deaf() -> Iterator[None]:
    """Hold back the signals that ask to stop, from processes started inside for good."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - not on Windows

    resource_tracker.ensure_running()  # else the first process starts it, and hears again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(line: Connection) -> None:
    """Make the parts that come down the line, until nobody is at its other end."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # on Windows nothing holds them back
    with suppress(EOFError, OSError):
        job, parts = line.recv()
        for part in parts:
            try:
                result: Packed | Exception = job.make(part)
            except Exception as error:
                result = error
            line.send(result)
