"""Callbacks by which long work reports its progress; the library itself never prints."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Listener:
    """Receives notes, progress and metrics, and ignores them; the command line's prints them."""

    def note(self, text: str) -> None:
        """One line that the user should see, such as a fallback that was taken."""

    def progress(self, task: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of ``task`` are finished; called a few times a second."""

    def row(self, values: Mapping[str, float]) -> None:
        """One row of training metrics, as written to ``metrics.jsonl``."""


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
