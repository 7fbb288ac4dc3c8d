"""The data file: canvases, their truth and whence they came, in one HDF5 file.

Groups ``train``, ``val`` and ``test`` hold the arrays of ``compose.Canvases`` under their names;
the root's attributes hold the rest. A reader trusts nothing: every array must be in the file
itself, whole, and of the shape that the file's own configuration gives it, before memory is
taken for it.

Shapes: N canvases of a split, M digits at most on one, H = W side of a canvas.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

import airkit
from airkit.canvases import chunks
from airkit.canvases.compose import Canvases
from airkit.canvases.content import DTYPES, ContentDigest, shapes
from airkit.canvases.digits import SPLITS, DigitSource
from airkit.canvases.disk import Disk
from airkit.canvases.packing import LIBVER, Packed, chunk_rows, corner, create_arrays
from airkit.config import Config
from airkit.errors import ConfigError, DataFileError
from airkit.files import check_regular, replacing
from airkit.settings import from_json, to_json
from airkit.signals import held

FORMAT = "airkit-canvases"
FORMAT_VERSION = 1

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


class Writer:
    """Writes a data file, canvas after canvas; a context manager.

    Only where its body ends well does the file get its name: before that it is FILE.part,
    and an older FILE stays as it was.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, config: Config, source: DigitSource) -> None:
        self.path = path
        self.digest = ""
        """Content digest, once the body has ended."""
        self._config = config
        self._source = source
        self._written = dict.fromkeys(SPLITS, 0)
        self._content = ContentDigest(config.data)

    def __enter__(self) -> Self:
        self._session: AbstractContextManager[None] = self._open()
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._session.__exit__(kind, error, traceback)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with replacing(self.path) as partial, held() as self._stop, Disk(partial) as self._disk:
            self._file = h5py.File(self._disk, "w", libver=LIBVER)
            try:
                self._prepare()
                yield
                self._finish()
            finally:
                self._file.close()
            self._disk.check()

    def _prepare(self) -> None:
        data = self._config.data
        self._file.attrs.update(format_version=FORMAT_VERSION, seed=data.seed)
        self._say("format", FORMAT)
        self._say("airkit_version", airkit.__version__)
        self._say("config", to_json(self._config))
        self._say("source", self._source.name)
        self._say("source_digest", self._source.digest)
        self._say("licence", self._source.licence)
        self._say("attribution", self._source.attribution)
        for split in SPLITS:
            create_arrays(self._file.create_group(split), data, split)
        self._disk.check()

    def append(self, part: Packed) -> None:
        """Write the next canvases of a split.

        Raises:
            OSError: they cannot be written; an OutputError once it leaves the body.
        """
        self._stop.check()  # signals break in here alone, never into the HDF5 library
        start = self._written[part.split]
        for name, dtype in DTYPES.items():
            dataset = self._file[part.split][name]
            for place, (mask, content) in enumerate(part.chunks[name]):
                first = corner(start + place * dataset.chunks[0], dataset)
                dataset.id.write_direct_chunk(first, content, mask)
            array = np.ascontiguousarray(getattr(part.canvases, name), dtype)
            self._content.update(part.split, name, array)
        self._disk.check()
        self._written[part.split] += len(part.canvases.count)

    def _finish(self) -> None:
        wanted = {split: getattr(self._config.data, split) for split in SPLITS}
        assert self._written == wanted, f"{self._written} canvases for {wanted}"
        self.digest = self._content.digest()
        self._say("content_digest", self.digest)
        self._file.attrs["complete"] = True

    def _say(self, name: str, text: str) -> None:
        """Set an attribute to text of fixed length.

        That of variable length, h5py's default, lies where one flipped byte makes HDF5 hang.
        """
        content = text.encode()
        dtype = h5py.string_dtype("utf-8", max(1, len(content)))
        self._file.attrs.create(name, content, dtype=dtype)


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
        if split not in SPLITS:
            raise DataFileError(
                "No such split", where=path, expected=" or ".join(SPLITS), got=repr(split)
            )
        info = _info(file, path)
        stop = info.splits[split] if limit is None else min(limit, info.splits[split])
        canvases = Canvases(**{name: file[split][name][:stop] for name in DTYPES})
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
            "There is no such data file", where=path, hint=f"airkit make-data --out {path}"
        ) from error
    except MemoryError as error:
        raise DataFileError(
            "The canvases do not fit into memory", where=path, got=error, hint="read fewer of them"
        ) from error
    except _H5_ERRORS as error:
        if path.is_dir():
            raise DataFileError(
                "This is a folder, not a data file", where=path, expected="an HDF5 file"
            ) from error
        if number := getattr(error, "errno", None):
            reason = os.strerror(number)
            raise DataFileError("Cannot read the data file", where=path, got=reason) from error
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
    """An attribute of the root, or None; text of variable length is not read (see ``_say``)."""
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
        hint="airkit make-data --out FILE --force writes it anew",
    )
