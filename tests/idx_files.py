"""IDX files and folders in MNIST's layout, for the tests of digit sources."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from airkit.data import sources
from airkit.errors import DigitsError

Bytes = npt.NDArray[np.uint8]


def idx_bytes(array: Bytes) -> bytes:
    """``array`` as an IDX file, written independently of the reader."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def mnist_like(train: int = 30, test: int = 8, side: int = 28, seed: int = 0) -> dict[str, Bytes]:
    """Four small arrays by their names in MNIST, with random ink on blank, and random labels."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in {"train": train, "t10k": test}.items():
        images = np.zeros((count, side, side), np.uint8)
        images[:, 2:-2, 2:-2] = rng.integers(0, 256, (count, side - 4, side - 4), np.uint8)
        arrays[f"{part}-images-idx3-ubyte"] = images
        arrays[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, count, dtype=np.uint8)
    return arrays


def write_folder(folder: Path, arrays: Mapping[str, Bytes], zipped: bool = True) -> Path:
    """Write ``arrays`` as IDX files of those names into ``folder``, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = idx_bytes(array)
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    return folder


def refusal(source: object) -> DigitsError:
    """The error of a source that cannot be loaded."""
    with pytest.raises(DigitsError) as caught:
        sources.load(str(source))
    return caught.value
