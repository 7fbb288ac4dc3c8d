"""Progress and metrics as plain lines, for pipes and logs."""

from __future__ import annotations

import time
from collections.abc import Mapping

import typer

from airkit.cli.output import percent
from airkit.system.callbacks import Listener
from airkit.system.text import duration

INTERVAL = 5.0
"""Seconds between plain lines of progress."""


class Pace:
    """How fast work goes, from what was reported since the first report."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self._first: tuple[int, float] | None = None

    def update(self, done: int, total: int) -> None:
        """Take in a report of progress."""
        self.done, self.total = done, total
        if self._first is None:
            self._first = done, time.monotonic()

    @property
    def rate(self) -> float | None:
        """Units a second, once two reports allow to tell."""
        if self._first is None or self.done == self._first[0]:
            return None
        return (self.done - self._first[0]) / max(1e-9, time.monotonic() - self._first[1])

    def __str__(self) -> str:
        rate = self.rate
        if rate is None:
            return ""
        return f", {rate:.1f} steps/s, {duration((self.total - self.done) / rate)} left"


class Lines(Listener):
    """One plain line a row of metrics; where there are no rows, one every few seconds."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._rows = False
        self._last: float | None = None

    def note(self, text: str) -> None:
        """Write the note."""
        typer.echo(text, err=True)

    def progress(self, task: str, done: int, total: int) -> None:
        """Write a line at the end of a task, and now and then on the way."""
        self._pace.update(done, total)
        now = time.monotonic()
        if self._last is None:
            self._last = now  # what comes before the first report, such as imports, is no wait
        if not self._rows and (done == total or now - self._last >= INTERVAL):
            self._last = now
            typer.echo(f"{task}: {done:,} of {total:,}", err=True)

    def row(self, values: Mapping[str, float]) -> None:
        """Write a row of training metrics."""
        self._rows = True
        place = f"step {values['step']:.0f} of {self._pace.total}"
        if "val_elbo" in values:
            typer.echo(f"{place}: {_validation(values)}", err=True)
        else:
            typer.echo(f"{place}: ELBO {values['elbo']:.1f}{self._pace}", err=True)


def _validation(values: Mapping[str, float]) -> str:
    accuracy = percent(values["val_count_accuracy"])
    return f"validation ELBO {values['val_elbo']:.1f}, count accuracy {accuracy}"
