"""Text for people, the same on the command line, in reports and in errors."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path


def duration(seconds: float) -> str:
    """Return a duration in words: 4.2 s, or 0:01:30 from a minute on."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def size(number: int) -> str:
    """Return a number of bytes for people."""
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number:,} bytes"


def quoted(path: str | Path) -> str:
    """Return a path, quoted for a shell where it has to be."""
    return shlex.quote(str(path))


def first_three(names: Sequence[str]) -> str:
    """Return names for a message: three of them, and dots where there are more."""
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` with the name most like ``name``, or nothing."""
    return "".join(f"; did you mean {near}?" for near in get_close_matches(name, list(known), n=1))
