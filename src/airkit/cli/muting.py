"""Of several processes the first one speaks, and the others keep silent; how they all end."""

from __future__ import annotations

import io
import os
import sys

from airkit.errors import AirkitError
from airkit.launch import muted, several


def mute() -> None:
    """Have this process print nothing, if another one speaks for it."""
    if muted():
        sys.stdout = sys.stderr = io.StringIO()


def unmute() -> None:
    """Let stderr be heard again, as the traceback of a bug is, whoever has it."""
    sys.stderr = sys.__stderr__


def tell_once(error: AirkitError) -> None:
    """Let an error be heard that the first process may not know of, once a machine."""
    if muted() and not error.shared and os.environ.get("LOCAL_RANK") == "0":
        unmute()


def end(code: object) -> None:
    """End this process at once if it is one of several; all has been written by now.

    Threads of the process group may be at work still, and Python's own end would abort them,
    and with them the process.
    """
    if several():
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else 0)
