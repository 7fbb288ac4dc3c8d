"""Live progress on a terminal, with rich: a bar a task, and curves of the newest metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from airkit.cli.curves import Curve
from airkit.cli.lines import Pace
from airkit.cli.output import percent
from airkit.system.callbacks import Listener

ROOMY = 60
"""Columns from which on there is room for the pace."""


def _cropped() -> Column:
    """A column that is cut where a terminal is narrow: an ellipsis is not in every encoding."""
    return Column(no_wrap=True, overflow="crop")


class _View(Progress):
    """Bars, and below them curves."""

    curves: tuple[Curve, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, from top to bottom."""
        yield from super().get_renderables()
        yield from self.curves


class Bars(Listener):
    """All of it vanishes at the end, when the result is printed."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = _View(
            TextColumn("{task.description}", table_column=_cropped()),
            BarColumn(bar_width=None),
            MofNCompleteColumn(table_column=_cropped()),
            TextColumn("{task.fields[pace]}", table_column=_cropped()),
            TimeRemainingColumn(compact=True, table_column=_cropped()),
            console=console or Console(stderr=True),
            refresh_per_second=4,
            redirect_stdout=False,
            transient=True,
            expand=True,
        )
        self._elbo = Curve("ELBO ", "{:.1f}".format)
        self._count = Curve("count", percent)
        self._progress.curves = (self._elbo, self._count)
        self._tasks: dict[str, TaskID] = {}
        self._pace = Pace()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Write the note above the bars, as it is: no markup, no wrapping."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, task: str, done: int, total: int) -> None:
        """Move the bar of ``task``."""
        self._pace.update(done, total)
        if task not in self._tasks:
            self._progress.start()  # not before there is a bar: it hides the cursor
            self._tasks[task] = self._progress.add_task(task, total=total, completed=done, pace="")
        self._progress.update(self._tasks[task], completed=done, total=total)

    def row(self, values: Mapping[str, float]) -> None:
        """Let the curves grow by the newest metrics."""
        if "elbo" in values:
            self._elbo.add(values["elbo"])
        if "val_count_accuracy" in values:
            self._count.add(values["val_count_accuracy"])
        if self._pace.rate is not None and self._progress.console.width >= ROOMY:
            for task in self._tasks.values():
                self._progress.update(task, pace=f"{self._pace.rate:.1f} steps/s")
