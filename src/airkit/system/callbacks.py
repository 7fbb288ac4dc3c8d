"""Callbacks by which long work reports its progress; the library itself never prints."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from types import FrameType


class Listener:
    """Receives notes, progress and metrics, and ignores them; the command line's prints them."""

    def note(self, text: str) -> None:
        """One line that the user should see, such as a fallback that was taken."""

    def progress(self, task: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of ``task`` are finished; called often."""

    def row(self, values: Mapping[str, float]) -> None:
        """One row of training metrics, as written to ``metrics.jsonl``."""

    def verdict(self, rows: Sequence[tuple[str, str]]) -> None:
        """Labels and values of what is in doubt at the end of a training; notes, unless overridden.

        The command line prints it with its results instead.
        """
        for label, value in rows:
            self.note(f"{label}: {value}")


class Paced(Listener):
    """A listener that measures the speed of a task, from its first report of progress on."""

    def __init__(self) -> None:
        self.task, self.done, self.total = "", 0, 0
        self._first: tuple[int, float] | None = None

    def progress(self, task: str, done: int, total: int) -> None:
        """Measure the speed."""
        if task != self.task or done < self.done:
            self._first = None
        self.task, self.done, self.total = task, done, total
        self._first = self._first or (done, time.monotonic())

    @property
    def speed(self) -> float | None:
        """Steps per second, once there were two reports."""
        if self._first is None or self.done == self._first[0]:
            return None
        return (self.done - self._first[0]) / max(1e-9, time.monotonic() - self._first[1])


SILENT = Listener()
"""The default of functions that take a listener: nobody listens, so that ``caution`` warns."""
MUTED = Listener()
"""Hears nothing, not even what ``caution`` says: for what has been said already."""


def caution(listener: Listener, text: str) -> None:
    """Tell of a setting without effect: by a note, or by a warning where nobody listens."""
    if listener is SILENT:
        warnings.warn(text, stacklevel=_levels_of_airkit() + 1)
    else:
        listener.note(text)


def _levels_of_airkit() -> int:
    """How many calls on top of the stack are airkit's; a warning names the one below them."""
    frame: FrameType | None = sys._getframe(1)
    levels = 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "airkit":
        frame, levels = frame.f_back, levels + 1
    return levels
