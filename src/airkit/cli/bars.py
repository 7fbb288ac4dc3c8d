"""Live progress bars on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from airkit.cli.lines import Pace
from airkit.cli.output import percent
from airkit.listener import Listener


class Bars(Listener):
    """One bar a task; they vanish at the end, when the result is printed."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(compact=True),
            console=console or Console(stderr=True),
            refresh_per_second=4,
            redirect_stdout=False,
            transient=True,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._pace = Pace()
        self._told: dict[str, str] = {}

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
            self._tasks[task] = self._progress.add_task(task, told="")
        self._progress.update(self._tasks[task], completed=done, total=total)

    def row(self, values: Mapping[str, float]) -> None:
        """Show the newest metrics beside the bar."""
        if "elbo" in values:
            self._told["elbo"] = f"ELBO {values['elbo']:.1f}"
        if "val_count_accuracy" in values:
            self._told["count"] = f"count {percent(values['val_count_accuracy'])}"
        if self._pace.rate is not None:
            self._told["rate"] = f"{self._pace.rate:.1f} steps/s"
        for task in self._tasks.values():
            self._progress.update(task, told="  ".join(self._told.values()))
