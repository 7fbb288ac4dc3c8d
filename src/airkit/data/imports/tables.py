"""Counts of picture files, from a CSV table of file names, pages and counts."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from airkit.data.imports.pictures import Files, Pictures, Truth
from airkit.errors import ImageError
from airkit.system.callbacks import Listener
from airkit.system.files import check_regular
from airkit.system.text import first_three, numbered

_WHOLE = re.compile(r"([0-9]{1,9})(\.0*)?")
"""A count; pandas writes 2.0 where some of a column are missing."""

_FILE = "file", "filename", "file_name", "image"
"""What the column of names may be called; without such a name it is the first."""

Counts = dict[int | None, int]
"""Counts of a file by page, from 1; None is the whole file."""


@dataclass(frozen=True)
class Columns:
    """Where a table has what, from 0."""

    name: int = 0
    count: int = 1
    page: int | None = None
    first: int = 1
    """Number of the first page."""


def _truths(given: Counts, path: Path, pages: int) -> Sequence[Truth]:
    """The counts of the pages of a file.

    Raises:
        ImageError: the table has other pages, or one count for several.
    """
    if pages == 1 and len(given) == 1 and {*given} <= {None, 1}:
        return [Truth(count=each) for each in given.values()]
    if {*given} == {*range(1, pages + 1)}:
        return [Truth(count=given[page]) for page in range(1, pages + 1)]
    one = f"a row for each of its {pages:,} pages, from {path.name},1,COUNT on"
    whole = "one count for the whole file"
    raise ImageError(
        "The table of counts has other pages than a file",
        where=path,
        expected=one if pages > 1 else f"one row: {path.name},COUNT",
        got=", ".join(whole if page is None else f"page {page}" for page in [*given][:5]),
        hint="three columns: file,page,count, pages from 1",
    )


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
    counts = {each: table[row] for each, row in rows.items()}
    if {*found} == {"train"}:
        files = _parted(files["train"], counts, listener)
        found.clear()  # test is to come first
    found |= {split: _with_counts(it, counts, path) for split, it in files.items()}
    if len(rows) < len(table):
        used = {*rows.values()}
        unused = [row for row in table if row not in used]
        told = numbered("{n} {row names|rows name} no picture", len(table) - len(rows))
        listener.note(f"{path}: {told}: {first_three(unused)}")


def _parted(pictures: Files, counts: Mapping[Path, Counts], listener: Listener) -> dict[str, Files]:
    """Counted pictures as the test split, where they are at most half of all; else all as train.

    Tiles of pictures have no counts, so that pictures to be cut are all train.
    """
    if pictures.reading.tiled:
        return {"train": pictures}
    counted = [each for each in pictures.paths if each in counts]
    if len(counted) > len(pictures.paths) / 2:
        return {"train": pictures}
    others = [each for each in pictures.paths if each not in counts]
    words = "the {n} counted {picture is|pictures are} the test split, not to be trained on"
    listener.note(numbered(words, len(counted)))
    name, reading = pictures.name, pictures.reading
    return {"test": Files(name, counted, reading), "train": Files(name, others, reading)}


def _with_counts(pictures: Files, counts: Mapping[Path, Counts], path: Path) -> Files:
    """Pictures with the counts of their rows; as they are where none has a row."""
    missing = [each for each in pictures.paths if each not in counts]
    if missing and len(missing) < len(pictures.paths):
        raise ImageError(
            "The table of counts lacks pictures",
            where=path,
            expected=f"a row for each of the {len(pictures.paths):,} pictures",
            got=f"none for {missing[0].name}, the first of {len(missing):,}",
            hint="add them; or leave out --tile, as counts say nothing of tiles"
            if pictures.reading.tiled
            else "add them; of at most half of one folder, the counted ones become the test split",
        )
    if missing:
        return pictures

    def truths(file: Path, pages: int) -> Sequence[Truth]:
        return _truths(counts[file], file, pages)

    return Files(pictures.name, pictures.paths, pictures.reading, truths)


def _matched(paths: Sequence[Path], table: Mapping[str, Counts], path: Path) -> dict[Path, str]:
    """The row of each picture that has one: by folder and name, or else by its name alone."""
    found = {each: row for each in paths for row in _tails(each) if row in table}
    rows_of = defaultdict(list)
    for row in table.keys() - set(found.values()):
        rows_of[PurePosixPath(row).name].append(row)
    users: dict[str, Path] = {}
    for each in paths:
        names = () if each in found else map(_composed, (each.name, each.stem))
        rows = [found[each]] if each in found else next(filter(None, map(rows_of.get, names)), [])
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
    return {each: row for row, each in users.items()}


def _tails(path: Path) -> Iterator[str]:
    """What a row may call a picture: its folders and name, with and without the ending."""
    for depth in (2, 3):
        tail = _composed("/".join(path.parts[-depth:]))
        yield tail
        yield tail.removesuffix(path.suffix)


def _composed(name: str) -> str:
    """A name whose accents are part of their letters; a Mac's file names have them apart."""
    return unicodedata.normalize("NFC", name)


def _read(path: Path) -> dict[str, Counts]:
    """Counts by file name and page, of a CSV file; a first line of words names its columns.

    Raises:
        ImageError: it cannot be read, a count is no whole number, or a page has two.
    """
    rows = _rows(path)
    columns = _columns(rows[0][1]) if rows else Columns()
    counts: dict[str, Counts] = {}
    for place, (line, row) in enumerate(rows):
        name = _composed(_cell(row, columns.name).replace("\\", "/"))
        cell = _cell(row, columns.count)
        number = "" if columns.page is None else _cell(row, columns.page)
        whole, page = _whole(cell), _whole(number)
        if whole is None or (number and page is None):
            if place:  # the first line may name the columns
                got = cell if whole is None else f"page {number}"
                raise _unreadable(f"{path}, line {line}", f"{got or 'nothing'} for {name}")
            continue
        page = None if page is None else page - columns.first + 1
        if counts.setdefault(name, {}).setdefault(page, whole) != whole:
            of = name if page is None else f"page {page} of {name}"
            got = f"{whole} and {counts[name][page]} for {of}"
            raise _unreadable(f"{path}, line {line}", got, "one count for each picture or page")
    return counts


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Lines of a CSV file by number, cells without the blanks around; empty ones are left out."""
    try:
        check_regular(path)
        text = path.read_text("utf-8-sig")
        reader = csv.reader(text.splitlines(), delimiter=delimiter(text))
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = getattr(error, "strerror", None) or error
        raise _unreadable(str(path), got) from error


def delimiter(text: str) -> str:
    """What separates the cells of a table: a semicolon, a tab or a comma."""
    return ";" if text.count(";") > text.count(",") else "\t" if "\t" in text else ","


def _columns(row: Sequence[str]) -> Columns:
    """The columns of a table by its first row.

    Columns may be named file or image, page (from 1) or index (from 0, as ``airkit infer`` writes
    it), and count. Without names there are two, file and count, or three, file, page and count.
    """
    if _whole(_cell(row, 1)) is not None:
        pages = len(row) == 3 and _whole(row[2]) is not None
        return Columns(0, 2, 1) if pages else Columns()
    names = [cell.lower() for cell in row]
    name = next((names.index(each) for each in _FILE if each in names), 0)
    page = next((names.index(each) for each in ("page", "index") if each in names[1:]), None)
    count = int(name == 0) if page is None else page + 1
    count = names.index("count") if "count" in names else count
    return Columns(name, count, page, int(page is None or names[page] == "page"))


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _whole(cell: str) -> int | None:
    found = _WHOLE.fullmatch(cell)
    return int(found[1]) if found else None


def _unreadable(
    where: str,
    got: object,
    expected: str = "a file name and a whole number in each line, as text in UTF-8",
) -> ImageError:
    return ImageError(
        "A table of counts cannot be read",
        where=where,
        expected=expected,
        got=got,
        hint="two columns, file,count, or three, file,page,count; among others, name one count",
    )
