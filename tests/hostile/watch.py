"""Reads a hostile file within limits, and tells what was amiss.

A reading may take 2 seconds of the processor and 500 MB of memory. It may not print, warn, open
or write any other file, start a program, or compile, import or unpickle anything. What the system
tells of its memory may be read.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airkit.errors import AirkitError

SECONDS, MEMORY = 2.0, 500 * 10**6
_PATIENCE = 10.0  # seconds of a reading that waits, as at a pipe
_LONGEST = 30_000  # characters of a message: 50 problems of 500
_CODE = (
    "compile", "exec", "import", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.",
    "subprocess.", "socket.", "pty.", "webbrowser.", "urllib.", "marshal.", "pickle.find_class",
)  # fmt: skip
_SYSTEM = ("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup/")
_FILES = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink")


@dataclass
class Verdict:
    """How one reading went; no faults is good."""

    error: str = ""
    """Class and message of the airkit error; empty where the file was read."""
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """Processor time that it took."""
    memory: int = 0
    """Growth of the peak of resident memory, in bytes."""


class Watch:
    """Runs readings of one folder, one after another; of a hang the process dies."""

    def __init__(self, folder: Path, errors: tuple[type[AirkitError], ...]) -> None:
        """``folder`` is all that may be opened; ``errors`` are what a reading may raise."""
        self.folder, self.errors = folder, errors
        self._listening, self._faults = False, list[str]()
        sys.addaudithook(self._hear)  # which is for good

    def judge(self, read: Callable[[Path], object]) -> Verdict:
        """Read the folder and say how that went."""
        verdict, before = Verdict(), set(self.folder.parent.iterdir())
        self._faults = verdict.faults
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak of memory
        base, began = _peak(), time.process_time()
        with self._quiet(), warnings.catch_warnings(record=True) as warned, _limits():
            warnings.simplefilter("always")
            self._listening = True
            try:
                read(self.folder)
            except AirkitError as error:
                verdict.error = f"{type(error).__name__}: {error}"
                verdict.faults += self._amiss(error)
            except BaseException as error:
                verdict.faults.append(f"{_place(error)}: {error!r:.300}")
            finally:
                self._listening = False
        verdict.seconds, verdict.memory = time.process_time() - began, _peak() - base
        verdict.faults += [f"warned: {each.message}" for each in warned]
        left = {*self.folder.parent.iterdir(), *self.folder.rglob("*.part")} - before
        verdict.faults += [f"left {path}" for path in left]
        if verdict.memory > MEMORY:
            verdict.faults.append(f"took {verdict.memory:,} bytes")
        return verdict

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what Python's audit hook reports, unless it is harmless."""
        if not self._listening or (event == "compile" and arguments[1] == "<unknown>"):
            return  # the latter is ast.literal_eval, which runs nothing
        of_file = event.startswith(_FILES) and not isinstance(arguments[0], int)
        own = of_file and str(arguments[0]).startswith((str(self.folder), *_SYSTEM))
        if event.startswith(_CODE) or (of_file and not own):
            self._faults.append(f"{event} {str(arguments)[:200]}")

    def _amiss(self, error: AirkitError) -> Iterator[str]:
        """What is wrong with an error: its class, its cause, or a message that is no help."""
        text = str(error)
        if not isinstance(error, self.errors) and type(error) is not AirkitError:
            yield f"an error of class {type(error).__name__}"
        if str(self.folder) not in text:
            yield f"a message that names no file: {text[:300]}"
        if len(text) > _LONGEST or not text.replace("\n", "").isprintable():
            yield f"a message of {len(text)} characters, or with odd ones: {text[:300]!r}"
        cause: BaseException | None = error
        while cause := cause and (cause.__cause__ or cause.__context__):
            if isinstance(cause, MemoryError) or "allocate" in str(cause):
                yield f"ran out of memory {_place(cause)}: {str(cause)[:100]}"

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Takes what is printed on both outputs, even by C, for a fault."""
        taken, kept = os.memfd_create("output"), (os.dup(1), os.dup(2))
        try:
            for number in (1, 2):
                os.dup2(taken, number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
                os.close(old)
            if text := os.pread(taken, 300, 0):
                self._faults.append(f"printed {text.decode(errors='replace')!r}")
            os.close(taken)


@contextmanager
def _limits() -> Iterator[None]:
    """Time after which the process dies, and memory beyond which there is none."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _place(error: BaseException) -> str:
    """Where an error was raised, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return " < ".join(f"{Path(it.filename).name}:{it.lineno} {it.name}" for it in frames[::-1])


def _peak() -> int:
    """The peak of resident memory, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
