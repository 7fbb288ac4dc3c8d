"""Ctrl-C and SIGTERM on the command line: one line and exit code 130, never a traceback.

While a file is being written signals wait (``airkit.system.signals``), so that the handlers here
run only where nothing can be left half done.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from airkit.system.processes import muted
from airkit.system.signals import EXIT_CODE, STOPPING

TOLD = "airkit: interrupted"


def leave(number: int = 0, frame: FrameType | None = None) -> NoReturn:
    """Handle a signal by ending the process at once, where there is nothing to tidy up."""
    del number, frame
    if not muted():
        with suppress(OSError):
            os.write(2, f"{TOLD}\n".encode())
    os._exit(EXIT_CODE)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal by raising KeyboardInterrupt, but for an import that is under way.

    Compiled modules turn an exception in the midst of their import into something else.
    """
    del number
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def lost(found: sys.UnraisableHookArgs) -> None:
    """Hear of exceptions that Python can only print, as in the end of an object.

    An interrupt among them would be lost, with a traceback: end the process as it asked.
    """
    if issubclass(found.exc_type, KeyboardInterrupt):
        leave()
    sys.__unraisablehook__(found)


def handle(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Have signals handled so from now on, but for those that are ignored."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
