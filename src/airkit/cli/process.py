"""The process of the command line: signals, streams that fail, output that is discarded."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

from airkit.errors import AirkitError, OutputError
from airkit.system.processes import muted, several
from airkit.system.signals import EXIT_CODE, STOPPING

INTERRUPTED = "airkit: interrupted"
_DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)

# Signals. While a file is being written they wait (see airkit.system.signals), so that the
# handlers here run only where nothing can be left half done.


def handle(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Set the handler of the signals in ``STOPPING``, but for those that are ignored."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def leave(number: int = 0, frame: FrameType | None = None) -> NoReturn:
    """Handle a signal by ending the process at once, where there is nothing to clean up."""
    del number, frame
    if not muted():
        with suppress(OSError):
            os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(EXIT_CODE)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal by raising KeyboardInterrupt, or end the process if an import is running.

    Compiled modules replace an exception raised while they are imported by one of their own.
    """
    del number
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _leave_if_interrupted(found: sys.UnraisableHookArgs) -> None:
    """End the process at a KeyboardInterrupt that Python cannot raise, as in ``__del__``."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        leave()
    sys.__unraisablehook__(found)


# Streams


class _Lenient(io.FileIO):
    """A file that drops what a full disk or a closed pipe refuses."""

    def write(self, content: Any) -> int:
        """Write ``content``, or drop it: a line that nobody reads must not end a training."""
        with suppress(OSError):
            super().write(content)
        return len(content)


class _Discarding(io.StringIO):
    """Stands in for stdout or stderr, and discards what is written."""

    def __init__(self, replaced: TextIO) -> None:
        super().__init__()
        self.replaced = replaced

    def write(self, text: str) -> int:
        """Discard ``text``."""
        return len(text)


def prepare() -> None:
    """Set up signals and standard streams of a process before anything else is loaded."""
    handle(leave)
    sys.unraisablehook = _leave_if_interrupted
    # One that was closed gets a file too, or the next file to be opened would get its number.
    lenient = _Lenient(2 if sys.stderr else os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    sys.stderr = io.TextIOWrapper(lenient, encoding, "backslashreplace", line_buffering=True)
    sys.__stderr__ = sys.stderr  # type: ignore[misc]
    if sys.stdout is not None:
        # Buffered also with PYTHONUNBUFFERED: else a disk that fills up truncates a result, and
        # no error says so. Names of files that are not UTF-8 are written as they are.
        encoding = sys.stdout.encoding
        sys.stdout = os.fdopen(1, "w", encoding=encoding, errors="surrogateescape", closefd=False)
    if muted():
        sys.stdout = sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


@contextmanager
def silence() -> Iterator[None]:
    """Print nothing inside but what is written to ``result_stream()``."""
    with redirect_stdout(_Discarding(sys.stdout)), redirect_stderr(_Discarding(sys.stderr)):
        yield


def result_stream() -> TextIO:
    """Return where results go that were asked for explicitly, as by ``--json``."""
    return sys.stdout.replaced if isinstance(sys.stdout, _Discarding) else sys.stdout


def unmute() -> None:
    """Let stderr through again on any rank, as for the traceback of a bug."""
    sys.stderr = sys.__stderr__


def unmute_for(error: AirkitError) -> None:
    """Let stderr through for an error that rank 0 may not have, on one process per machine."""
    if muted() and not error.shared and os.environ.get("LOCAL_RANK") == "0":
        unmute()


def fail_to_write(error: OSError) -> NoReturn:
    """Exit with code 1 and a message if stdout is on a full disk; raise any other error."""
    if error.filename is not None or error.errno not in _DISK_FULL:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is buffered, flushed at exit
    told = OutputError(
        "Cannot write the result",
        where="standard output",
        got=error.strerror,
        hint="check the free space, or redirect it elsewhere",
    )
    sys.stderr.write(f"airkit: {told}\n")
    sys.exit(1)


def end_rank(code: object) -> None:
    """End a process that is one of several at once, after all has been written.

    Threads of the process group may still run, and Python's own shutdown would abort them.
    """
    if several():
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code if isinstance(code, int) else 0)
