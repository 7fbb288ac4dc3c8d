"""One writer at a time: a lock file, locked by the operating system while its process lives.

The lock file names its holder, and is removed at the end. A killed process leaves the file but
not the lock, so that the next writer takes it over.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from airkit.errors import OutputError
from airkit.system.callbacks import Listener
from airkit.system.files import writing

_SIGNATURE = "process "
"""First word of a lock file, by which it is told from a user's own file."""


@contextmanager
def exclusive(
    lock: Path, target: Path, *, work: str, hint: str, listener: Listener
) -> Iterator[None]:
    """Hold a lock file while inside.

    Where the file system has no locks, a note says so and the work goes on.

    Args:
        lock: the lock file.
        target: the file or folder that is written, for messages.
        work: what is done, as in "Another <work>".
        hint: the next step where another process holds the lock.
        listener: hears the note.

    Raises:
        OutputError: another process holds it, or the file cannot be made.
    """
    missing = [folder for folder in lock.parents if not os.path.exists(folder)]
    held = FileLock(lock, blocking=False, thread_local=False, fallback_to_soft=False)
    try:
        with writing(target):
            lock.parent.mkdir(parents=True, exist_ok=True)
            _check_ours(lock)
            locked = _acquire(held, lock, target, listener)
        if not locked:
            raise OutputError(f"Another {work}", where=target, got=_holder(lock), hint=hint)
        try:
            _sign(lock)
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
            held.release()
    finally:
        for folder in missing:  # those that were made and stayed empty
            with suppress(OSError):
                folder.rmdir()


def _acquire(held: FileLock, lock: Path, target: Path, listener: Listener) -> bool:
    """Lock the file if it can be locked; False where another process has."""
    while True:
        try:
            held.acquire()
        except Timeout:
            if os.path.exists(lock):
                return False  # else its holder has just removed it
        except OSError as error:
            if error.filename is not None:  # of the file, not of its lock
                raise
            reason = error.strerror or error
            listener.note(f"{target} cannot be locked ({reason}): let no other process write to it")
            return True
        else:
            return True


def _check_ours(lock: Path) -> None:
    """Refuse a user's own file of this name, which would be overwritten."""
    with suppress(FileNotFoundError), lock.open("rb") as file:
        start = file.read(len(_SIGNATURE))
        if start and start != _SIGNATURE.encode():
            hint = "move it away, or write to another place"
            raise OutputError("A file is in the way of the lock", where=lock, hint=hint)


def _sign(lock: Path) -> None:
    """Write who holds the lock, for the message to others; a full disk is no reason to stop."""
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    with suppress(OSError):
        lock.write_text(f"{_SIGNATURE}{os.getpid()} on {platform.node()}, since {since}\n")


def _holder(lock: Path) -> str:
    """Return who holds the lock, as far as is known."""
    with suppress(OSError, ValueError):
        return lock.read_text(encoding="utf-8").strip() or "a process that has just begun"
    return "a process that has just ended"
