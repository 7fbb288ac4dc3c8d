"""Callbacks by which long work reports its progress; the library itself never prints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence


class Listener:
    """Receives notes, progress and metrics, and ignores them; the command line's prints them."""

    def note(self, text: str) -> None:
        """One line that the user should see, such as a fallback that was taken."""

    def progress(self, task: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of ``task`` are finished; called a few times a second."""

    def row(self, values: Mapping[str, float]) -> None:
        """One row of training metrics, as written to ``metrics.jsonl``."""

    def verdict(self, rows: Sequence[tuple[str, str]]) -> None:
        """Labels and values of what is in doubt at the end of a training; notes, unless overridden.

        The command line prints it with its results instead.
        """
        for label, value in rows:
            self.note(f"{label}: {value}")


SILENT = Listener()
"""The default of functions that take a listener: nobody listens."""


def caution(listener: Listener, text: str) -> None:
    """Say what a call does not do that it was asked for: a note, or a warning if nobody listens."""
    if listener is SILENT:
        warnings.warn(text, stacklevel=3)
    else:
        listener.note(text)
