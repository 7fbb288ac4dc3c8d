"""Writing a data file, some canvases at a time, through a disk that may be full."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from airkit._version import __version__
from airkit.config.schema import Config
from airkit.config.settings import to_json
from airkit.data.canvases import SPLITS
from airkit.data.format import (
    DIGITS,
    DTYPES,
    FORMAT,
    LIBVER,
    Arrays,
    ContentDigest,
    Packed,
    chunk_offset,
    create_arrays,
    to_words,
    version_of,
)
from airkit.data.sources import Origin
from airkit.system.files import replacing
from airkit.system.signals import StopRequest, defer_signals


@contextmanager
def create(path: Path, config: Config, origin: Origin, arrays: Arrays = DIGITS) -> Iterator[Writer]:
    """Create the data file ``path``, to be written with the yielded ``Writer``.

    The file gets its name when the body has ended well. Before that it is ``path`` + ``.part``,
    and an older ``path`` stays as it was.

    Args:
        path: the file.
        config: the resolved configuration, which the file records.
        origin: where the digits or pictures are from, which the file names.
        arrays: the arrays of each split; truth that is unknown is not among them.

    Raises:
        OutputError: the file cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; it is raised between two writes.
    """
    with replacing(path) as partial, defer_signals() as stop, _Disk(partial) as disk:
        with h5py.File(disk, "w", libver=LIBVER) as file:
            writer = Writer(file, disk, stop)
            writer.begin(config, origin, arrays)
            yield writer
            writer.finish()
        disk.check()


class Writer:
    """Appends canvases to the splits of an open data file."""

    def __init__(self, file: Any, disk: _Disk, stop: StopRequest) -> None:
        """Write through ``disk`` until ``stop`` is asked for."""
        self.digest = ""
        """Content digest, once the file is finished."""
        self._file, self._disk, self._stop = file, disk, stop
        self._written = dict.fromkeys(SPLITS, 0)

    def begin(self, config: Config, origin: Origin, arrays: Arrays) -> None:
        """Write the attributes and create the arrays."""
        self._content = ContentDigest(config.data, arrays)
        version = version_of(arrays, config.data)
        self._file.attrs.update(format_version=version, seed=config.data.seed)
        self._set_texts(
            format=FORMAT,
            airkit_version=__version__,
            config=to_json(config),
            source=origin.name,
            source_digest=origin.digest,
            licence=origin.licence,
            attribution=origin.attribution,
        )
        if version > 1:
            self._set_texts(arrays=to_words(arrays))
        for split in SPLITS:
            create_arrays(self._file.create_group(split), config.data, split, arrays[split])
        self._disk.check()

    def append(self, part: Packed) -> None:
        """Write the next canvases of a split.

        Raises:
            OSError: they cannot be written; ``create`` makes an OutputError of it.
            KeyboardInterrupt: a signal came since the last call.
        """
        self._stop.check()  # the only place where signals act: never inside HDF5
        start = self._written[part.split]
        for name, array in part.canvases.known.items():
            dataset = self._file[part.split][name]
            for place, (mask, chunk) in enumerate(part.chunks[name]):
                offset = chunk_offset(start + place * dataset.chunks[0], dataset)
                dataset.id.write_direct_chunk(offset, chunk, mask)
            content = np.ascontiguousarray(array, DTYPES[name])
            self._content.update(part.split, name, content)
        self._disk.check()
        self._written[part.split] += len(part.canvases.image)

    def finish(self) -> None:
        """Write the content digest, and mark the file as complete."""
        self.digest = self._content.digest()
        self._set_texts(content_digest=self.digest)
        self._file.attrs["complete"] = True

    def _set_texts(self, **texts: str) -> None:
        """Set attributes to texts of fixed length.

        Text of variable length, h5py's default, is stored where one flipped byte makes HDF5 hang.
        """
        for name, text in texts.items():
            content = text.encode()
            dtype = h5py.string_dtype("utf-8", max(1, len(content)))
            self._file.attrs.create(name, content, dtype=dtype)


class _Disk(io.RawIOBase):
    """A file that accepts every write; ``check`` raises the first error.

    HDF5 can crash the process when a write fails under it, as on a full disk. So from the first
    failure on, writes are kept in memory, where HDF5 can read them back until it has closed its
    file. ``check`` is called often enough to keep them few.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None
        self._unwritten: list[tuple[int, bytes]] = []
        self._at = 0
        self._end = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if any."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to ``offset`` bytes from the start, or from the end (``whence`` = 2)."""
        self._at = offset + (self._end if whence == 2 else 0)
        return self._at

    def write(self, content: Any) -> int:
        """Write all of ``content`` at the current position, or keep it in memory."""
        view = rest = memoryview(content).cast("B")
        try:
            self._file.seek(self._at)
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._unwritten.append((self._at, bytes(view)))
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current position, with zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._at)
        got = self._file.readinto(view) or 0
        view[got:] = bytes(len(view) - got)
        for start, content in self._unwritten:
            low, high = max(start, self._at), min(start + len(content), self._at + len(view))
            if low < high:
                view[low - self._at : high - self._at] = content[low - start : high - start]
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file to ``size`` bytes."""
        self._end = self._end if size is None else size
        try:
            self._file.truncate(self._end)
        except OSError as error:
            self._error = self._error or error
        return self._end
