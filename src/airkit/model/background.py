"""The background that objects stand on, and the ink that stands out of it.

AIR paints on blank canvases. Where pictures are not blank behind their objects, a robust filter
estimates the background of each, without labels and without weights, and the model explains the
rest, the ink. Where objects are darker than the background, ink is darkness.

Legend: B batch, H canvas side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.system import backgrounds

WIDTH = 2.0
"""Side of the filter of a smooth background, in typical object sizes: wider than any object."""


class Background:
    """Splits pictures into background and ink, and puts them together again."""

    def __init__(self, config: Config) -> None:
        """Take ``model.background`` and ``model.polarity`` from a resolved configuration."""
        self.signed = config.polarity == "both"
        """Whether ink may be negative."""
        self.sign = -1.0 if config.polarity == "dark" else 1.0
        self.side = 2 * math.ceil(WIDTH * config.object_size / 2) + 1
        estimates: dict[str, Callable[[Tensor], Tensor]] = {
            "none": torch.zeros_like,
            "constant": backgrounds.constant,
            "plane": backgrounds.plane,
            "smooth": self._smooth,
        }
        self.estimate = estimates[config.background]

    def ink(self, images: Tensor) -> Tensor:
        """What stands out of the background, of grey levels in 0..1, [B, H, H].

        Positive where objects are, but for noise and for pictures with objects of both kinds.
        """
        return self.sign * (images - self.estimate(images))

    def picture(self, images: Tensor, ink: Tensor) -> Tensor:
        """Ink [B, ..., H, H] on the backgrounds of ``images`` [B, H, H]; the inverse of ``ink``."""
        batch, *sides = images.shape
        behind = self.estimate(images).view(batch, *[1] * (ink.dim() - 3), *sides)
        return behind + self.sign * ink

    def _smooth(self, images: Tensor) -> Tensor:
        """See ``backgrounds.smooth``; for dark objects the upper envelope."""
        return self.sign * backgrounds.smooth(self.sign * images, self.side)
