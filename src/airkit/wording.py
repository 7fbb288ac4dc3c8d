"""Numbers in words, the same on the command line and in reports."""

from __future__ import annotations

from datetime import timedelta


def duration(seconds: float) -> str:
    """Seconds for people: 4.2 s, or 0:01:30 from a minute on."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
