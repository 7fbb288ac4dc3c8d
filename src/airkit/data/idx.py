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

import numpy as np
from numpy.typing import NDArray

from airkit.data.digits import OTHERS, Digits, DigitSource
from airkit.errors import DigitsError
from airkit.system.callbacks import Listener
from airkit.system.files import check_regular
from airkit.system.paths import to_path
from airkit.system.text import quoted

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""MNIST's four files, without ``.gz``."""
MAX_BYTES = 2**30
"""The largest array that is read; EMNIST, MNIST's largest relative, has 6e8 bytes."""
_GZIP_MAGIC = b"\x1f\x8b"
_TYPES = {
    8: "unsigned bytes",
    9: "signed bytes",
    11: "16-bit integers",
    12: "32-bit integers",
    13: "32-bit floats",
    14: "64-bit floats",
}
"""What an IDX file can hold, by type code."""
HOW_TO = 'the documentation\'s page "Use other digits" shows how'
"""Where the documentation tells how to convert other digits."""


class IdxFolder(DigitSource):
    """Digits of a folder with MNIST's four files, each plain or with ``.gz`` behind its name."""

    def __init__(self, folder: str) -> None:
        self.folder = to_path(folder)
        self.attribution = f"digits of the folder {folder}"

    def pools(self, listener: Listener) -> Mapping[str, Digits]:
        """The train files make train and val, the t10k files test."""
        del listener
        return read_pools(_find(self.folder))


def _find(folder: Path) -> dict[str, Path]:
    """The four files of a folder by their names in MNIST."""
    found = _present(folder)
    if missing := [f"{name}[.gz]" for name in NAMES if name not in found]:
        raise DigitsError(
            "A folder of digits lacks files",
            where=folder,
            expected=" and ".join(missing),
            got=", ".join(path.name for path in found.values()) or "none of MNIST's four files",
            hint=_where_else(folder),
        )
    return found


def _present(folder: Path) -> dict[str, Path]:
    """Those of the four files that a folder has, by their names in MNIST.

    Kaggle's copy has a dot for the second hyphen (``train-images.idx3-ubyte``), or each file in
    a folder of its own name.
    """
    found = {}
    for name in NAMES:
        spelled = (name, f"{name}.gz", name.replace("-idx", ".idx"))
        inner = (folder / outer / each for outer in spelled for each in spelled)
        paths = filter(_is_file, (*(folder / each for each in spelled), *inner))
        if path := next(paths, None):
            found[name] = path
    return found


def _is_file(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isdir(path)


def _where_else(folder: Path) -> str:
    """The next step where a folder lacks files, such as the folder below it that has all."""
    images = NAMES[0].replace("-idx", "[-.]idx")  # both ways to spell it
    found = [path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{images}*")]
    whole = [each for each in {path.parent for path in found} if len(_present(each)) == len(NAMES)]
    if whole:
        return " or ".join(f"--source {quoted(each)}" for each in sorted(whole))
    if [*folder.glob("[eq]mnist-*")]:
        return f"EMNIST and QMNIST have to be converted: {HOW_TO}"
    return f"give the files MNIST's names, or {OTHERS}"


def read_pools(paths: Mapping[str, Path]) -> dict[str, Digits]:
    """Read MNIST's four files, by name in ``paths``; the last tenth of train becomes val."""
    arrays = [read(paths[name], 3 if "images" in name else 1) for name in NAMES]
    train, test = Digits(arrays[0], arrays[1]), Digits(arrays[2], arrays[3])
    count = len(train.images)
    first_val = count - max(1, count // 10)
    return {
        "train": train.take(slice(first_val)),
        "val": train.take(slice(first_val, None)),
        "test": test,
    }


def read(path: str | Path, ndim: int) -> NDArray[np.uint8]:
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
    path = Path(path)
    try:
        check_regular(path)
        return _parse(path.read_bytes(), ndim)
    except (OSError, ValueError, zlib.error) as error:
        again = f"fetch or copy the file again, or {OTHERS}"
        convert = f"convert it ({HOW_TO}), or {OTHERS}"
        raise DigitsError(
            "Cannot read an IDX file",
            where=path,
            expected=_content(8, ndim),
            got=getattr(error, "strerror", None) or error,
            hint=convert if isinstance(error, _OtherContentError) else again,
        ) from error


class _OtherContentError(ValueError):
    """The file is an IDX file, of another type or other dimensions."""


def _content(code: int, ndim: int) -> str:
    return f"{_TYPES[code]} in {ndim} dimension{'s' * (ndim > 1)}"


def _parse(content: bytes, ndim: int) -> NDArray[np.uint8]:
    """The array of an IDX file; raises ValueError or zlib.error where it is damaged.

    Only one gzip stream is read: ``gzip`` also reads any number of further streams and of zeros, a
    few bytes at a time, so that a large file can keep it busy for minutes.
    """
    length = 4 + 4 * ndim
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16) if content[:2] == _GZIP_MAGIC else None
    header = stream.decompress(content, length) if stream else content[:length]
    usual = bytes([0, 0, 8, ndim])
    if len(header) > 3 and header[:2] == usual[:2] and header[2] in _TYPES and header[:4] != usual:
        raise _OtherContentError(_content(header[2], header[3]))
    if len(header) < length or header[:4] != usual:
        raise ValueError(f"a file that begins with {header[:4].hex(' ') or 'nothing'}")
    shape = np.frombuffer(header, ">u4", offset=4).tolist()
    wanted, claim = math.prod(shape), f"a header that says {' x '.join(map(str, shape))}"
    if not 0 < wanted <= MAX_BYTES:
        raise ValueError(f"{claim}, not 1 to {MAX_BYTES} bytes")
    body = stream.decompress(stream.unconsumed_tail, wanted + 1) if stream else content[length:]
    if len(body) != wanted:
        raise ValueError(f"{claim}, and {'more' if len(body) > wanted else len(body)} bytes")
    if stream and (not stream.eof or stream.unused_data):
        raise ValueError("a gzip stream that is cut or goes on")
    return np.frombuffer(body, np.uint8).reshape(shape)
