"""A background that is learned: a latent of the model beside the objects, too weak to draw them.

p(z_behind) = N(0, I), K numbers a picture; a small perceptron makes of them a few grey levels or
colours, which are interpolated over the picture. The guide reads q(z_behind | x) off the picture at
low resolution.

Legend: B batch, C channels, H height, K size of z_behind, P points along a side, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from airkit.config.schema import Config
from airkit.model.distributions import Normal
from airkit.model.networks import mlp, positive

CODE = 8
"""K. Two gradients and a few lumps fit in; objects at places of their own do not."""
POINTS = 4
"""P. An object is seen at fewer points than would draw it."""
SEEN = 16
"""Side in pixels at which the guide sees the picture."""
WIDTH = 128
"""Width of the hidden layers."""


class LearnedBackground(torch.nn.Module):
    """q(z_behind | x) and the background that z_behind stands for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels = config.data.channels
        self.encoder = mlp(self.channels * SEEN**2, WIDTH, 2 * CODE)
        self.decoder = mlp(CODE, WIDTH, self.channels * POINTS**2)

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
