"""Progress and metrics on stderr: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from airkit.cli.lines import Lines
from airkit.system.callbacks import Listener


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
