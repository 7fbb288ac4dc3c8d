"""The order of batches: a function of the seed and the step, with nothing to save."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from airkit.system import seeds


class Batches:
    """Shuffled batches of equal size; each epoch is one permutation, its remainder left out."""

    def __init__(
        self, count: int, size: int, seed: int, device: torch.device | None = None
    ) -> None:
        """Batches of ``size`` out of ``count`` canvases (all of them where there are fewer).

        Their order is brought to ``device`` an epoch at a time.
        """
        self.count, self.size, self.seed = count, min(size, count), seed
        self.device = device
        self.per_epoch = count // self.size
        self._order = lru_cache(maxsize=1)(self._permutation)

    def at(self, step: int) -> Tensor:
        """Indices of the canvases of a step, counted from 0, as int64 [size]."""
        epoch, batch = divmod(step, self.per_epoch)
        return self._order(epoch)[batch * self.size : (batch + 1) * self.size]

    def _permutation(self, epoch: int) -> Tensor:
        order = seeds.generator(self.seed, "batches", epoch).permutation(self.count)
        found = torch.from_numpy(order.astype(np.int64))
        if self.device is not None and self.device.type == "cuda":
            found = found.pin_memory()  # from elsewhere, a copy waits for the GPU
        return found.to(self.device, non_blocking=True)
