"""Progress and metrics on stderr: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from airkit.cli.lines import Lines
from airkit.system.callbacks import Listener


@contextmanager
def listening() -> Iterator[Listener]:
    """Yield a listener that suits stderr, whatever FORCE_COLOR says."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Lines()
        return
    from airkit.cli.bars import Bars  # noqa: PLC0415 - rich, loaded only for a terminal

    bars = Bars()
    try:
        yield bars
    finally:
        bars.stop()
