"""The newest values of a metric as one line of a terminal: label, curve, last value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"
WIDEST = 60
"""Most values shown: the newest ones, one a character."""


class Curve:
    """A line of a terminal that grows with every value, and fits whatever the width."""

    def __init__(self, label: str, spelled: Callable[[float], str]) -> None:
        self._label, self._spelled = label, spelled
        self._values: list[float] = []

    def add(self, value: float) -> None:
        """Show another value."""
        self._values = [*self._values[1 - WIDEST :], value]  # drawn meanwhile by another thread

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw in ASCII where the encoding has no blocks, as rich's bars do."""
        del console
        values = self._values
        if values:
            last = self._spelled(values[-1])
            room = max(0, options.max_width - len(f"{self._label}  {last}"))
            levels = ASCII if options.legacy_windows or options.ascii_only else BLOCKS
            drawn = sparkline(values[-room:] if room else [], levels)
            words = [word for word in (self._label, drawn, last) if word]
            yield Text(" ".join(words), no_wrap=True, overflow="crop")


def sparkline(values: Sequence[float], levels: str) -> str:
    """A character for each value, from the first of ``levels`` for the least one up to the last.

    Values that are all alike are drawn at half height.
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return levels[len(levels) // 2] * len(values)
    top = len(levels) - 1
    return "".join(levels[round(top * (value - low) / (high - low))] for value in values)
