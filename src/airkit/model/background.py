"""The background of a picture, and the ink: what stands out of it, which the model explains.

AIR paints on blank canvases. Where pictures are not blank behind their objects, a robust filter
estimates the background of each, without labels and without weights, or a network learns it
(``LearnedBackground``). Ink is picture minus background, and background minus picture where objects
are dark. Where some objects are far fainter than others, ink is stretched by asinh,
as astronomers show stars and galaxies side by side (Lupton, Gunn and Szalay 1999, arXiv
astro-ph/9903081): opaque objects hide each other in stretched ink as they do in the picture.

Legend: B batch, C channels, H height, K size of z_behind, P points along a side, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from airkit.config.schema import Config
from airkit.model.distributions import Normal
from airkit.model.networks import mlp, positive
from airkit.system import backgrounds, stretch

WIDTH = 2.0
"""Side of the window of a median or rolling ball, in typical object sizes: wider than one."""
CODE = 8
"""K: enough for a slope and a few lumps, too few for objects, which are anywhere."""
POINTS = 4
"""P: too coarse a grid to draw an object."""
SEEN = 16
"""Side in pixels at which the guide sees the picture."""
HIDDEN = 128
"""Width of a learned background's hidden layers."""


def without_weights(config: Config) -> Config:
    """The configuration, a learned background replaced by the filter that ``auto`` takes."""
    if config.background != "learned":
        return config
    return config.updated("model", background="auto")


class Background(nn.Module):
    """Splits pictures into background and ink, and puts them together again."""

    def __init__(self, config: Config) -> None:
        """Build for ``model.background``, ``model.polarity`` and ``model.stretch``."""
        super().__init__()
        self.learned = LearnedBackground(config) if config.background == "learned" else None
        self.signed = config.polarity == "both"
        """Whether ink may be negative."""
        self.sign = -1.0 if config.polarity == "dark" else 1.0
        self.stretch = config.stretch
        self.side = 2 * math.ceil(WIDTH * config.object_size / 2) + 1
        self._kind = config.background
        self.is_filtered = self._kind not in ("none", "learned")
        """Whether a filter without weights estimates the background."""
        self._known: Tensor | None = None

    @contextmanager
    def known(self, behind: Tensor) -> Iterator[None]:
        """Use ``behind`` [B, C, H, W] in place of estimates while inside."""
        self._known = behind
        try:
            yield
        finally:
            self._known = None

    def estimate(self, images: Tensor) -> Tensor:
        """The background of images [B, C, H, W]; a filter estimates each channel by itself."""
        if self.learned is not None:
            return self.learned.decode(self.learned.encode(images).mean, images.shape[2:])
        if self._known is not None:
            return self._known
        return self._filtered(images.flatten(0, 1)).view_as(images)

    def ink(self, images: Tensor, behind: Tensor | None = None) -> Tensor:
        """What stands out of the background, [B, C, H, W].

        But for noise, it is positive where objects are; of either sign if ``signed``.

        Args:
            images: levels in 0..1, [B, C, H, W].
            behind: their backgrounds, where they are not to be estimated.
        """
        plain = self.sign * (images - (self.estimate(images) if behind is None else behind))
        ink: Tensor = stretch.stretched(plain, self.stretch, torch.asinh)
        return ink

    def unstretched(self, ink: Tensor) -> Tensor:
        """Ink as it was before the stretch, of any shape."""
        plain: Tensor = stretch.unstretched(ink, self.stretch, torch.sinh)
        return plain

    def picture(self, images: Tensor, ink: Tensor) -> Tensor:
        """The inverse of ``ink``: N kinds of ink on the backgrounds of images.

        Args:
            images: whose backgrounds to use, [B, C, H, W].
            ink: [B, N, C, H, W].

        Returns:
            Pictures, [B, N, C, H, W].
        """
        return self.estimate(images)[:, None] + self.sign * self.unstretched(ink)

    def _filtered(self, images: Tensor) -> Tensor:
        """The background of pictures [B, H, W] by a filter; black without one."""
        if self._kind == "median":
            return backgrounds.median(images, self.side)
        if self._kind == "rolling-ball":  # for dark objects the upper envelope
            return self.sign * backgrounds.rolling_ball(self.sign * images, self.side)
        fits: dict[str, Callable[[Tensor], Tensor]] = {
            "none": torch.zeros_like,
            "constant": backgrounds.constant,
            "plane": backgrounds.plane,
            "quadratic": backgrounds.quadratic,
        }
        return fits[self._kind](images)


class LearnedBackground(nn.Module):
    """A background that is a latent beside the objects, too weak to draw them.

    p(z_behind) = N(0, I), K numbers a picture; a small perceptron makes of them a few grey levels
    or colours, which are interpolated over the picture. The guide reads q(z_behind | x) off the
    picture at low resolution.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels = config.data.channels
        self.encoder = mlp(self.channels * SEEN**2, HIDDEN, 2 * CODE)
        self.decoder = mlp(CODE, HIDDEN, self.channels * POINTS**2)

    def encode(self, images: Tensor) -> Normal:
        """The normal of z_behind [B, K], for images of levels in 0..1, [B, C, H, W]."""
        mean, raw = self.encoder(adaptive_avg_pool2d(images, SEEN).flatten(1)).chunk(2, 1)
        return Normal(mean, positive(raw))

    def decode(self, code: Tensor, shape: Sequence[int]) -> Tensor:
        """The background of z_behind [B, K]: levels in 0..1, [B, C, H, W] of ``shape`` [H, W]."""
        points = self.decoder(code).sigmoid().view(-1, self.channels, POINTS, POINTS)
        return interpolate(points, tuple(shape), mode="bilinear", align_corners=True)

    def log_ratio(self, normal: Normal, code: Tensor) -> Tensor:
        """Log p(z_behind) - log q(z_behind | x) of a draw ``code`` [B, K] of ``normal``, [B]."""
        prior = Normal(torch.zeros_like(code), torch.ones_like(code))
        return prior.log_prob(code) - normal.log_prob(code)
