"""Tables of what was found on images, as CSV: a row an image or a row an object."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from airkit.evaluation.found import Inferred
from airkit.system.files import check_target, write_bytes

COUNTS = ("image", "index", "width", "height", "count", "least", "greatest", "touching_border",
          "status")  # fmt: skip
"""Columns of the table of counts."""
OBJECTS = ("image", "index", "object", "x", "y", "width", "height", "centre_x", "centre_y",
           "confidence", "touches_border")  # fmt: skip
"""Columns of the table of objects; all lengths are in pixels of the image."""


def check_table(path: Path, option: str) -> None:
    """Refuse, before the work, a table with another ending than .csv; raises OutputError."""
    check_target(path, "The name of a table does not end in .csv", ".csv", option=option)


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
