"""Progress and metrics on stderr: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer

from airkit.cli.output import percent
from airkit.system.callbacks import Listener, Paced
from airkit.system.text import duration

INTERVAL = 5.0
"""Seconds between plain lines of progress."""


class Lines(Paced):
    """Plain lines: one per row of metrics or, where there are none, one every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = False
        self._last: float | None = None

    def note(self, text: str) -> None:
        """Write the note."""
        typer.echo(text, err=True)

    def progress(self, task: str, done: int, total: int) -> None:
        """Write a line at the end of a task, and now and then before it."""
        if (task, done, total) == (self.task, self.done, self.total):
            return  # such as the pages of a file, of which there may be more than files
        self._rows = self._rows and task == self.task
        super().progress(task, done, total)
        now = time.monotonic()
        self._last = self._last or now
        if not self._rows and (done == total or now - self._last >= INTERVAL):
            self._last = now
            typer.echo(f"{task}: {done:,} of {total:,}", err=True)

    def row(self, values: Mapping[str, float]) -> None:
        """Write a row of training metrics."""
        self._rows = True
        if "val_elbo" in values:
            told = f"validation ELBO {values['val_elbo']:.1f}"
            if "val_count_accuracy" in values:
                told += f", count accuracy {percent(values['val_count_accuracy'])}"
        else:
            told = f"ELBO {values['elbo']:.1f}{self._pace()}"
        typer.echo(f"step {values['step']:.0f} of {self.total}: {told}", err=True)

    def _pace(self) -> str:
        if self.speed is None:
            return ""
        left = duration((self.total - self.done) / self.speed)
        return f", {self.speed:.1f} steps/s, {left} left"


class _Lines(Lines):
    """Lines beside the results that a command prints."""

    def verdict(self, rows: Sequence[tuple[str, str]]) -> None:
        """Leave it to the results."""


@contextmanager
def listening() -> Iterator[Listener]:
    """Yield a listener that suits stderr, whatever FORCE_COLOR says."""
    if not (sys.stderr.isatty() and moves_cursor()):
        yield _Lines()
        return
    from airkit.cli.bars import Bars  # noqa: PLC0415 - rich, loaded only for a terminal

    bars = Bars()
    try:
        yield bars
    finally:
        bars.stop()


def moves_cursor(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a terminal can draw over what it shows.

    ``!airkit`` in a notebook has a terminal that cannot: each frame of a bar would be another
    line. The kernel tells by what it sets, in Jupyter for its parent, and elsewhere (VS Code,
    Spyder) for the programs that it starts.
    """
    if environment.get("TERM") in ("dumb", "unknown") or environment.get("JPY_PARENT_PID"):
        return False
    return (environment.get("TERM"), environment.get("PAGER")) != ("xterm-color", "cat")
