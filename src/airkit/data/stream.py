"""Images of a split that is too large to be held in memory: they stay in the file.

Shapes: N canvases of a split, C channels, H x W pixels.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from airkit.data import reader
from airkit.data.format import rows_of
from airkit.data.info import DataInfo

HELD = 2**30
"""Most bytes that the images of a split may have to be held in memory."""
LARGE = ("image", "mask")
"""Arrays that may stay in the file: a number a pixel."""
BLOCK = 2**28
"""Bytes of the images of a larger split that are in memory at a time."""


def block_of(data: DataInfo, split: str) -> int:
    """Canvases of a split whose images are in memory at a time; 0 for all of them.

    It depends on the file alone, never on the machine, as the order of a training does.
    """
    numel = data.config.data.numel
    return 0 if data.splits.get(split, 0) * numel <= HELD else max(1, BLOCK // numel)


class Streamed:
    """Images [N, C, H, W] or masks [N, H, W] in their file, uint8, to be indexed as a tensor is.

    They are read a chunk of the file at a time. The chunks that were used last are kept, as many
    as hold ``block`` canvases that lie together.

    Args:
        path: the data file.
        split: train, val or test.
        name: image or mask.
        block: canvases that are in memory at a time.

    Raises:
        DataFileError: the file cannot be read, now or as rows are asked for.
    """

    def __init__(self, path: Path, split: str, name: str, block: int) -> None:
        self._given, self.block = (path, split, name, block), block
        data = reader.read_info(path).config.data
        planes = (data.channels,) if name == "image" else ()
        self._many: int = getattr(data, split)
        self.shape = (self._many, *planes, *data.shape)
        self.chunk = rows_of(data, split)
        """Canvases in a chunk of the file."""
        self._chunk = lru_cache(maxsize=block // self.chunk + 2)(self._read)  # two are cut

    def __len__(self) -> int:
        return self._many

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        """The rows at an index, a slice, indices [B] or flags [N], in memory of their own."""
        if isinstance(index, int | np.integer):
            return torch.from_numpy(self._row(range(len(self))[index]).copy())
        places = range(len(self))
        if isinstance(index, slice):
            chosen = [*places[index]]
        else:
            index = index.nonzero().squeeze(1) if index.dtype == torch.bool else index
            chosen = [places[each] for each in index.tolist()]
        rows = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for place, row in enumerate(chosen):
            rows[place] = self._row(row)
        return torch.from_numpy(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what to read, as for worker processes, and not what was read."""
        return Streamed, self._given

    def _row(self, row: int) -> NDArray[np.uint8]:
        levels: NDArray[np.uint8] = self._chunk(row // self.chunk)[row % self.chunk]
        return levels

    @cached_property
    def _file(self) -> reader.ArrayFile:
        return reader.ArrayFile(*self._given[:3])

    def _read(self, number: int) -> NDArray[np.uint8]:
        """The canvases of a chunk, [n, ...]."""
        levels = self._file.rows(number * self.chunk, (number + 1) * self.chunk)
        if levels.ndim == 4:  # in colour
            return np.moveaxis(levels, -1, 1)
        return levels.reshape(len(levels), *self.shape[1:])
