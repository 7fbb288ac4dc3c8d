"""What a person names, as sources of pictures with what is known of them.

A folder, a picture file, ``.npy``, ``.npz``, an array in an HDF5 file (``FILE.h5:/path``), a COCO
JSON file, an array, a tensor or a PIL image, or a list of these; beside them arrays of truth, or a
CSV file of counts.

Shapes: N pictures of H x W pixels; C channels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from airkit.data.canvases import SPLITS
from airkit.data.imports.coco_pictures import annotated, is_coco
from airkit.data.imports.folders import files_of
from airkit.data.imports.pictures import (
    Bad,
    Files,
    InMemory,
    Picture,
    Pictures,
    Reading,
    reading_of,
)
from airkit.data.imports.stacks import (
    as_array,
    known_of_each,
    of_array,
    of_hdf5,
    of_npy,
    of_npz,
    rows_of,
)
from airkit.data.imports.tables import add_table
from airkit.data.imports.truth import TRUTH, check_known, contradiction, truth_of
from airkit.errors import ImageError
from airkit.system.callbacks import Listener
from airkit.system.files import ZIP, check_regular, start_of
from airkit.system.paths import to_path

_NPY, _HDF5 = b"\x93NUMPY", b"\x89HDF"
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


_ANY = "a folder, a picture file, .npy, .npz, FILE.h5:/PATH or a COCO .json"
_EXPECTED = {
    ".np": "an array of NumPy, as numpy.save or numpy.savez writes it",
    ".js": "a COCO JSON file",
    ".h5": "an HDF5 file",
    ".hd": "an HDF5 file",
}
"""What a file should be, by the first letters of its ending."""


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
            found[split] = pictures_of(splits[split], known, reading)
            if known and isinstance(found[split], Files):
                raise ImageError(
                    "Truth in arrays needs pictures in an array",
                    where=splits[split],
                    got=f"files, and {', '.join(known)}",
                    hint="a CSV file of file names and counts, or the pictures as one array",
                )
    if isinstance(table, str | Path):
        add_table(found, to_path(table), listener)
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


def _splits_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sources by split; a folder with sub-folders train, val and test gives those it has.

    Args:
        given: what was named for train, and for val and test, where it was.
    """
    train = given["train"]
    train = to_path(train) if isinstance(train, str | Path) else train
    if set(given) == {"train"} and isinstance(train, Path) and os.path.isdir(train):
        found = {
            split: train / name
            for split, names in SPLIT_NAMES.items()
            for name in reversed(names)
            if os.path.isdir(train / name)
        }
        if "train" in found:
            return found
    return dict(given)


def pictures_of(
    given: Any, known: Mapping[str, Any], reading: Reading, name: str = "the array"
) -> Pictures:
    """The pictures that a person named.

    Args:
        given: a path, an array, a tensor, a PIL image, or a list of these.
        known: arrays of counts, boxes, labels, masks of its pictures, those that are known.
        reading: how they are read.
        name: of an array.

    Raises:
        ImageError: there is nothing, or nothing that can be read.
    """
    if isinstance(given, Image.Image):
        given = [given]
    if isinstance(given, list | tuple | Iterator):
        return pictures_of_list(name.replace("array", "list"), [*given], known, reading)
    if not isinstance(given, str | Path):
        return rows_of(of_array(name, as_array(given)), known, reading)
    path = to_path(given)
    there = os.path.exists(path) or os.path.exists(str(path).rpartition(":")[0])
    with reading_of(path, _EXPECTED.get(path.suffix.lower()[:3], "") if there else _ANY):
        return _from_path(path, known, reading)


def _from_path(path: Path, known: Mapping[str, Any], reading: Reading) -> Pictures:
    if os.path.isdir(path):
        return _from_folder(path, reading)
    file, colon, inner = str(path).rpartition(":")
    if colon and os.path.exists(file) and not os.path.exists(path):
        check_regular(Path(file))
        stack, found = of_hdf5(Path(file), inner, reading)
        return rows_of(stack, {**found, **known}, reading)
    start = start_of(path, 8)  # the content decides, not the name
    if start.startswith((ZIP, _HDF5)):
        stack, found = (
            of_npz(path, reading) if start.startswith(ZIP) else of_hdf5(path, "", reading)
        )
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


class Listed(Pictures):
    """Pictures and files of a list; the row of each array of truth is its place in the list."""

    def __init__(
        self, name: str, items: Sequence[Any], known: Mapping[str, Any], reading: Reading
    ) -> None:
        super().__init__(name, len(items), reading)
        check_known(name, known, len(items))
        self.known = known
        self.sources = [_one(f"{name}, picture {i}", each, reading) for i, each in enumerate(items)]

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """See ``Pictures.walk``."""
        pairs = zip(self.sources, known_of_each(self.known), strict=False)
        for place, (source, known) in enumerate(pairs):
            for picture in source.walk(bad):
                if known and picture.index:  # not the first page
                    raise contradiction(
                        picture.name,
                        "files of one page, as truth is given for each file",
                        "several",
                    )
                index = place if picture.index is None else picture.index
                try:
                    truth = truth_of(picture.name, known, self.reading)
                except ImageError as error:
                    bad(Path(picture.name), error)
                else:
                    yield replace(picture, truth=truth, index=index)


def pictures_of_list(
    name: str, items: Sequence[Any], known: Mapping[str, Any], reading: Reading
) -> Pictures:
    """The pictures of a list: a stack where all are arrays of one shape and type.

    Args:
        name: of the list, for messages.
        items: arrays or tensors [H, W], [H, W, C] or [C, H, W]; PIL images; paths of files.
        known: arrays of counts, boxes, labels, masks of its pictures, those that are known.
        reading: how they are read.

    Raises:
        ImageError: an item is no picture, or the truth does not go with them.
    """
    if any(isinstance(each, Image.Image | str | Path) for each in items):
        return Listed(name, items, known, reading)
    try:
        numbers = not any(hasattr(each, "dtype") for each in items)
        arrays = np.asarray(items) if numbers else [as_array(each) for each in items]
    except ValueError as error:
        raise _no_picture(name, str(error).partition(".")[0]) from error
    if len({(each.shape, each.dtype) for each in arrays}) > 1:
        return Listed(name, [*arrays], known, reading)
    return rows_of(of_array(name, np.asarray(arrays)), known, reading)


def _one(name: str, given: Any, reading: Reading) -> Pictures:
    if isinstance(given, Image.Image):
        return InMemory(name, given, reading)
    if isinstance(given, str | Path):
        return Files(str(given), [to_path(given)], reading)
    array = as_array(given)
    if array.ndim not in (2, 3):
        raise _no_picture(name, f"{array.dtype} {list(array.shape)}")
    return rows_of(replace(of_array(name, array[None]), single=True), {}, reading)


def _no_picture(name: str, got: str) -> ImageError:
    return ImageError(
        "A list holds what is no picture",
        where=name,
        expected="arrays or tensors [H, W], [H, W, C] or [C, H, W] of numbers, PIL images, files",
        got=got,
        hint="correct it, or leave it out",
    )
