"""What a data file says of itself, and checks of its arrays before any of them is read.

Nothing in a file is trusted: every array must be in the file itself, complete, and of the shape
that the file's own configuration gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from airkit.config.schema import Config
from airkit.config.settings import from_json
from airkit.data.canvases import SPLITS
from airkit.data.format import (
    DIGITS,
    DTYPES,
    FORMAT,
    FORMAT_VERSION,
    Arrays,
    from_words,
    shapes,
    version_of,
)
from airkit.errors import ConfigError, DataFileError

ANOTHER = (
    "name another, or write one beside it: airkit make-data --out NAME, or of your own pictures "
    "airkit import PICTURES --out NAME"
)
"""Next step for a useless file, which is left alone: it may be something else of the user's."""
_KNOWN_FILTERS = {1, 2, 32000}  # HDF5's numbers for gzip, shuffle and lzf
_MAX_CHUNK = 2**26  # numbers in a chunk; the writer stays far below
_MAX_RATIO = 1100  # deflate cannot compress further than this
_TEXTS = (
    "airkit_version", "source", "source_digest", "content_digest", "licence", "attribution",
)  # fmt: skip


@dataclass(frozen=True)
class DataInfo:
    """What a data file says of itself."""

    path: Path
    config: Config
    """The configuration that it was made with."""
    splits: Mapping[str, int]
    """Number of canvases of each split."""
    arrays: Arrays
    """Names of the arrays of each split: of the truth, what is known."""
    format_version: int
    airkit_version: str
    """Version of the airkit that wrote it."""
    source: str
    """The digits, shapes or pictures that its canvases are made of."""
    source_digest: str
    """SHA-256 of that source."""
    content_digest: str
    """SHA-256 of its arrays; see ``format.ContentDigest``."""
    licence: str
    attribution: str

    @property
    def shared_attribution(self) -> str:
        """The attribution as it may be told to others; see ``shared_source``."""
        return self.attribution.replace(self.source, shared_source(self.source))


def shared_source(source: str) -> str:
    """Return a source of digits as it may be told to others: of a folder, its name alone."""
    return Path(source).name or source


def info_of(file: Any, path: Path) -> DataInfo:
    """Read an open file's attributes, and check its arrays without reading them.

    Raises:
        DataFileError: the file is damaged, foreign, unfinished or of a newer format.
    """
    _check_format(file, path)
    texts = {name: _text(file, path, name) for name in _TEXTS}
    version = texts["airkit_version"]
    try:
        config = from_json(_text(file, path, "config"), f"{path}, by airkit {version}")
    except ConfigError as error:
        raise damaged(path, "a configuration that this airkit reads", error) from error
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
        raise damaged(path, f"{expected}, in the attribute arrays", words)
    return arrays


def _check_format(file: Any, path: Path) -> None:
    version, ours = _attribute(file, "format_version"), _attribute(file, "format") == FORMAT
    if ours and isinstance(version, np.integer) and version > FORMAT_VERSION:
        written_by = _attribute(file, "airkit_version")
        raise DataFileError.newer("data file", path, FORMAT_VERSION, version, written_by)
    versions = range(1, FORMAT_VERSION + 1)
    wanted = {"format": (FORMAT,), "format_version": versions, "complete": (True,)}
    for name, values in wanted.items():
        if (found := _attribute(file, name)) not in values:
            expected = " or ".join(map(str, values))
            raise damaged(path, f"the attribute {name} = {expected}", found)


def _attribute(file: Any, name: str) -> object:
    """An attribute of the root, or None if absent; those of variable length can hang HDF5."""
    if name not in file.attrs:
        return None
    if file.attrs.get_id(name).dtype.kind == "O":
        expected = f"text of fixed length in the attribute {name}, as make-data writes it"
        raise damaged(Path(file.filename), expected, "text of variable length")
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else value


def _text(file: Any, path: Path, name: str) -> str:
    value = _attribute(file, name)
    if not isinstance(value, str):
        raise damaged(path, f"text in the attribute {name}", value)
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
    raise damaged(path, f"{place} of {dtype} {shape}, complete and in the file itself", got)


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


def damaged(path: Path, expected: object, got: object) -> DataFileError:
    """The error of a file that is damaged, or not one of airkit's."""
    return DataFileError(
        "The data file cannot be read, is damaged, or is not one of airkit's",
        where=path,
        expected=expected,
        got="nothing" if got is None else got,
        hint=ANOTHER,
    )


def no_truth_error(path: Path, split: str, truth: str) -> DataFileError:
    """The error of work that needs truth which a split of a data file does not have."""
    return DataFileError(
        f"The {split} canvases have no true {truth}, which this needs",
        where=path,
        expected=f"a data file with {truth}",
        hint=f"airkit import keeps {truth} if they are known; "
        "eval, render and report of one run need none",
    )


def empty_split_error(info: DataInfo, split: str) -> DataFileError:
    """The error of a data file whose split has no canvases."""
    others = [name for name, many in info.splits.items() if many]
    ways = [f"--set eval.split={name}, which has some" for name in others[-1:]]
    return DataFileError(
        f"The data file has no canvases in its {split} split",
        where=info.path,
        expected="at least one",
        hint=", or ".join([*ways, f"a file with {split} canvases"]),
    )
