"""Live progress on a terminal: a bar per task, and curves of the newest metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from rich.theme import Theme

from airkit.cli.output import percent, wrapped
from airkit.system.callbacks import Paced

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.:-=+*#"
STYLES = {
    "bar.back": "bright_black",
    "bar.complete": "bold",
    "bar.finished": "bold",
    "bar.pulse": "bold",
    "progress.download": "none",
    "progress.remaining": "none",
}
"""Styles that read on light and on dark backgrounds: the terminal's own colour, and grey."""
WIDE = 60
"""Columns from which on the speed is shown, and most values of a curve, one per column."""


class Bars(Paced):
    """Bars and curves that vanish at the end, when the result is printed."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._tasks: dict[str, TaskID] = {}
        self._elbo: deque[float] = deque(maxlen=WIDE)
        self._accuracy: deque[float] = deque(maxlen=WIDE)
        self._console = console or Console(stderr=True, theme=Theme(STYLES))
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            expand=True,
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._drawn,
            redirect_stdout=False,
            transient=True,
        )

    def stop(self) -> None:
        """Remove the bars and show the cursor again."""
        self._live.stop()

    def note(self, text: str) -> None:
        """Write the note above the bars, as it is: no markup, whole words."""
        told = wrapped(text, self._console.width)
        self._console.print(told, markup=False, highlight=False, soft_wrap=True)

    def progress(self, task: str, done: int, total: int) -> None:
        """Move the bar of ``task``."""
        super().progress(task, done, total)
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total, pace="")
            self._live.start()  # not before there is a bar: it hides the cursor
        if done < self._bars.tasks[self._tasks[task]].completed:
            self._bars.reset(self._tasks[task])
        self._bars.update(self._tasks[task], completed=done, total=total)

    def row(self, values: Mapping[str, float]) -> None:
        """Extend the curves by the newest metrics."""
        if "elbo" in values:
            self._elbo.append(values["elbo"])
        if "val_count_accuracy" in values:
            self._accuracy.append(values["val_count_accuracy"])
        if self.speed is not None and self._console.width >= WIDE:
            for task in self._tasks.values():
                self._bars.update(task, pace=f"{self.speed:.1f} steps/s")

    def verdict(self, rows: Sequence[tuple[str, str]]) -> None:
        """Leave it to the results, which the command prints."""

    def _drawn(self) -> Group:
        elbo, accuracy = tuple(self._elbo), tuple(self._accuracy)
        lines = [self._curve("ELBO ", elbo, f"{elbo[-1]:.1f}")] if elbo else []
        if accuracy:
            lines.append(self._curve("count", accuracy, percent(accuracy[-1])))
        return Group(self._bars.get_renderable(), *lines)

    def _curve(self, label: str, values: Sequence[float], last: str) -> Text:
        room = max(1, self._console.width - len(f"{label}  {last}"))
        levels = ASCII if self._console.options.ascii_only else BLOCKS
        line = f"{label} {sparkline(values[-room:], levels)} {last}"
        return Text(line, no_wrap=True, overflow="crop")


def sparkline(values: Sequence[float], levels: str) -> str:
    """Return one of ``levels`` per value: the first for the least, the last for the greatest."""
    low, high = min(values), max(values)
    scale = (len(levels) - 1) / ((high - low) or 1)
    return "".join(levels[round(scale * (value - low))] for value in values)
