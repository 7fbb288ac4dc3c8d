"""Canvases as the chunks of a data file, squeezed apart from the file that is to hold them.

Shapes: N canvases of a split, M digits at most on one, H = W side of a canvas.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np

from airkit.config.schema import DataConfig
from airkit.data.compose import Canvases
from airkit.data.format import DTYPES, shapes

CHUNK = 256  # canvases in a chunk,
_CHUNK_BYTES = 2**24  # unless they are so large that fewer make a chunk of this size
_FILTERS: Mapping[str, Mapping[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "none": {},
}
LIBVER = ("v110", "v110")
"""The format of HDF5 that files are written in."""


@dataclass(frozen=True)
class Packed:
    """Consecutive canvases of a split, and the chunks that will hold them.

    Attributes:
        split: the split.
        canvases: the canvases.
        chunks: for each array, its chunks as they stand in the file: a mask of filters that
            HDF5 left out, and the bytes.
    """

    split: str
    canvases: Canvases
    chunks: Mapping[str, Sequence[tuple[int, bytes]]]


def pack(data: DataConfig, split: str, canvases: Canvases) -> Packed:
    """Squeeze canvases that begin with a chunk, by HDF5 itself in a file in memory."""
    many = len(canvases.count)
    chunks = {}
    with h5py.File(io.BytesIO(), "w", libver=LIBVER) as file:
        create_arrays(file, data, split)
        for name in DTYPES:
            dataset = file[name]
            dataset[:many] = getattr(canvases, name)
            dataset.flush()  # HDF5 knows no size of a lone chunk before
            chunks[name] = [
                dataset.id.read_direct_chunk(corner(row, dataset))
                for row in range(0, many, dataset.chunks[0])
            ]
    return Packed(split, canvases, chunks)


def create_arrays(group: Any, data: DataConfig, split: str) -> None:
    """Create a split's arrays, blank, in a group of an HDF5 file."""
    for name, shape in shapes(data, split).items():
        options = _layout(shape, data.compression)
        group.create_dataset(name, shape, np.dtype(DTYPES[name]), **options)


def corner(row: int, dataset: Any) -> tuple[int, ...]:
    """Where the chunk begins that has ``row`` first."""
    return (row, *(0 for _ in dataset.shape[1:]))


def chunk_rows(shape: tuple[int, ...]) -> int:
    """Canvases in a chunk of an array: all of them, or a share of ``CHUNK`` without remainder."""
    rows = CHUNK
    while rows > 1 and rows * prod(shape[1:]) > _CHUNK_BYTES:
        rows //= 2
    return max(1, min(rows, shape[0]))


def _layout(shape: tuple[int, ...], compression: str) -> dict[str, Any]:
    """Chunks and filters of an array; an empty one can have none."""
    if not shape[0]:
        return {}
    return {"chunks": (chunk_rows(shape), *shape[1:]), **_FILTERS[compression]}
