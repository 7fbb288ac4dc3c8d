"""Work shared out among processes, with results in the order of the tasks.

Standard library only.
"""

from __future__ import annotations

import atexit
import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, TypeVar

from airkit.errors import WorkerError
from airkit.system.signals import STOPPING

Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 2
"""Most tasks for each worker that are under way or wait to be yielded."""
_STARTING = threading.Lock()
"""Held while a worker starts: what ``_spawning`` changes is the whole process's."""


def in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], many: int
) -> Generator[Result]:
    """Yield the results of ``work`` for all tasks, in order, from ``many`` worker processes.

    The workers live as long as the generator. They do not import the main module.

    Args:
        work: a function of a module, or what else can be pickled; sent to each worker once.
        tasks: what it is called with; read as workers become free.
        many: how many processes.

    Raises:
        WorkerError: a worker process failed.
        Exception: what ``work`` raised for the first task that it failed at.
    """
    numbered, results, first = enumerate(tasks), dict[int, Any](), 0
    with ExitStack() as stack:
        crew = _Crew(stack, work, many)
        while True:
            room = min(len(crew.idle), AHEAD * many - len(crew.busy) - len(results))
            for task in islice(numbered, room):
                crew.begin(task)
            if first in results:
                yield _result(results.pop(first))
                first += 1
            elif crew.busy:
                results |= crew.finished()
            else:
                return


class _Crew:
    """Worker processes, by the connections to them: idle ones, and those that have a task."""

    def __init__(self, stack: ExitStack, work: object, many: int) -> None:
        self.busy = list[Connection]()
        with _failures():
            self.idle = [stack.enter_context(_worker()) for _ in range(many)]
            for line in self.idle:
                _send(line, work)

    def begin(self, task: tuple[int, Any]) -> None:
        """Give an idle worker a numbered task."""
        line = self.idle.pop()
        self.busy.append(line)
        with _failures():
            _send(line, task)

    def finished(self) -> dict[int, Any]:
        """Wait for a task to be finished, and return results by number."""
        with _failures():
            done = wait(self.busy)
            ready = [line for line in self.busy if line in done]
            results = dict(map(_receive, ready))
        self.busy = [line for line in self.busy if line not in ready]
        self.idle += ready
        return results


def _result(result: Any) -> Any:
    """The result of a task; raises it if it is an exception."""
    if isinstance(result, Exception):
        raise result
    return result


@contextmanager
def _failures() -> Iterator[None]:
    """Raise WorkerError where a worker cannot be started or reached."""
    try:
        yield
    except (EOFError, OSError) as error:
        got = str(error) or "it was ended from outside"
        hint = "fewer workers, if memory or processes ran out"
        raise WorkerError("A worker process failed", got=got, hint=hint) from error


def _send(line: Connection, message: Any) -> None:
    """Send a message as bytes: PyTorch has connections share the memory of tensors otherwise."""
    line.send_bytes(pickle.dumps(message))


def _receive(line: Connection) -> Any:
    return pickle.loads(line.recv_bytes())


@contextmanager
def _worker() -> Iterator[Connection]:
    """Start a worker process, and yield the connection to it; it is killed at the end."""
    context = multiprocessing.get_context("spawn")  # safe beside threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with ours:
        with theirs, _STARTING, _spawning():
            process.start()
        # Python would wait at its end for workers of a generator that nobody closes.
        atexit.register(process.kill)
        try:
            yield ours
        finally:
            atexit.unregister(process.kill)
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
    """Do the tasks that come down the line, until nobody is at its other end."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # for Windows, where they are not blocked
    with suppress(EOFError, OSError):
        work = _receive(line)
        while True:
            number, task = _receive(line)
            try:
                result: Any = work(task)
            except Exception as error:
                error.add_note(traceback.format_exc())
                result = error
            _send(line, (number, result))
