"""Counts of picture files, from a CSV table of file names and counts."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from airkit.data.imports.pictures import Files, Pictures, Truth
from airkit.errors import ImageError
from airkit.system.callbacks import Listener
from airkit.system.files import check_regular

_WHOLE = re.compile(r"([0-9]{1,9})(\.0*)?")
"""A count; pandas writes 2.0 where some of a column are missing."""


def add_table(found: dict[str, Pictures], path: Path, listener: Listener) -> None:
    """Give the picture files of every split the counts of a table.

    Args:
        found: pictures by split; those that are files are replaced by ones with counts.
        path: the table.
        listener: hears of rows that name no picture.

    Raises:
        ImageError: the table cannot be read, names none of the pictures, or is not clear.
    """
    table = _read(path)
    files = {split: it for split, it in found.items() if type(it) is Files}
    if not files:
        raise ImageError(
            "A table of counts needs pictures in files",
            where=path,
            got=", ".join(each.name for each in found.values()),
            hint="name a folder, or numpy.savez(FILE, images=..., counts=...)",
        )
    rows = _matched([each for it in files.values() for each in it.paths], table, path)
    if not rows:
        raise ImageError(
            "The table of counts names none of the pictures",
            where=path,
            expected="names of files, such as a.png or a",
            got=", ".join([*table][:3]) or "no rows",
            hint="file names in the first column, counts in the second",
        )
    found |= {split: _with_counts(it, rows, table, path) for split, it in files.items()}
    if len(rows) < len(table):
        listener.note(f"{path}: {len(table) - len(rows):,} rows name no picture")


def _with_counts(
    pictures: Files, rows: Mapping[Path, str], table: Mapping[str, int], path: Path
) -> Files:
    """Pictures with the counts of their rows; as they are where none has a row."""
    missing = [each for each in pictures.paths if each not in rows]
    if missing and len(missing) < len(pictures.paths):
        raise ImageError(
            "The table of counts lacks pictures",
            where=path,
            expected=f"a row for each of {len(pictures.paths):,} pictures",
            got=f"none for {missing[0].name}, the first of {len(missing):,}",
            hint="add them, or move the pictures that are not counted elsewhere",
        )
    truth = {} if missing else {each: Truth(count=table[rows[each]]) for each in pictures.paths}
    return Files(pictures.name, pictures.paths, pictures.reading, truth or {})


def _matched(paths: Sequence[Path], table: Mapping[str, int], path: Path) -> dict[Path, str]:
    """The row of each picture that has one: by folder and name, or else by its name alone."""
    found = {each: row for each in paths for row in _tails(each) if row in table}
    rows_of = defaultdict(list)
    for row in table.keys() - set(found.values()):
        rows_of[PurePosixPath(row).name].append(row)
    users: dict[str, Path] = {}
    for each in paths:
        rows = [] if each in found else rows_of.get(each.name) or rows_of.get(each.stem) or []
        if len(rows) > 1 or (rows and rows[0] in users):
            raise ImageError(
                "It is unclear which row of the table belongs to a picture",
                where=path,
                expected="one row for each picture",
                got=f"{' and '.join(rows)} for {each}"
                if len(rows) > 1
                else f"{rows[0]} for {users[rows[0]]} and {each}",
                hint="file names with their folders in the first column, such as test/0.png",
            )
        users |= dict.fromkeys(rows, each)
    return found | {each: row for row, each in users.items()}


def _tails(path: Path) -> Iterator[str]:
    """What a row may call a picture: its folders and name, with and without the ending."""
    for depth in (2, 3):
        tail = "/".join(path.parts[-depth:])
        yield tail
        yield tail.removesuffix(path.suffix)


def _read(path: Path) -> dict[str, int]:
    """Counts by file name, of a CSV file of two columns; a first line of words is passed over.

    Raises:
        ImageError: it cannot be read, a count is no whole number, or a name has two.
    """
    try:
        check_regular(path)
        text = path.read_text("utf-8-sig")
        dialect = ";" if text.count(";") > text.count(",") else "\t" if "\t" in text else ","
        rows = [row for row in csv.reader(text.splitlines(), delimiter=dialect) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = getattr(error, "strerror", None) or error
        raise _unreadable(str(path), got) from error
    counts: dict[str, int] = {}
    for line, row in enumerate(rows, 1):
        name, cell = row[0].strip().replace("\\", "/"), row[1].strip() if len(row) > 1 else ""
        if whole := _WHOLE.fullmatch(cell):
            count = int(whole[1])
            if counts.setdefault(name, count) != count:
                raise _unreadable(f"{path}, line {line}", f"{count} and {counts[name]} for {name}")
        elif line > 1:
            raise _unreadable(f"{path}, line {line}", ",".join(row))
    return counts


def _unreadable(where: str, got: object) -> ImageError:
    return ImageError(
        "A table of counts cannot be read",
        where=where,
        expected="a file name and a whole number in each line, as text in UTF-8",
        got=got,
        hint="two columns: file,count",
    )
