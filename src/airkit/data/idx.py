"""IDX, the file format of MNIST and its relatives: a small header, then the bytes of an array.

A header is two zero bytes, a type code (8: unsigned bytes), the number of dimensions, then
each dimension as a big-endian 32-bit integer. Nothing in it is believed: what a header
claims is compared with the bytes that are there before memory is set aside for it.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from airkit.errors import DigitsError
from airkit.system.files import check_regular

MAX_BYTES = 2**30
"""The largest array that is read; the largest relative of MNIST, EMNIST, has 6e8 bytes."""

_SMALL = 2**26  # bytes that no one minds, however few they were squeezed to
_MOST_SQUEEZED = 100  # times that gzip makes pictures smaller; those of MNIST, 5 times
_CHUNK = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
OTHERS = "--source strokes, which is built in"
_FETCH_AGAIN = f"fetch or copy the file again, or {OTHERS}"


def read(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzipped (told by its content, not its name).

    Args:
        path: the file.
        ndim: the number of dimensions that the array must have.

    Returns:
        uint8, in the shape that the header states; every dimension is 1 or more.

    Raises:
        DigitsError: the file cannot be read, is no IDX file of unsigned bytes in ``ndim``
            dimensions, is damaged, holds nothing, or has another size than its header says.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            return _parse(_unzipped(file), path, ndim)
    except (zlib.error, EOFError) as error:
        raise DigitsError(
            "An IDX file's gzip stream is damaged", where=path, got=error, hint=_FETCH_AGAIN
        ) from error
    except OSError as error:
        raise DigitsError(
            "Cannot read an IDX file", where=path, got=error.strerror or error, hint=OTHERS
        ) from error


class _Stream(Protocol):
    def read(self, most: int, /) -> bytes: ...


class _Unzipped:
    """The one gzip stream that a file is.

    ``gzip.open`` takes any number of streams and of zeros behind them, a few bytes at a time,
    so that a large file can keep it busy for minutes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._unzip = file, zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(self, most: int, /) -> bytes:
        """Some bytes, 1 to ``most``; none once the stream has ended."""
        content = b""
        while not (content or self._unzip.eof):
            zipped = self._unzip.unconsumed_tail or self._file.read(_CHUNK)
            if not zipped:
                raise EOFError("it ends within the stream")
            content = self._unzip.decompress(zipped, most)
        if self._unzip.eof and (self._unzip.unused_data or self._file.read(1)):
            raise EOFError("it goes on behind the stream")
        return content


def _unzipped(file: IO[bytes]) -> _Stream:
    zipped = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    return _Unzipped(file) if zipped else file


def _parse(stream: _Stream, path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    shape = _shape(stream, path, ndim)
    wanted = math.prod(shape)
    if not wanted:
        raise DigitsError(
            "An IDX file holds nothing",
            where=path,
            got=f"shape {_times(shape)}",
            hint=_FETCH_AGAIN,
        )
    most = min(MAX_BYTES, max(_SMALL, _MOST_SQUEEZED * path.stat().st_size))
    if wanted > most:
        raise DigitsError(
            "An IDX file claims to be too large",
            where=path,
            expected=f"at most {most} bytes",
            got=f"{wanted} bytes, for shape {_times(shape)}",
            hint=_FETCH_AGAIN,
        )
    body = _body(stream, wanted + 1)
    if len(body) != wanted:
        raise DigitsError(
            "An IDX file's size is not what its header says",
            where=path,
            expected=f"{wanted} bytes after the header, for shape {_times(shape)}",
            got="more" if len(body) > wanted else f"{len(body)} bytes",
            hint=_FETCH_AGAIN,
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _shape(stream: _Stream, path: Path, ndim: int) -> tuple[int, ...]:
    """The dimensions in the header, after which the array's bytes follow."""
    length = 4 + 4 * ndim
    magic = bytes([0, 0, 8, ndim])
    header = bytes(_body(stream, length))
    if not header:
        raise DigitsError("An IDX file is empty", where=path, hint=_FETCH_AGAIN)
    if header[:4] != magic:
        raise DigitsError(
            f"Not an IDX file of unsigned bytes in {ndim} dimension{'s' * (ndim > 1)}",
            where=path,
            expected=f"first bytes {magic.hex(' ')}",
            got=header[:4].hex(" "),
            hint=_FETCH_AGAIN,
        )
    if len(header) < length:
        raise DigitsError(
            "An IDX file ends within its header",
            where=path,
            expected=f"{length} bytes",
            got=f"{len(header)} bytes",
            hint=_FETCH_AGAIN,
        )
    return tuple(np.frombuffer(header, ">u4", offset=4).tolist())


def _body(stream: _Stream, most: int) -> bytearray:
    """What comes next, ``most`` bytes at most; one more than wanted tells of a longer file.

    Memory grows with the bytes that are there, so that a forged header or a small file that
    unzips to a huge one costs no more than ``most``. Asking past the end also makes zlib
    compare its checksum.
    """
    body = bytearray()
    while len(body) < most and (chunk := stream.read(min(_CHUNK, most - len(body)))):
        body += chunk
    return body


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
