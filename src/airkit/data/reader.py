"""The data file read: canvases, their truth and whence they came, in one HDF5 file.

Groups ``train``, ``val`` and ``test`` hold the arrays of ``compose.Canvases`` under their names;
the root's attributes hold the rest. A reader trusts nothing: every array must be in the file
itself, whole, and of the shape that the file's own configuration gives it, before memory is
taken for it.

Shapes: N canvases of a split, M digits at most on one, H = W side of a canvas.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from airkit.config.schema import Config
from airkit.config.settings import from_json
from airkit.data import chunks
from airkit.data.compose import Canvases
from airkit.data.format import DTYPES, ContentDigest, shapes
from airkit.data.packing import chunk_rows
from airkit.data.sources import SPLITS
from airkit.errors import ConfigError, DataFileError
from airkit.system.files import check_regular
from airkit.system.text import quoted

FORMAT = "airkit-canvases"
FORMAT_VERSION = 1

ANOTHER = "name another, or write one beside it: airkit make-data --out NAME"
"""What to try in place of a file that is of no use: it may be something else of the user's."""
_MOST_SQUEEZED = 1100  # deflate cannot make an array smaller than this many times
_H5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class DataInfo:
    """What a data file says about itself; ``splits`` has the number of canvases in each."""

    path: Path
    config: Config
    source: str
    source_digest: str
    content_digest: str
    licence: str
    attribution: str
    airkit_version: str
    format_version: int
    splits: Mapping[str, int]


def read_info(path: Path) -> DataInfo:
    """What a data file says about itself, all arrays checked but not read.

    Raises:
        DataFileError: the file is missing, damaged, foreign, unfinished or of a newer format.
    """
    with _reading(path) as file:
        return _info(file, path)


def read_split(path: Path, split: str, limit: int | None = None) -> Canvases:
    """The canvases of a split, or the first ``limit`` of them, as arrays in memory.

    Raises:
        DataFileError: there is no such split or no memory for it, or as for ``read_info``.
    """
    with _reading(path) as file:
        info = _info_with(file, path, split)
        stop = info.splits[split] if limit is None else min(limit, info.splits[split])
        return _rows(file, info, split, slice(stop))


def read_parts(path: Path, split: str) -> Iterator[Canvases]:
    """The canvases of a split in order, a chunk of the file at a time.

    Raises:
        DataFileError: as for ``read_split``, at the first part or at a later one.
    """
    with _reading(path) as file:
        info = _info_with(file, path, split)
        step = chunk_rows(file[split]["image"].shape)
        for start in range(0, info.splits[split], step):
            yield _rows(file, info, split, slice(start, start + step))


def _info_with(file: Any, path: Path, split: str) -> DataInfo:
    """What a data file says about itself, where there is such a split."""
    if split not in SPLITS:
        raise DataFileError(
            "No such split",
            where=path,
            expected=" or ".join(SPLITS),
            got=repr(split),
            hint=f"airkit info {quoted(path)}, which says what each split holds",
        )
    return _info(file, path)


def _rows(file: Any, info: DataInfo, split: str, rows: slice) -> Canvases:
    """Some canvases of a split, their counts and boxes checked."""
    canvases = Canvases(**{name: file[split][name][rows] for name in DTYPES})
    path = info.path
    most, found = info.config.data.max_digits, canvases.count.max(initial=0)
    if found > most:
        raise _damaged(path, f"counts of {split} up to {most}", f"a count of {found}")
    if not np.isfinite(canvases.box).all():
        raise _damaged(path, f"boxes of {split} in numbers", "nan or inf")
    return canvases


def verify(path: Path) -> str:
    """Read everything and return the content digest, which is as the file says.

    Raises:
        DataFileError: the content is not what was written, or as for ``read_info``.
    """
    with _reading(path) as file:
        info = _info(file, path)
        content = ContentDigest(info.config.data)
        for split, many in info.splits.items():
            for name in DTYPES:
                dataset = file[split][name]
                step = chunk_rows(dataset.shape)
                for start in range(0, many, step):
                    content.update(split, name, dataset[start : start + step])
    if content.digest() != info.content_digest:
        raise _damaged(path, f"content of digest {info.content_digest}", content.digest())
    return info.content_digest


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """The file opened for reading; whatever h5py raises becomes one DataFileError."""
    try:
        check_regular(path)
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError as error:
        raise DataFileError(
            "There is no such data file", where=path, hint=f"airkit make-data --out {quoted(path)}"
        ) from error
    except MemoryError as error:
        raise DataFileError(
            "The canvases do not fit into memory",
            where=path,
            got=error,
            hint="make fewer: airkit make-data --train N --val N --test N",
        ) from error
    except _H5_ERRORS as error:
        if os.path.isdir(path):
            raise DataFileError(
                "This is a folder, not a data file",
                where=path,
                expected="an HDF5 file",
                hint="name a file with --data; airkit make-data writes one",
            ) from error
        if number := getattr(error, "errno", None):
            reason = os.strerror(number)
            raise DataFileError(
                "Cannot read the data file",
                where=path,
                got=reason,
                hint="check the file's permissions, or name another with --data",
            ) from error
        raise _damaged(path, "a whole HDF5 file", error) from error


def _info(file: Any, path: Path) -> DataInfo:
    """Check format, completeness, configuration and every array's layout."""
    _check_format(file, path)
    attributes = {
        name: _text(file, path, name)
        for name in ("source", "source_digest", "content_digest", "licence", "attribution")
    }
    written_by = _text(file, path, "airkit_version")
    config = _config(file, path, written_by)
    for split in SPLITS:
        for name, shape in shapes(config.data, split).items():
            _check_dataset(file, path, f"{split}/{name}", shape)
    return DataInfo(
        path=path,
        config=config,
        airkit_version=written_by,
        format_version=FORMAT_VERSION,
        splits={split: getattr(config.data, split) for split in SPLITS},
        **attributes,
    )


def _check_format(file: Any, path: Path) -> None:
    name = _attribute(file, "format")
    if name != FORMAT:
        raise DataFileError(
            "This HDF5 file is not one of airkit's",
            where=path,
            expected=f"the attribute format = {FORMAT}",
            got="no such attribute" if name is None else name,
            hint="airkit make-data writes a data file",
        )
    version = _attribute(file, "format_version")
    if isinstance(version, np.integer) and version > FORMAT_VERSION:
        raise DataFileError(
            "This data file is of a newer format than this airkit reads",
            where=path,
            expected=f"format version {FORMAT_VERSION}",
            got=f"{version}, written by airkit {_attribute(file, 'airkit_version')}",
            hint="upgrade airkit: pip install --upgrade airkit",
        )
    if version != FORMAT_VERSION:
        raise _damaged(path, f"format version {FORMAT_VERSION}", version)
    if not _attribute(file, "complete"):
        raise _damaged(path, "a file written to its end", "no mark of completeness")


def _attribute(file: Any, name: str) -> object:
    """An attribute of the root, or None; text of variable length is not read (see ``writer``)."""
    if name not in file.attrs or file.attrs.get_id(name).dtype.kind == "O":
        return None
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else value


def _text(file: Any, path: Path, name: str) -> str:
    value = _attribute(file, name)
    if not isinstance(value, str):
        raise _damaged(path, f"text in the attribute {name}", value)
    return value


def _config(file: Any, path: Path, written_by: str) -> Config:
    try:
        return from_json(_text(file, path, "config"), f"{path}, by airkit {written_by}")
    except ConfigError as error:
        raise _damaged(path, "a configuration that this airkit reads", error) from error


def _check_dataset(file: Any, path: Path, name: str, shape: tuple[int, ...]) -> None:
    """Check that an array is in this file, of the right layout, and all there."""
    for link in (name.partition("/")[0], name):
        if not isinstance(file.get(link, getlink=True), h5py.HardLink):
            raise _damaged(path, f"{link} in the file itself", "nothing or a link to elsewhere")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise _damaged(path, f"an array {name} in the file itself", "something else")
    dtype = np.dtype(DTYPES[name.rpartition("/")[2]])
    if dataset.shape != shape or dataset.dtype != dtype:
        raise _damaged(path, f"{name} of {dtype} {shape}", f"{dataset.dtype} {dataset.shape}")
    if not chunks.filters(dataset) <= chunks.KNOWN_FILTERS:
        raise _damaged(path, f"{name} plain or squeezed by gzip or lzf", "other filters")
    size, stored = prod(shape) * dtype.itemsize, dataset.id.get_storage_size()
    if not chunks.all_there(dataset) or size > stored * _MOST_SQUEEZED:
        raise _damaged(path, f"{size:,} bytes of {name}", f"{stored:,} bytes in the file")


def _damaged(path: Path, expected: object, got: object) -> DataFileError:
    return DataFileError(
        "The data file is damaged or not one of airkit's",
        where=path,
        expected=expected,
        got="nothing" if got is None else got,
        hint=ANOTHER,
    )
