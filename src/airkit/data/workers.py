"""Making the parts of a data file, in this process or in several.

Each of n worker processes makes every n-th part, and sends one only when the one before it has
been received, so that memory does not grow with the number of canvases.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from types import ModuleType
from typing import NamedTuple, Protocol

from airkit.config.schema import DataConfig
from airkit.data.canvases import Canvases
from airkit.data.format import Arrays, Packed, pack
from airkit.data.sources import Origin
from airkit.errors import CanvasError
from airkit.system.signals import STOPPING


class Composer(Protocol):
    """Makes canvases; it is sent to worker processes."""

    @property
    def origin(self) -> Origin:
        """What the data file records of the source."""

    @property
    def arrays(self) -> Arrays:
        """The arrays of each split."""

    def compose(self, split: str, start: int, stop: int) -> Canvases:
        """Compose canvases ``start`` to ``stop`` (excluded) of ``split``.

        Raises:
            CanvasError: they cannot be composed as asked.
        """


class Part(NamedTuple):
    """Canvases ``start`` to ``stop`` (excluded) of a split."""

    split: str
    start: int
    stop: int


def _make(data: DataConfig, composer: Composer, part: Part) -> Packed:
    """Compose and compress a part."""
    return pack(data, part.split, composer.compose(part.split, part.start, part.stop))


def make_parts(
    data: DataConfig, composer: Composer, parts: Sequence[Part], workers: int
) -> Generator[Packed]:
    """Yield the packed parts in order, made here or, for more than one worker, in processes.

    Raises:
        CanvasError: the canvases cannot be composed as asked, or a worker process failed.
    """
    if workers <= 1:
        yield from (_make(data, composer, part) for part in parts)
        return
    count = min(workers, len(parts))
    try:
        with ExitStack() as stack:
            lines = [stack.enter_context(_worker()) for _ in range(count)]
            for number, line in enumerate(lines):
                line.send((data, composer, parts[number::count]))
            for place in range(len(parts)):
                result = lines[place % count].recv()
                if isinstance(result, Exception):
                    raise result
                yield result
    except (EOFError, OSError) as error:
        got = str(error) or "it was ended from outside"
        hint = "fewer --workers, if memory or processes ran out"
        raise CanvasError("A worker process failed", got=got, hint=hint) from error


@contextmanager
def _worker() -> Iterator[Connection]:
    """Start a worker process, and yield the connection to it; it is killed at the end."""
    context = multiprocessing.get_context("spawn")  # safe beside threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with ours:
        with theirs, _spawning():
            process.start()
        try:
            yield ours
        finally:
            process.kill()
            process.join()


@contextmanager
def _spawning() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM, which their parent handles, from processes that start inside.

    Nor do they import the main module, as Python would have it: a script need not guard its code
    by ``if __name__ == "__main__"``.
    """
    main, blocks = sys.modules["__main__"], sys.platform != "win32"
    if blocks:
        from multiprocessing import resource_tracker  # noqa: PLC0415 - not on Windows

        resource_tracker.ensure_running()  # which would unblock the signals again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(line: Connection) -> None:
    """Make the parts that come down the line, until nobody is at its other end."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # for Windows, where they are not blocked
    with suppress(EOFError, OSError):
        data, composer, parts = line.recv()
        for part in parts:
            try:
                result: Packed | Exception = _make(data, composer, part)
            except Exception as error:
                result = error
            line.send(result)
