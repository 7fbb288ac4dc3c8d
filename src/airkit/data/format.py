"""Layout of a data file: its arrays, their chunks, and the digest of its content.

Groups ``train``, ``val`` and ``test`` hold the arrays of ``canvases.Canvases`` under their names,
those that are known; the root's attributes hold the rest.

Shapes: N canvases of a split of H x W pixels, M digits at most on one.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.canvases import SPLITS, Canvases

FORMAT = "airkit-canvases"
FORMAT_VERSION = 3
"""Newest version: that of canvases that are not square. Square ones are version 2, or 1 in a grey
file with the arrays of digits, no more and no fewer."""
LIBVER = ("v110", "v110")
"""Version of HDF5's own file format."""

DTYPES = {
    "image": "|u1",
    "count": "|u1",
    "label": "|i1",
    "box": "<f4",
    "source_index": "<i4",
    "mask": "|u1",
}
"""Type of each array of ``canvases.Canvases``, in the order of the file."""

Arrays = Mapping[str, Sequence[str]]
"""Names of the arrays of each split, in the order of ``DTYPES``; ``image`` is among them."""

DIGITS: Arrays = dict.fromkeys(SPLITS, ("image", "count", "label", "box", "source_index"))
"""The arrays of canvases that are made of digits."""

CHUNK = 256
"""Canvases in a chunk, unless they are so large that fewer fill ``_CHUNK_BYTES``."""
_CHUNK_BYTES = 2**24
_FILTERS: Mapping[str, Mapping[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "none": {},
}


def to_words(arrays: Arrays) -> str:
    """Paths of all arrays, in the order of the file, as the attribute ``arrays`` holds them."""
    return " ".join(f"{split}/{name}" for split in SPLITS for name in arrays[split])


def from_words(words: str) -> Arrays | None:
    """The arrays that ``to_words`` names; None where it would not write these words."""
    named = set(words.split())
    arrays = {
        split: tuple(name for name in DTYPES if f"{split}/{name}" in named) for split in SPLITS
    }
    whole = all("image" in names for names in arrays.values())
    return arrays if whole and to_words(arrays) == words else None


def version_of(arrays: Arrays, data: DataConfig) -> int:
    """Format version of a file with these arrays."""
    if data.shape[0] != data.shape[1]:
        return FORMAT_VERSION
    as_ever = to_words(arrays) == to_words(DIGITS) and data.channels == 1
    return 1 if as_ever else 2


def shapes(data: DataConfig, split: str, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of a split's arrays of these names, in the order of the file."""
    many, places = getattr(data, split), max(data.max_digits, 1)
    colours = (data.channels,) if data.channels > 1 else ()
    every = {
        "image": (many, *data.shape, *colours),
        "count": (many,),
        "label": (many, places),
        "box": (many, places, 4),
        "source_index": (many, places),
        "mask": (many, *data.shape),
    }
    return {name: shape for name, shape in every.items() if name in names}


def create_arrays(group: Any, data: DataConfig, split: str, names: Sequence[str]) -> None:
    """Create a split's arrays, without content, in a group of an HDF5 file."""
    rows = rows_of(data, split)
    for name, shape in shapes(data, split, names).items():
        layout: dict[str, Any] = {}
        if shape[0]:  # an empty array can have neither chunks nor filters
            layout = {"chunks": (rows, *shape[1:]), **_FILTERS[data.compression]}
        group.create_dataset(name, shape, np.dtype(DTYPES[name]), **layout)


def rows_of(data: DataConfig, split: str) -> int:
    """Canvases in a chunk of each of a split's arrays, so that all of them can grow together."""
    return chunk_rows(shapes(data, split, ["image"])["image"])


def chunk_rows(shape: tuple[int, ...]) -> int:
    """Canvases in a chunk of an array: all of them, or ``CHUNK`` divided by a power of two."""
    rows = CHUNK
    while rows > 1 and rows * prod(shape[1:]) > _CHUNK_BYTES:
        rows //= 2
    return max(1, min(rows, shape[0]))


def chunk_offset(row: int, dataset: Any) -> tuple[int, ...]:
    """Offset, as HDF5 takes it, of the chunk that starts at ``row``."""
    return (row, *(0 for _ in dataset.shape[1:]))


@dataclass(frozen=True)
class Packed:
    """Consecutive canvases of a split, and the compressed chunks that hold them.

    Attributes:
        split: train, val or test.
        canvases: the canvases.
        chunks: by array, HDF5's filter mask and the bytes of each chunk.
    """

    split: str
    canvases: Canvases
    chunks: Mapping[str, Sequence[tuple[int, bytes]]]


def pack(data: DataConfig, split: str, canvases: Canvases) -> Packed:
    """Compress canvases, the first of which starts a chunk, in an HDF5 file in memory.

    Worker processes can so compress what the main process writes.
    """
    many = len(canvases.image)
    chunks = {}
    with h5py.File(io.BytesIO(), "w", libver=LIBVER) as file:
        create_arrays(file, data, split, [*canvases.known])
        for name, array in canvases.known.items():
            dataset = file[name]
            dataset[:many] = array
            dataset.flush()  # before this HDF5 knows no size of a single chunk
            chunks[name] = [
                dataset.id.read_direct_chunk(chunk_offset(row, dataset))
                for row in range(0, many, dataset.chunks[0])
            ]
    return Packed(split, canvases, chunks)


class ContentDigest:
    """SHA-256 over one line for each array, with its name, type, shape and SHA-256.

    It depends on the arrays alone, not on chunks, compression or the order of writing splits.
    """

    def __init__(self, data: DataConfig, arrays: Arrays) -> None:
        self._heads = {
            (split, name): f"{split}/{name} {DTYPES[name]} {shape}"
            for split in SPLITS
            for name, shape in shapes(data, split, arrays[split]).items()
        }
        self._hashes = {key: hashlib.sha256() for key in self._heads}

    def update(self, split: str, name: str, array: NDArray[Any]) -> None:
        """Add the next rows of an array; they must be contiguous and of its dtype."""
        self._hashes[split, name].update(array.data)

    def digest(self) -> str:
        """Digest of what was added so far, in hexadecimal."""
        lines = [f"{head} {self._hashes[key].hexdigest()}\n" for key, head in self._heads.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
