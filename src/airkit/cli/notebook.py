"""Progress in notebooks: one output of the cell that changes in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from html import escape
from typing import Any

from airkit.cli.output import percent
from airkit.cli.progress import Lines
from airkit.system.callbacks import Paced
from airkit.system.text import duration

INTERVAL = 0.25
"""Seconds between two changes of what is shown."""


class Progress(Paced):
    """A bar of plain HTML, which the notebook's own protocol updates: no extension is needed."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[str] = []
        self._metrics: dict[str, str] = {}
        self._shown_at = 0.0
        self._cell: object = None
        self._output: Any = None

    def note(self, text: str) -> None:
        """Show the note below the bar."""
        self._enter()
        self._notes.append(text)
        self._show()

    def progress(self, task: str, done: int, total: int) -> None:
        """Move the bar; a new task begins at its left."""
        self._enter()
        super().progress(task, done, total)
        if done >= total or time.monotonic() - self._shown_at >= INTERVAL:
            self._show()

    def row(self, values: Mapping[str, float]) -> None:
        """Show the newest metrics beside the bar."""
        if "elbo" in values:
            self._metrics["ELBO"] = f"{values['elbo']:.1f}"
        if "val_count_accuracy" in values:
            self._metrics["counted right"] = percent(values["val_count_accuracy"])
        if self.done >= self.total:  # no step comes that would show it
            self._show()

    def _enter(self) -> None:
        """Begin a new output where another cell is running."""
        shell = _shell()
        cell = None if shell is None else shell.execution_count
        if cell != self._cell:
            self.__init__()  # type: ignore[misc]
            self._cell = cell

    def _show(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - there in a notebook alone

        self._shown_at = time.monotonic()
        text = self._line()
        lines = "".join(f"<div>{escape(note)}</div>" for note in self._notes)
        bar = f'<progress value="{self.done}" max="{max(1, self.total)}"></progress> '
        shown = {
            "text/plain": "\n".join([text, *self._notes]),
            "text/html": f"<div>{bar * bool(self.task)}{escape(text)}</div>{lines}",
        }
        if self._output is None:
            shown_as: Any = display  # typed nowhere
            self._output = shown_as(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)

    def _line(self) -> str:
        if not self.task:
            return ""
        told = [f"{self.task}: {self.done:,} of {self.total:,}"]
        told += [f"{name} {value}" for name, value in self._metrics.items()]
        if self.speed and self.done < self.total:
            told.append(f"{duration((self.total - self.done) / self.speed)} left")
        return ", ".join(told)


def progress() -> Paced:
    """Return a listener that shows progress: a bar in a notebook, lines on stderr elsewhere.

    In a notebook it is one output of the cell that changes in place, in Jupyter, VS Code and Colab
    alike, without an extension::

        airkit.train("multi-mnist.h5", listener=airkit.progress())
    """
    return Lines() if _shell() is None else Progress()


def _shell() -> Any:
    """Return IPython's shell where a notebook's kernel runs this; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None
