"""Reading data files that may be damaged or forged.

Nothing in a file is trusted: every array must be in the file itself, complete, and of the shape
that the file's own configuration gives it, before memory is allocated for it.

Shapes: N canvases of a split, M digits at most on one.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import Config
from airkit.config.settings import from_json
from airkit.data.compose import Canvases
from airkit.data.digits import SPLITS
from airkit.data.format import (
    DIGITS,
    DTYPES,
    FORMAT,
    FORMAT_VERSION,
    Arrays,
    ContentDigest,
    chunk_rows,
    from_words,
    shapes,
    version_of,
)
from airkit.errors import ConfigError, DataFileError
from airkit.system.files import check_regular
from airkit.system.text import quoted

ANOTHER = "name another, or write one beside it: airkit make-data --out NAME"
"""Next step for a useless file, which is left alone: it may be something else of the user's."""
_KNOWN_FILTERS = {1, 2, 32000}  # HDF5's numbers for gzip, shuffle and lzf
_MAX_CHUNK = 2**26  # numbers in a chunk; the writer stays far below
_MAX_RATIO = 1100  # deflate cannot compress further than this
_TEXTS = (
    "airkit_version", "source", "source_digest", "content_digest", "licence", "attribution",
)  # fmt: skip
_H5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class DataInfo:
    """Attributes of a data file.

    ``splits`` has the number of canvases of each split, ``arrays`` the names of its arrays: of
    the truth, what is known.
    """

    path: Path
    config: Config
    splits: Mapping[str, int]
    arrays: Arrays
    format_version: int
    airkit_version: str
    source: str
    source_digest: str
    content_digest: str
    licence: str
    attribution: str


def read_info(path: str | Path) -> DataInfo:
    """Read a data file's attributes, and check its arrays without reading them.

    Raises:
        DataFileError: the file is missing, damaged, foreign, unfinished or of a newer format.
    """
    with _reading(path := Path(path)) as file:
        return _info(file, path)


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
        info = _info(file, path)
        names = [name for name in info.arrays[split] if name not in without]
        return _known(file, info, split, slice(limit), names)


def read_parts(path: str | Path, split: str) -> Iterator[Canvases]:
    """Yield the canvases of a split in order, a chunk of the file at a time.

    Raises:
        DataFileError: as for ``read_split``, at the first part or a later one.
    """
    with _reading(path := Path(path)) as file:
        yield from _parts(file, _info(file, path), split)


class ArrayFile:
    """An array of a split in its file, which is kept open to be read some rows at a time.

    Raises:
        DataFileError: as for ``read_split``, now or as rows are read.
    """

    def __init__(self, path: str | Path, split: str, name: str) -> None:
        self._path, self._split, self._name = Path(path), split, name
        with _told(self._path):
            check_regular(self._path)
            self._file = _open(self._path)
            self._info = _info(self._file, self._path)

    def rows(self, start: int, stop: int | None) -> NDArray[Any]:
        """Read the rows from ``start`` to ``stop`` (excluded), or to the last."""
        with _told(self._path):
            rows = slice(start, stop)
            return _known(self._file, self._info, self._split, rows, [self._name])[self._name]


def verify(path: str | Path) -> str:
    """Read everything and return the content digest, which is the one that the file states.

    Raises:
        DataFileError: the content has another digest, or as for ``read_info``.
    """
    with _reading(path := Path(path)) as file:
        info = _info(file, path)
        content = ContentDigest(info.config.data, info.arrays)
        for split in SPLITS:
            for part in _parts(file, info, split):
                for name, array in part.known.items():
                    content.update(split, name, array)
    if content.digest() != info.content_digest:
        raise _damaged(path, f"content of digest {info.content_digest}", content.digest())
    return info.content_digest


def lacking(path: Path, split: str, truth: str) -> DataFileError:
    """Return the error of work that needs truth which a split of a data file does not have."""
    return DataFileError(
        f"The {split} canvases have no true {truth}, which this needs",
        where=path,
        expected=f"a data file with {truth}",
        hint=f"airkit import takes {truth} along where they are known; "
        "eval, render and report of one run need none",
    )


def _parts(file: Any, info: DataInfo, split: str) -> Iterator[Canvases]:
    step = chunk_rows(file[split]["image"].shape)
    for start in range(0, info.splits[split], step):
        yield _rows(file, info, split, slice(start, start + step))


def _rows(file: Any, info: DataInfo, split: str, rows: slice) -> Canvases:
    """Read some canvases of a split."""
    return Canvases(**_known(file, info, split, rows, info.arrays[split]))


def _known(
    file: Any, info: DataInfo, split: str, rows: slice, names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Read some rows of arrays of a split, and check counts, boxes and masks."""
    known = {name: file[split][name][rows] for name in names}
    most = info.config.data.max_digits
    for name in {"count", "mask"} & {*names}:
        found = known[name].max(initial=0)
        if found > most:
            raise _damaged(info.path, f"{name}s of {split} up to {most}", f"a {name} of {found}")
    if "box" in known and not np.isfinite(known["box"]).all():
        raise _damaged(info.path, f"finite boxes of {split}", "nan or inf")
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
    with _told(path):
        check_regular(path)
        with _open(path) as file:
            yield file


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises into one DataFileError."""
    try:
        yield
    except FileNotFoundError as error:
        hint = f"airkit make-data --out {quoted(path)}"
        raise DataFileError("There is no such data file", where=path, hint=hint) from error
    except BlockingIOError as error:
        raise _in_use(path) from error
    except MemoryError as error:
        hint = "make fewer: airkit make-data --train N --val N --test N"
        what = "The canvases do not fit into memory"
        raise DataFileError(what, where=path, got=error, hint=hint) from error
    except _H5_ERRORS as error:
        if "already open for write" in str(error):  # as the file itself says
            raise _in_use(path) from error
        number = getattr(error, "errno", None)
        got = os.strerror(number) if number else error  # short where HDF5's own text is long
        raise _damaged(path, "a whole HDF5 file", got) from error


def _info(file: Any, path: Path) -> DataInfo:
    """Read the attributes; check format, completeness, configuration and the arrays' layout."""
    _check_format(file, path)
    texts = {name: _text(file, path, name) for name in _TEXTS}
    version = texts["airkit_version"]
    try:
        config = from_json(_text(file, path, "config"), f"{path}, by airkit {version}")
    except ConfigError as error:
        raise _damaged(path, "a configuration that this airkit reads", error) from error
    arrays = _arrays(file, path)
    for split in SPLITS:
        for name, shape in shapes(config.data, split, arrays[split]).items():
            _check_array(file, path, split, name, shape)
    splits = {split: getattr(config.data, split) for split in SPLITS}
    return DataInfo(path, config, splits, arrays, version_of(arrays, config.data), **texts)


def _arrays(file: Any, path: Path) -> Arrays:
    """The arrays of each split: those of digits, or from version 2 on those that it names."""
    if _attribute(file, "format_version") == 1:
        return DIGITS
    words = _text(file, path, "arrays")
    arrays = from_words(words)
    if arrays is None:
        expected = f"paths of arrays, such as train/image, of {', '.join(DTYPES)}, in this order"
        raise _damaged(path, f"{expected}, in the attribute arrays", words)
    return arrays


def _check_format(file: Any, path: Path) -> None:
    version, ours = _attribute(file, "format_version"), _attribute(file, "format") == FORMAT
    if ours and isinstance(version, np.integer) and version > FORMAT_VERSION:
        raise DataFileError(
            "This data file is of a newer format than this airkit reads",
            where=path,
            expected=f"format version {FORMAT_VERSION}",
            got=f"{version}, written by airkit {_attribute(file, 'airkit_version')}",
            hint="upgrade airkit: pip install --upgrade airkit",
        )
    versions = range(1, FORMAT_VERSION + 1)
    wanted = {"format": (FORMAT,), "format_version": versions, "complete": (True,)}
    for name, values in wanted.items():
        if (found := _attribute(file, name)) not in values:
            expected = " or ".join(map(str, values))
            raise _damaged(path, f"the attribute {name} = {expected}", found)


def _attribute(file: Any, name: str) -> object:
    """An attribute of the root, or None if absent; those of variable length can hang HDF5."""
    if name not in file.attrs:
        return None
    if file.attrs.get_id(name).dtype.kind == "O":
        expected = f"text of fixed length in the attribute {name}, as make-data writes it"
        raise _damaged(Path(file.filename), expected, "text of variable length")
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else value


def _text(file: Any, path: Path, name: str) -> str:
    value = _attribute(file, name)
    if not isinstance(value, str):
        raise _damaged(path, f"text in the attribute {name}", value)
    return value


def _check_array(file: Any, path: Path, split: str, name: str, shape: tuple[int, ...]) -> None:
    """Check that an array is in this file, of the right layout, and complete."""
    dtype, place = np.dtype(DTYPES[name]), f"{split}/{name}"
    links = (file.get(link, getlink=True) for link in (split, place))
    array = file[place] if all(isinstance(link, h5py.HardLink) for link in links) else None
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        got = "nothing, a link or something else"
    elif (array.shape, array.dtype) != (shape, dtype):
        got = f"{array.dtype} {array.shape}"
    elif not _filters(array) <= _KNOWN_FILTERS:
        got = "other filters than gzip and lzf"
    elif not _is_complete(array):
        got = f"{array.id.get_storage_size():,} bytes"
    else:
        return
    raise _damaged(path, f"{place} of {dtype} {shape}, complete and in the file itself", got)


def _filters(array: Any) -> set[int]:
    """HDF5's numbers of an array's filters; some crash HDF5 where their parameters are forged."""
    plist = array.id.get_create_plist()
    return {plist.get_filter(place)[0] for place in range(plist.get_nfilters())}


def _is_complete(array: Any) -> bool:
    """Whether all content is in the file, in chunks none of which is too large to read."""
    if array.nbytes > array.id.get_storage_size() * _MAX_RATIO:
        return False
    if array.chunks is None:
        return True
    wanted = prod(ceil(size / rows) for size, rows in zip(array.shape, array.chunks, strict=True))
    return bool(array.id.get_num_chunks() == wanted) and prod(array.chunks) <= _MAX_CHUNK


def _damaged(path: Path, expected: object, got: object) -> DataFileError:
    return DataFileError(
        "The data file cannot be read, is damaged, or is not one of airkit's",
        where=path,
        expected=expected,
        got="nothing" if got is None else got,
        hint=ANOTHER,
    )
