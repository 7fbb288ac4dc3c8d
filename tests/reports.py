"""Reports of the tests' runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import tiny_runs
from report_reader import Reader

import airkit


@cache
def reported() -> tuple[airkit.Measures, str]:
    """The measures and the text of the report of the reference run."""
    written = airkit.report(tiny_runs.reference(), out=tiny_runs.folder() / "reported" / "it.html")
    return written.measures[0], written.path.read_text(encoding="utf-8")


def plain() -> Reader:
    """The report of the reference run, read."""
    return Reader(reported()[1])


def text_of(path: Path, run: Path, **keys: Any) -> str:
    return airkit.report(run, out=path / "page.html", **keys).path.read_text(encoding="utf-8")


def page(path: Path, run: Path, **keys: Any) -> Reader:
    return Reader(text_of(path, run, **keys))
