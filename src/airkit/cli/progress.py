"""How long work is shown on stderr: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from airkit.cli.lines import Lines
from airkit.system.callbacks import Listener


@contextmanager
def listening() -> Iterator[Listener]:
    """Yield the listener for stderr as it is; asks stderr itself, whatever FORCE_COLOR says."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from airkit.cli.bars import Bars  # noqa: PLC0415 - rich, for those who see it only

        with Bars() as bars:
            yield bars
    else:
        yield Lines()
