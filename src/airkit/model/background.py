"""The background that objects stand on, and the ink that stands out of it.

AIR paints on blank canvases. Where pictures are not blank behind their objects, a robust filter
estimates the background of each, without labels and without weights, and the model explains the
rest, the ink. A learned background (``airkit.model.learned_background``) takes the place of the
filter. Where objects are darker than the background, ink is darkness. Where some are far
fainter than others, ink is stretched by asinh, as astronomers show stars and galaxies side by side
(Lupton, Gunn and Szalay 1999, arXiv astro-ph/9903081): opaque objects hide each other in stretched
ink as they do in the picture.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.learned_background import LearnedBackground
from airkit.system import backgrounds, stretch

WIDTH = 2.0
"""Side of the window of a median or rolling ball, in typical object sizes: wider than one."""


def without_weights(config: Config) -> Config:
    """The configuration with a background that needs no weights: for learned, what a look found."""
    if config.background != "learned":
        return config
    return config.updated("model", background="auto")


class Background(nn.Module):
    """Splits pictures into background and ink, and puts them together again."""

    def __init__(self, config: Config) -> None:
        """Take ``model.background`` and ``model.polarity`` from a resolved configuration."""
        super().__init__()
        self.learned = LearnedBackground(config) if config.background == "learned" else None
        self.signed = config.polarity == "both"
        """Whether ink may be negative."""
        self.sign = -1.0 if config.polarity == "dark" else 1.0
        self.stretch = config.stretch
        self.side = 2 * math.ceil(WIDTH * config.object_size / 2) + 1
        estimates: dict[str, Callable[[Tensor], Tensor]] = {
            "none": torch.zeros_like,
            "constant": backgrounds.constant,
            "plane": backgrounds.plane,
            "median": self._median,
            "rolling-ball": self._rolling_ball,
        }
        self._estimate = estimates.get(config.background, torch.zeros_like)
        self.filters = config.background not in ("none", "learned")
        """Whether a filter without weights estimates it, of each picture."""
        self._known: Tensor | None = None

    @contextmanager
    def known(self, behind: Tensor) -> Iterator[None]:
        """Take ``behind`` [B, C, H, W] for the background of all images while inside."""
        self._known = behind
        try:
            yield
        finally:
            self._known = None

    def estimate(self, images: Tensor) -> Tensor:
        """The background of images [B, C, H, W]: of each channel by itself, unless learned."""
        if self.learned is not None:
            return self.learned.decode(self.learned.encode(images).mean, images.shape[2:])
        if self._known is not None:
            return self._known
        return self._estimate(images.flatten(0, 1)).view_as(images)

    def ink(self, images: Tensor, behind: Tensor | None = None) -> Tensor:
        """What stands out of the background, of levels in 0..1, [B, C, H, W].

        Positive where objects are, but for noise and for pictures with objects of both kinds.

        Args:
            images: levels in 0..1, [B, C, H, W].
            behind: their backgrounds, where they are not to be estimated.
        """
        plain = self.sign * (images - (self.estimate(images) if behind is None else behind))
        ink: Tensor = stretch.stretched(plain, self.stretch, torch.asinh)
        return ink

    def plain(self, ink: Tensor) -> Tensor:
        """Ink as it was before the stretch, of any shape."""
        plain: Tensor = stretch.plain(ink, self.stretch, torch.sinh)
        return plain

    def picture(self, images: Tensor, ink: Tensor) -> Tensor:
        """Ink [B, N, C, H, W] on the backgrounds of ``images`` [B, C, H, W]."""
        return self.estimate(images)[:, None] + self.sign * self.plain(ink)

    def _median(self, images: Tensor) -> Tensor:
        """See ``backgrounds.median``."""
        return backgrounds.median(images, self.side)

    def _rolling_ball(self, images: Tensor) -> Tensor:
        """See ``backgrounds.rolling_ball``; for dark objects the upper envelope."""
        return self.sign * backgrounds.rolling_ball(self.sign * images, self.side)
