"""What a person names, as sources of pictures with what is known of them.

A folder, a picture file, ``.npy``, ``.npz``, an array in an HDF5 file (``FILE.h5:/path``), a COCO
JSON file, an array or a tensor; beside them arrays of truth, or a CSV file of counts.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airkit.data.coco_pictures import annotated, is_coco
from airkit.data.digits import SPLITS
from airkit.data.pictures import (
    UNKNOWN,
    Files,
    Pictures,
    Reading,
    Truth,
    files_of,
    reading_of,
)
from airkit.data.stacks import as_array, of_array, of_hdf5, of_npy, of_npz, rows_of
from airkit.data.truth_rows import TRUTH
from airkit.errors import ImageError
from airkit.system.callbacks import Listener
from airkit.system.files import ZIP, start_of
from airkit.system.paths import to_path

_NPY, _HDF5 = b"\x93NUMPY", b"\x89HDF"
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def sources_of(
    given: Mapping[str, Any], reading: Reading, listener: Listener
) -> dict[str, Pictures]:
    """The pictures of the splits that were given, test first.

    Args:
        given: by split a path, an array or a mapping with ``images`` and what is known of them;
            None where there is nothing.
        reading: how they are read.
        listener: hears of rows of a table that name no picture.

    Raises:
        ImageError: there is nothing that can be read, or truth that does not go with it.
    """
    named = {split: _named(split, each) for split, each in given.items() if each is not None}
    table = named["train"].get("counts")
    if isinstance(table, str | Path):
        named["train"]["counts"] = None
    splits = _splits_of({split: each.pop("images") for split, each in named.items()})
    found = {}
    for split in reversed(SPLITS):
        if split in splits:
            known = {name: rows for name, rows in named.get(split, {}).items() if rows is not None}
            if isinstance(splits[split], str | Path) and os.path.isdir(splits[split]):
                _refuse_rows(splits[split], known)
            found[split] = pictures_of(splits[split], known, reading)
    if isinstance(table, str | Path):
        path = to_path(table)
        _add_table(found, _read_table(path), path, listener)
    return found


def _named(split: str, given: Any) -> dict[str, Any]:
    """What was given for a split as a mapping of pictures and what is known of them."""
    each = dict(given) if isinstance(given, Mapping) else {"images": given}
    unknown = sorted(set(each) - {"images", *TRUTH})
    if unknown or "images" not in each:
        raise ImageError(
            f"The pictures of {split} cannot be told",
            where=split,
            expected=f"a mapping with images, and any of {', '.join(TRUTH)}",
            got=", ".join(each),
            hint="{'images': ..., 'counts': ...}",
        )
    return each


def _refuse_rows(path: str | Path, known: Mapping[str, Any]) -> None:
    if known:
        raise ImageError(
            "Arrays of truth go with arrays of pictures",
            where=path,
            got=f"a folder, and {', '.join(known)}",
            hint="a CSV file of file names and counts, or the pictures as one array",
        )


def _add_table(
    found: dict[str, Pictures], table: Mapping[str, int], path: Path, listener: Listener
) -> None:
    """Give the pictures of every split the counts of a table."""
    served = 0
    for split, pictures in found.items():
        found[split], rows = _with_table(pictures, table, path)
        served += rows
    if not served:
        raise ImageError(
            "The table of counts names none of the pictures",
            where=path,
            expected="names of files, such as a.png or a",
            got=", ".join([*table][:3]) or "no rows",
            hint="file names in the first column, counts in the second",
        )
    if served < len(table):
        listener.note(f"{path}: {len(table) - served:,} rows name no picture")


def _splits_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sources by split; a folder with sub-folders train, val and test gives those it has.

    Args:
        given: what was named for train, and for val and test, where it was.
    """
    train = given["train"]
    if set(given) == {"train"} and isinstance(train, str | Path) and os.path.isdir(train):
        found = {
            split: Path(train) / name
            for split, names in SPLIT_NAMES.items()
            for name in reversed(names)
            if os.path.isdir(Path(train) / name)
        }
        if "train" in found:
            return found
    return dict(given)


def pictures_of(
    given: Any, known: Mapping[str, Any], reading: Reading, name: str = "the array"
) -> Pictures:
    """The pictures that a person named.

    Args:
        given: a path, an array or a tensor.
        known: arrays of counts, boxes, labels, masks of its pictures, those that are known.
        reading: how they are read.
        name: of an array.

    Raises:
        ImageError: there is nothing, or nothing that can be read.
    """
    if not isinstance(given, str | Path):
        return rows_of(of_array(name, as_array(given)), known, reading)
    path = to_path(given)
    with reading_of(path):
        return _from_path(path, known, reading)


def _from_path(path: Path, known: Mapping[str, Any], reading: Reading) -> Pictures:
    if os.path.isdir(path):
        return _from_folder(path, reading)
    file, colon, inner = str(path).rpartition(":")
    if colon and os.path.isfile(file):
        stack, found = of_hdf5(Path(file), inner, reading)
        return rows_of(stack, {**found, **known}, reading)
    start = start_of(path, 8)  # the content decides, not the name
    if start.startswith((ZIP, _HDF5)):
        packed = of_npz(path, reading) if start.startswith(ZIP) else of_hdf5(path, "", reading)
        stack, found = packed
        return rows_of(stack, {**found, **known}, reading)
    if start.startswith(_NPY):
        return rows_of(of_npy(path), known, reading)
    if path.suffix.lower() == ".json":
        return annotated(path, reading)
    return Files(str(path), [path], reading)


def _from_folder(path: Path, reading: Reading) -> Files:
    """The pictures of a folder, or those that its COCO file lists."""
    for name in ("annotations.json", "labels.json", "_annotations.coco.json"):
        if (path / name).is_file() and is_coco(path / name):
            return annotated(path / name, reading)
    return Files(str(path), files_of(path, reading.noticed), reading)


def _with_table(pictures: Pictures, table: Mapping[str, int], path: Path) -> tuple[Pictures, int]:
    """Files with the counts that a table has for them, and how many of its rows serve them."""
    if not isinstance(pictures, Files):
        raise ImageError(
            "A table of counts goes with files of pictures",
            where=path,
            got=pictures.name,
            hint="name a folder, or numpy.savez(FILE, images=..., counts=...)",
        )
    found = {
        each: Truth(count=table[name])
        for each in pictures.paths
        for name in (each.stem, each.name)
        if name in table
    }
    if found and len(found) < len(pictures.paths):
        missing = next(each for each in pictures.paths if each not in found)
        raise ImageError(
            "The table of counts lacks pictures",
            where=path,
            expected=f"a row for each of {len(pictures.paths):,} pictures",
            got=f"none for {missing.name}, the first of {len(pictures.paths) - len(found):,}",
            hint="add them, or move the pictures that are not counted elsewhere",
        )
    truth = {each: found.get(each, UNKNOWN) for each in pictures.paths}
    return Files(pictures.name, pictures.paths, pictures.reading, truth), len(found)


def _read_table(path: Path) -> dict[str, int]:
    """Counts by file name, of a CSV file of two columns; a first line of words is passed over.

    Raises:
        ImageError: it cannot be read, or a count is no whole number.
    """
    with reading_of(path):
        text = path.read_text("utf-8-sig")
        dialect = ";" if text.count(";") > text.count(",") else "\t" if "\t" in text else ","
        rows = [row for row in csv.reader(text.splitlines(), delimiter=dialect) if row]
    counts: dict[str, int] = {}
    for line, row in enumerate(rows):
        count = row[1].strip() if len(row) > 1 else ""
        if count.isdecimal():
            counts[Path(row[0].strip()).name] = int(count)
        elif line:
            raise ImageError(
                "A table of counts cannot be read",
                where=f"{path}, line {line + 1}",
                expected="a file name and a whole number",
                got=",".join(row),
                hint="two columns: file,count",
            )
    return counts
