"""Tables of what was found, a row an image or a row an object, and of measures."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from airkit.errors import OutputError
from airkit.evaluation.found import Inferred
from airkit.system.files import write_bytes
from airkit.system.tables import Number, Table, named, number, percent

COUNTS = ("image", "index", "width", "height", "count", "least", "greatest", "touching_border",
          "status")  # fmt: skip
"""Columns of the table of counts."""
OBJECTS = ("image", "index", "object", "x", "y", "width", "height", "centre_x", "centre_y",
           "confidence", "touches_border")  # fmt: skip
"""Columns of the table of objects; all lengths are in pixels of the image."""


def check_table(path: Path, option: str) -> None:
    """Refuse, before the work, a table with another ending than .csv; raises OutputError."""
    if path.suffix.lower() != ".csv" or os.path.isdir(path):
        raise OutputError(
            "A table of another name than .csv",
            where=f"{option} {path}",
            expected="a file name that ends in .csv",
            got="a folder" if os.path.isdir(path) else repr(path.suffix),
            hint=f"{option} {path.with_suffix('.csv').name}",
        )


def write_counts(path: Path, found: Sequence[Inferred], bad: Mapping[str, str]) -> None:
    """Write a row for each image, and one for each file that could not be read, by name.

    Raises:
        OutputError: it cannot be written; an older file is as it was.
    """
    rows = [
        (it.image, _index(it), it.width, it.height, it.count, *it.interval, it.touching_border,
         it.status)
        for it in found
    ]  # fmt: skip
    blank = ("",) * (len(COUNTS) - 2)
    _write(
        path, COUNTS, [*rows, *((name, *blank, f"bad file: {why}") for name, why in bad.items())]
    )


def write_objects(path: Path, found: Sequence[Inferred]) -> None:
    """Write a row for each object; raises OutputError as ``write_counts`` does."""
    rows = []
    for it in found:
        for place, each in enumerate(it.objects):
            x, y, width, height = each.box
            centre = x + width / 2, y + height / 2
            confidence, touches = f"{each.confidence:.6g}", int(each.touches_border)
            rows.append((it.image, _index(it), place, *each.box, *centre, confidence, touches))
    _write(path, OBJECTS, rows)


def _index(found: Inferred) -> object:
    return "" if found.index is None else found.index


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


_NO_MEASURES = ("confusion", "likelihood_samples", "looks", "seconds", "trust")
_NOTHING = Number(float("nan"), "")


def measures_table(measures: Mapping[str, Any], against: Mapping[str, Any] | None = None) -> Table:
    """Return a table of measures, a row each, with their 95 % intervals.

    Args:
        measures: plain values by name, as ``to_dict`` has them; ``NAME_interval`` is the interval
            of ``NAME``, and shares by true count are rows of their own. What was not measured is
            left out.
        against: those of another model on the same canvases, in columns of their own.
    """
    rows, others = _measured(measures), _measured(against or {})
    columns: tuple[str, ...] = ("measure", "value", "low", "high")
    if against is None:
        return Table(columns, tuple((named(name), *cells) for name, cells in rows.items()))
    return Table(
        (*columns, "against", "against low", "against high"),
        tuple(
            (named(name), *cells, *others.get(name, [_NOTHING] * 3)) for name, cells in rows.items()
        ),
    )


def _measured(values: Mapping[str, Any]) -> dict[str, list[Number]]:
    """Return the value and the ends of the interval of each measure."""
    found = {}
    for name, value, interval in _numbers(values):
        form = percent if _is_share(name) else number
        found[name] = [_NOTHING if each is None else form(each) for each in (value, *interval)]
    return found


def _numbers(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, float, Sequence[float | None]]]:
    """Yield names, numbers and intervals, those in mappings with both names."""
    for name, value in values.items():
        interval = values.get(f"{name}_interval") or (None, None)
        if name in _NO_MEASURES or name.endswith("_interval"):
            continue
        if isinstance(value, Mapping):
            inner = interval if isinstance(interval, Mapping) else {}
            known = {f"{each}_interval": ends for each, ends in inner.items()}
            yield from _numbers({**value, **known}, f"{prefix}{name}, ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value, interval


def _is_share(name: str) -> bool:
    words = re.split(r"\W|_", name)
    return "accuracy" in words
