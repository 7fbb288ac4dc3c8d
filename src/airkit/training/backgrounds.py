"""Backgrounds of the training pictures, each estimated once: they depend on no weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from airkit.data.dataset import to_float

MOST = 2**28
"""Most pixels to keep backgrounds of: 1 GiB."""


class Backgrounds:
    """Backgrounds that are estimated when a picture is first trained on, and then kept."""

    def __init__(self, images: Tensor, estimate: Callable[[Tensor], Tensor]) -> None:
        """Prepare for those of ``images``, uint8 [N, C, H, W], by ``Background.estimate``."""
        self.images, self.estimate = images, estimate
        self.kept = torch.empty(images.shape)  # takes memory where it is filled
        self.found: set[int] = set()

    def at(self, indices: Tensor) -> Tensor:
        """The backgrounds of the pictures ``indices`` [B], [B, C, H, W].

        Each is estimated by itself, so that its bits do not depend on the others of its batch.
        """
        for index in {*indices.tolist()} - self.found:
            self.kept[index] = self.estimate(to_float(self.images[index : index + 1]))[0]
            self.found.add(index)
        return self.kept[indices]
