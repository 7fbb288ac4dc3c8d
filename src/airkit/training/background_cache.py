"""Cache of the training pictures' backgrounds, which depend on no weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from airkit.data.dataset import to_float
from airkit.data.stream import Streamed
from airkit.model.background import Background

MOST = 2**28
"""Most levels of pictures whose backgrounds are cached: 1 GiB."""


class BackgroundCache:
    """Estimates the background of a picture when it is first asked for."""

    def __init__(self, images: Tensor, estimate: Callable[[Tensor], Tensor]) -> None:
        """Cache the results of ``Background.estimate`` on ``images``, uint8 [N, C, H, W]."""
        self.images, self.estimate = images, estimate
        self.cached = torch.empty(images.shape)  # takes memory where it is filled
        self.found: set[int] = set()

    def at(self, indices: Tensor) -> Tensor:
        """The backgrounds of the pictures at ``indices`` [B], levels in 0..1, [B, C, H, W].

        Each is estimated by itself, so that its bits do not depend on the others of its batch.
        """
        for index in {*indices.tolist()} - self.found:
            self.cached[index] = self.estimate(to_float(self.images[index : index + 1]))[0]
            self.found.add(index)
        return self.cached[indices]


def background_cache(background: Background, images: Tensor | Streamed) -> BackgroundCache | None:
    """The cache for a model's background; None where it would not pay or not fit.

    It pays on a CPU, for a filter, and for pictures in memory.
    """
    if isinstance(images, Streamed) or images.device.type != "cpu":
        return None
    cacheable = background.is_filtered and images.numel() <= MOST
    return BackgroundCache(images, background.estimate) if cacheable else None
