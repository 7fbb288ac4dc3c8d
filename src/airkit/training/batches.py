"""Which canvases each training step takes: a function of the seed and the step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from airkit.system import seeds

CPU = torch.device("cpu")


class Batches:
    """Batches of equal size in the shuffled order of an epoch; its remainder is left out.

    Either all canvases are shuffled, or, where they do not fit into memory, they are in blocks:
    each epoch brings the chunks of the file into another order, cuts it into blocks of about
    ``block`` canvases, and shuffles the canvases within each. A last chunk that is not full stays
    the last. Either way there is nothing to save.

    Args:
        count: canvases in all.
        size: canvases of a batch; all of them where there are fewer.
        seed: of the order.
        device: where indices go.
        block: canvases to shuffle together; 0 for all.
        chunk: canvases in a chunk of the file.
    """

    def __init__(
        self, count: int, size: int, seed: int, device: torch.device = CPU, *, block: int = 0,
        chunk: int = 1,
    ) -> None:  # fmt: skip
        self.count, self.size, self.seed, self.device = count, min(size, count), seed, device
        self.per_epoch, self.block, self.chunk = count // self.size, block, chunk
        blocks = -(-count // block) if block else 1
        self._batches = -(-self.per_epoch // blocks)  # of a block
        self._order = lru_cache(maxsize=1)(self._permutation)

    def at(self, step: int) -> Tensor:
        """Indices of the canvases of ``step``, counted from 0, as int64 [size] on the device."""
        epoch, batch = divmod(step, self.per_epoch)
        number, place = divmod(batch, self._batches)
        return self._order(epoch, number)[place * self.size : (place + 1) * self.size]

    def _permutation(self, epoch: int, number: int) -> Tensor:
        """The order of a block of an epoch."""
        order = self._of_block(epoch, number) if self.block else self._shuffled(self.count, epoch)
        indices = torch.from_numpy(order.astype(np.int64))
        if self.device.type == "cuda":
            indices = indices.pin_memory()  # a copy from pageable memory waits for the GPU
        return indices.to(self.device, non_blocking=True)

    def _of_block(self, epoch: int, number: int) -> NDArray[np.int64]:
        first, last = (self._batches * self.size * each for each in (number, number + 1))
        if last + self.size > self.count:  # no batch is left after it
            last = self.count
        places = first + self._shuffled(last - first, epoch, number)
        full = self.count // self.chunk
        chunks = np.append(self._shuffled(full, epoch), full)
        within: NDArray[np.int64] = places % self.chunk
        return chunks[places // self.chunk] * self.chunk + within

    def _shuffled(self, many: int, *stream: int) -> NDArray[np.int64]:
        return seeds.generator(self.seed, "batches", *stream).permutation(many)
