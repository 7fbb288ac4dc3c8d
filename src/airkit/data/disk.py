"""A file for HDF5 to write to, whose errors wait until it is safe to raise them."""

from __future__ import annotations

from pathlib import Path
from typing import Self


class Disk:
    """A new file that takes every write, and tells by ``check`` of the first that failed.

    The HDF5 library can crash the process when a write fails under it, as on a full disk. So
    from the first failure on, what it writes is kept in memory instead, and given back when
    it reads, until its file is closed; the caller checks often enough to keep that little.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None
        self._unwritten: list[tuple[int, bytes]] = []
        self._at = 0
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if one did."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to ``offset`` bytes from the start, or from the end (``whence`` = 2)."""
        self._at = offset + (self._end if whence == 2 else 0)
        return self._at

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._at

    def write(self, content: memoryview) -> int:
        """Write all of ``content`` here, or keep it where that fails."""
        start, size = self._at, len(content)
        if self._error is None:
            try:
                self._write_through(start, content)
            except OSError as error:
                self._error = error
        if self._error is not None:
            self._unwritten.append((start, bytes(content)))
        self._at += size
        self._end = max(self._end, self._at)
        return size

    def _write_through(self, start: int, content: memoryview) -> None:
        self._file.seek(start)
        rest = memoryview(content).cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` from here on, with zeros where nothing was written."""
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

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes; h5py asks for this method and uses ``readinto``."""
        content = bytearray(size)
        self.readinto(memoryview(content))
        return bytes(content)

    def truncate(self, size: int) -> int:
        """Cut or extend the file to ``size`` bytes."""
        try:
            self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
        self._end = size
        return size

    def flush(self) -> None:
        """Nothing waits: the file has no buffer of its own."""
