"""IDX files, the format of MNIST and its relatives, and folders of them in MNIST's layout.

A file is a header and the bytes of an array. The header is two zero bytes, a type code (8:
unsigned bytes), the number of dimensions, then each dimension as a big-endian 32-bit integer. It
is compared with the bytes that are there before memory is allocated for what it claims.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airkit.data.digits import OTHERS, Digits, DigitSource
from airkit.errors import DigitsError
from airkit.system.callbacks import Listener
from airkit.system.files import check_regular

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""MNIST's four files, without ``.gz``."""
MAX_BYTES = 2**30
"""The largest array that is read; EMNIST, MNIST's largest relative, has 6e8 bytes."""
_SMALL = 2**26  # bytes that are read however far they were compressed
_MAX_RATIO = 100  # to which gzip compresses images; those of MNIST to a fifth
_GZIP_MAGIC = b"\x1f\x8b"


class Folder(DigitSource):
    """Digits of a folder with MNIST's four files, each plain or with ``.gz`` behind its name."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(os.path.expanduser(folder))
        self.attribution = f"digits of the folder {folder}"

    def pools(self, listener: Listener) -> Mapping[str, Digits]:
        """The train files make train and val, the t10k files test."""
        del listener
        return read_pools(_find(self.folder))


def _find(folder: Path) -> dict[str, Path]:
    """The four files of a folder by their names in MNIST."""
    try:
        there = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise DigitsError(
            "Cannot read a folder of digits", where=folder, got=error.strerror, hint=OTHERS
        ) from error
    found = {
        name: folder / file for name in NAMES for file in (f"{name}.gz", name) if file in there
    }
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise DigitsError(
            "A folder of digits lacks files",
            where=folder,
            expected=" and ".join(f"{name}[.gz]" for name in missing),
            got=", ".join(path.name for path in found.values()) or "none of MNIST's four files",
            hint=f"give the files MNIST's names, or {OTHERS}",
        )
    return found


def read_pools(paths: Mapping[str, Path]) -> dict[str, Digits]:
    """Read MNIST's four files, by name in ``paths``; the last tenth of train becomes val."""
    train, test = (
        Digits(
            read(paths[f"{part}-images-idx3-ubyte"], 3),
            read(paths[f"{part}-labels-idx1-ubyte"], 1),
        )
        for part in ("train", "t10k")
    )
    count = len(train.images)
    first_val = count - max(1, count // 10)
    return {
        "train": train.take(slice(first_val)),
        "val": train.take(slice(first_val, None)),
        "test": test,
    }


def read(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzipped (whatever its name).

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
        if (size := path.stat().st_size) > 2 * MAX_BYTES:
            raise _damaged("An IDX file is too large", path, f"at most {2 * MAX_BYTES} bytes", size)
        return _parse(path.read_bytes(), path, ndim)
    except (zlib.error, EOFError) as error:
        raise _damaged("An IDX file's gzip stream is damaged", path, None, error) from error
    except OSError as error:
        raise DigitsError(
            "Cannot read an IDX file", where=path, got=error.strerror or error, hint=OTHERS
        ) from error


def _parse(content: bytes, path: Path, ndim: int) -> NDArray[np.uint8]:
    magic, length = bytes([0, 0, 8, ndim]), 4 + 4 * ndim
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16) if content[:2] == _GZIP_MAGIC else None
    header = stream.decompress(content, length) if stream else content[:length]
    if len(header) < length or header[:4] != magic:
        raise _damaged(
            f"Not an IDX file of unsigned bytes in {ndim} dimension{'s' * (ndim > 1)}",
            path,
            f"a header of {length} bytes that begins with {magic.hex(' ')}",
            f"{len(header)} bytes: {header[:4].hex(' ')}" if header else "an empty file",
        )
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    wanted, of_shape = math.prod(shape), f"for shape {' x '.join(map(str, shape))}"
    most = min(MAX_BYTES, max(_SMALL, _MAX_RATIO * len(content)))
    if not 0 < wanted <= most:
        what = "An IDX file claims to be too large" if wanted else "An IDX file holds nothing"
        raise _damaged(what, path, f"1 to {most} bytes", f"{wanted} bytes, {of_shape}")
    body = _unzip(stream, wanted + 1) if stream else content[length:]
    if len(body) != wanted:
        raise _damaged(
            "An IDX file's size is not what its header says",
            path,
            f"{wanted} bytes after the header, {of_shape}",
            "more" if len(body) > wanted else f"{len(body)} bytes",
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _unzip(stream: Any, most: int) -> bytes:
    """The rest of the only gzip stream in a file, at most ``most`` bytes of it.

    ``gzip`` also reads any number of further streams and of zeros, a few bytes at a time, so that
    a large file can keep it busy for minutes.
    """
    body: bytes = stream.decompress(stream.unconsumed_tail, most)
    if len(body) < most and not stream.eof:
        raise EOFError("it ends within the stream")
    if stream.unused_data:
        raise EOFError("it goes on behind the stream")
    return body


def _damaged(what: str, path: Path, expected: object, got: object) -> DigitsError:
    return DigitsError(
        what,
        where=path,
        expected=expected,
        got=got,
        hint=f"fetch or copy the file again, or {OTHERS}",
    )
