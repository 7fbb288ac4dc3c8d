"""Who keeps silent: a command that is asked to, and of several processes all but the first.

And whoever cannot be heard: what stderr does not take is given up, and the work goes on.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from airkit.errors import AirkitError
from airkit.system.processes import muted, several


def mute() -> None:
    """Have this process print nothing, if another one speaks for it."""
    if muted():
        sys.stdout = sys.stderr = io.StringIO()


class _Unheard(io.FileIO):
    """A stream that takes everything, whether it can be written or not."""

    def write(self, content: Any) -> int:
        """Write, or give up what a full disk or a closed pipe refuses."""
        with suppress(OSError):
            return super().write(content) or len(content)
        return len(content)


def bear() -> None:
    """Have stderr refuse nothing: a training of days is not ended by a line about it."""
    heard = sys.stderr
    if heard is None:  # it was closed: the next file to be opened would get its number
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    elif isinstance(getattr(heard, "buffer", None), io.BufferedWriter | io.RawIOBase):
        stream = io.BufferedWriter(_Unheard(heard.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(stream, heard.encoding, heard.errors, line_buffering=True)


class _Hushed(io.StringIO):
    """Takes the place of stdout or stderr, and keeps what it takes to itself."""

    def __init__(self, heard: TextIO) -> None:
        super().__init__()
        self.heard = heard

    def write(self, text: str) -> int:
        """Forget the text: a training of days has much of it."""
        return len(text)


@contextmanager
def hushed() -> Iterator[None]:
    """Print nothing inside, but for what is written to ``heard``; errors are told outside."""
    with redirect_stdout(_Hushed(sys.stdout)), redirect_stderr(_Hushed(sys.stderr)):
        yield


def heard() -> TextIO:
    """Where a result goes that was asked for in so many words, as by ``--json``."""
    return sys.stdout.heard if isinstance(sys.stdout, _Hushed) else sys.stdout


def unmute() -> None:
    """Let stderr be heard again, as the traceback of a bug is, whoever has it."""
    sys.stderr = sys.__stderr__


def tell_once(error: AirkitError) -> None:
    """Let an error be heard that the first process may not know of, once a machine."""
    if muted() and not error.shared and os.environ.get("LOCAL_RANK") == "0":
        unmute()
        bear()


def end(code: object) -> None:
    """End this process at once if it is one of several; all has been written by now.

    Threads of the process group may be at work still, and Python's own end would abort them,
    and with them the process.
    """
    if several():
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else 0)
