"""The limits within which a hostile file is read, and what is held against a reader.

A reading may take 2 seconds and 500 MB; it may not say or warn of anything, open another file,
start a program, or compile, import or unpickle anything.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airkit.errors import AirkitError

SECONDS = 2.0
MEMORY = 500 * 10**6
_LONGEST = 30_000  # characters of a message: 50 problems of 500
_PAGE = resource.getpagesize()
_CODE = (
    "compile", "exec", "import", "os.exec", "os.fork", "os.posix_spawn", "os.startfile",
    "os.system", "subprocess.", "socket.", "ctypes.", "pty.", "webbrowser.", "urllib.",
    "marshal.", "pickle.find_class", "shutil.", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
    "os.link", "os.symlink", "os.chmod", "os.truncate", "tempfile.", "sys.unraisablehook",
)  # fmt: skip


@dataclass
class Verdict:
    """How one reading went; no faults is good."""

    error: str = ""
    """The message of the airkit error; empty where the file was read."""
    seconds: float = 0.0
    memory: int = 0
    """Growth of the peak of resident memory, in bytes."""
    faults: list[str] = field(default_factory=list)


class Audit:
    """What Python's audit hook reports while ``on``; a hook cannot be taken away again."""

    def __init__(self, own: Path) -> None:
        """``own`` is the file or the folder that may be opened."""
        self.own, self.on, self.seen = str(own), False, list[str]()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            harmless = str(path).startswith(self.own) and mode in ("r", "rb", None)
            if not harmless or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append(f"opened {path!r} in mode {mode}")
        elif event.startswith(_CODE):
            self.seen.append(f"{event} {str(arguments)[:200]}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        self.on, self.seen = True, []
        try:
            yield
        finally:
            self.on = False


class Watch:
    """Runs readings, one after another, in a process of their own."""

    def __init__(self, own: Path) -> None:
        self.own, self.audit = own, Audit(own)
        self._said = os.memfd_create("said")

    def judge(self, read: Callable[[Path], object]) -> Verdict:
        """Read the input, and say how that went; the process dies of a hang."""
        verdict, before = Verdict(), self._tree()
        base = _start_memory()
        began = time.perf_counter()
        with self._quiet(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with _limits(), self.audit.listening():
                self._read(read, verdict)
            verdict.seconds = time.perf_counter() - began
        verdict.memory = _peak() - base
        verdict.faults += self.audit.seen
        verdict.faults += [f"warned: {each.message}" for each in warned]
        verdict.faults += [f"said {said!r}" for said in self._heard()]
        if self._tree() != before:
            verdict.faults.append(f"left {sorted(self._tree() ^ before)}")
        if verdict.memory > MEMORY:
            verdict.faults.append(f"took {verdict.memory:,} bytes")
        return verdict

    def _read(self, read: Callable[[Path], object], verdict: Verdict) -> None:
        try:
            read(self.own)
        except AirkitError as error:
            verdict.error = str(error)
            verdict.faults += _amiss(error)
        except BaseException as error:
            place = _place(error)
            verdict.faults.append(f"{type(error).__name__} {place}: {str(error)[:300]}")

    def _tree(self) -> set[str]:
        return {str(path) for path in self.own.parent.rglob("*")}

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Both outputs, those of C included, into a file."""
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        for number in (1, 2):
            os.dup2(self._said, number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
                os.close(old)

    def _heard(self) -> Iterator[str]:
        os.lseek(self._said, 0, os.SEEK_SET)
        said = os.read(self._said, 300).decode(errors="replace")
        os.ftruncate(self._said, 0)
        os.lseek(self._said, 0, os.SEEK_SET)
        if said:
            yield said


@contextmanager
def _limits() -> Iterator[None]:
    """Two seconds, after which the process dies, and memory beyond which there is none."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    size = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _amiss(error: AirkitError) -> Iterator[str]:
    """An airkit error says what and where in a few lines, and none hides want of memory."""
    text = str(error)
    if len(text) > _LONGEST:
        yield f"a message of {len(text)} characters"
    if not text.isprintable() and not text.replace("\n", "").isprintable():
        yield f"a message with control characters: {text[:300]!r}"
    cause: BaseException | None = error
    while cause := cause and (cause.__cause__ or cause.__context__):
        if isinstance(cause, MemoryError) or "allocate" in str(cause):
            yield f"ran out of memory {_place(cause)}: {str(cause)[:100]}"


def _place(error: BaseException) -> str:
    """Where an error was raised, innermost first."""
    frames, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(frames[-5:]))


def _start_memory() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
