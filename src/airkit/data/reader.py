"""Reading data files that may be damaged or forged.

Memory is allocated for an array only after ``airkit.data.info`` has checked it.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from airkit.data.canvases import SPLITS, Canvases
from airkit.data.format import ContentDigest, chunk_rows
from airkit.data.info import DataInfo, damaged, info_of
from airkit.errors import DataFileError
from airkit.system.files import check_regular
from airkit.system.text import quoted

_H5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)


def read_info(path: str | Path) -> DataInfo:
    """Read a data file's attributes, and check its arrays without reading them.

    Raises:
        DataFileError: the file is missing, damaged, foreign, unfinished or of a newer format.
    """
    with _reading(path := Path(path)) as file:
        return info_of(file, path)


def read_split(path: str | Path, split: str, limit: int | None = None) -> Canvases:
    """Read the canvases of a split into memory, at most ``limit`` of them.

    Raises:
        DataFileError: there is no such split or no memory for it, or as for ``read_info``.
    """
    return Canvases(**read_arrays(path, split, limit=limit))


def read_arrays(
    path: str | Path, split: str, *, without: Container[str] = (), limit: int | None = None
) -> dict[str, NDArray[Any]]:
    """Read the arrays of a split by name, but those ``without``; see ``read_split``."""
    if split not in SPLITS:
        expected, hint = " or ".join(SPLITS), f"airkit info {quoted(path)}"
        raise DataFileError("No such split", where=path, expected=expected, got=split, hint=hint)
    with _reading(path := Path(path)) as file:
        info = info_of(file, path)
        names = [name for name in info.arrays[split] if name not in without]
        return _checked_rows(file, info, split, slice(limit), names)


def read_parts(path: str | Path, split: str) -> Iterator[Canvases]:
    """Yield the canvases of a split in order, a chunk of the file at a time.

    Raises:
        DataFileError: as for ``read_split``, at the first part or a later one.
    """
    with _reading(path := Path(path)) as file:
        yield from _parts(file, info_of(file, path), split)


class ArrayFile:
    """An array of a split in its file, which is kept open to be read some rows at a time.

    Raises:
        DataFileError: as for ``read_split``, now or as rows are read.
    """

    def __init__(self, path: str | Path, split: str, name: str) -> None:
        self._path, self._split, self._name = Path(path), split, name
        with _translated_errors(self._path):
            check_regular(self._path)
            self._file = _open(self._path)
            self._info = info_of(self._file, self._path)

    def rows(self, start: int, stop: int | None) -> NDArray[Any]:
        """Read the rows from ``start`` to ``stop`` (excluded), or to the last."""
        rows, names = slice(start, stop), [self._name]
        with _translated_errors(self._path):
            return _checked_rows(self._file, self._info, self._split, rows, names)[self._name]


def verify(path: str | Path) -> str:
    """Read everything and return the content digest, which is the one that the file states.

    Raises:
        DataFileError: the content has another digest, or as for ``read_info``.
    """
    with _reading(path := Path(path)) as file:
        info = info_of(file, path)
        content = ContentDigest(info.config.data, info.arrays)
        for split in SPLITS:
            for part in _parts(file, info, split):
                for name, array in part.known.items():
                    content.update(split, name, array)
    if content.digest() != info.content_digest:
        raise damaged(path, f"content of digest {info.content_digest}", content.digest())
    return info.content_digest


def _parts(file: Any, info: DataInfo, split: str) -> Iterator[Canvases]:
    step = chunk_rows(file[split]["image"].shape)
    for start in range(0, info.splits[split], step):
        rows = slice(start, start + step)
        yield Canvases(**_checked_rows(file, info, split, rows, info.arrays[split]))


def _checked_rows(
    file: Any, info: DataInfo, split: str, rows: slice, names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Read some rows of arrays of a split, and check counts, boxes and masks."""
    known = {name: file[split][name][rows] for name in names}
    most = info.config.data.max_digits
    for name in {"count", "mask"} & {*names}:
        found = known[name].max(initial=0)
        if found > most:
            raise damaged(info.path, f"{name}s of {split} up to {most}", f"a {name} of {found}")
    if "box" in known and not np.isfinite(known["box"]).all():
        raise damaged(info.path, f"finite boxes of {split}", "nan or inf")
    return known


def _open(path: Path) -> Any:
    """Open a file for reading, without a lock where the file system refuses one."""
    try:
        return h5py.File(path, "r")
    except BlockingIOError:  # locked by a process that writes to it
        raise
    except OSError:  # which comes again if the lock was not its reason
        return h5py.File(path, "r", locking=False)


def _in_use(path: Path) -> DataFileError:
    hint = f"close it there; if its writer was killed, h5clear --status {quoted(path)} (of HDF5)"
    return DataFileError(
        "Another program has the data file open for writing", where=path, hint=hint
    )


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open the file for reading; raises a DataFileError of whatever h5py raises."""
    with _translated_errors(path):
        check_regular(path)
        with _open(path) as file:
            yield file


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises into one DataFileError."""
    try:
        yield
    except FileNotFoundError as error:
        out = f"--out {quoted(path)}"
        makes = f"airkit make-data {out}; of your own pictures: airkit import PICTURES {out}"
        hint = f"name another with --data, or make it: {makes}"
        raise DataFileError("There is no such data file", where=path, hint=hint) from error
    except BlockingIOError as error:
        raise _in_use(path) from error
    except MemoryError as error:
        hint = "make fewer: airkit make-data --train N --val N --test N"
        what = "The canvases do not fit into memory"
        raise DataFileError(what, where=path, got=error, hint=hint) from error
    except IsADirectoryError as error:
        folder = path if path.name not in ("", "..") else path.resolve()
        beside = folder.with_name(f"{folder.name}.h5") if folder.name else Path("pictures.h5")
        raise DataFileError(
            "This is a folder, not a data file",
            where=path,
            expected="a file that airkit make-data or airkit import writes",
            got="a folder",
            hint=f"of a folder of pictures: airkit import {quoted(path)} --out {quoted(beside)}",
        ) from error
    except _H5_ERRORS as error:
        if "already open for write" in str(error):  # as the file itself says
            raise _in_use(path) from error
        number = getattr(error, "errno", None)
        got = os.strerror(number) if number else error  # short where HDF5's own text is long
        raise damaged(path, "a whole HDF5 file", got) from error
