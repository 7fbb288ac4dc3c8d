"""One writer at a time: a lock of the operating system, which ends with the process that holds it.

The lock is on a file that tells who holds it. The file is removed at the end. One that a killed
process left behind is not locked any more: it hinders nobody, and the next writer removes it.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from airkit.errors import OutputError
from airkit.system.callbacks import Listener
from airkit.system.files import writing

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says that has no locks, as some network file systems."""
_SIGNED = b"process "
"""How the content of a lock file begins, once it is signed."""


@contextmanager
def exclusive(
    lock: Path, target: Path, *, work: str, hint: str, listener: Listener
) -> Iterator[None]:
    """Hold the lock file ``lock`` while inside, where ``work`` is done on ``target``.

    Where the file system has no locks, a note says so and the work goes on.

    Raises:
        OutputError: another process holds it, or the file cannot be made.
    """
    missing = [folder for folder in lock.parents if not os.path.exists(folder)]
    handle = None
    try:
        with writing(target):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = _acquire(lock, target, listener)
        if handle is None:
            raise OutputError(f"Another {work}", where=target, got=_holder(lock), hint=hint)
        _sign(handle)
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                lock.unlink()
            os.close(handle)
        for folder in missing:  # those that were made and stayed empty
            with suppress(OSError):
                folder.rmdir()


def _acquire(lock: Path, target: Path, listener: Listener) -> int | None:
    """Open the lock file and lock it; None where another process has."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        _check_ours(lock, handle)
        try:
            locked = _lock(handle)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise
            reason = error.strerror
            listener.note(f"{target} cannot be locked ({reason}): let no other process write to it")
            return handle
        if locked and _is_at(lock, handle):
            return handle
        os.close(handle)
        if not locked:
            return None


def _check_ours(lock: Path, handle: int) -> None:
    """Refuse a file of this name that is not a lock of airkit's: it would be emptied."""
    with open(handle, "rb", closefd=False) as file:
        start = file.read(len(_SIGNED))
    if start and start != _SIGNED:
        os.close(handle)
        hint = "move it away, or write to another place"
        raise OutputError("A file is in the way of the lock", where=lock, hint=hint)


def _lock(handle: int) -> bool:
    """Lock an open file; False where another process has."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(lock: Path, handle: int) -> bool:
    """Whether an open file still has its name; its holder may just have removed it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(lock.stat(), os.fstat(handle))
    return False


def _sign(handle: int) -> None:
    """Write down who holds the lock, for the message to others; a full disk is no reason to end."""
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    with suppress(OSError):
        os.truncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"process {os.getpid()} on {platform.node()}, since {since}\n".encode())


def _holder(lock: Path) -> str:
    """Who holds the lock, as far as is known."""
    with suppress(OSError, ValueError):
        return lock.read_text(encoding="utf-8").strip() or "a process that has just begun"
    return "a process that has just ended"
