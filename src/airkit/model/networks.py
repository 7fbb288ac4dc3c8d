"""The networks of AIR: plain multilayer perceptrons, and the normals that they predict."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn


def spread(raw: Tensor) -> Tensor:
    """A network's raw output as a standard deviation: soft-plus, kept off zero.

    Soft-plus alone underflows to 0 at about -100, where the KL and its gradient end.
    """
    return nn.functional.softplus(raw) + 1e-6


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers from ``sizes[0]`` to ``sizes[-1]`` with a ReLU between each two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Normal(NamedTuple):
    """A diagonal normal over the last axis of two tensors of one shape [B, D]."""

    mean: Tensor
    sd: Tensor

    def at(self, noise: Tensor | None) -> Tensor:
        """The reparameterised sample mean + sd . noise, or the mean where there is no noise."""
        return self.mean if noise is None else self.mean + self.sd * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of ``value`` [B, D], as [B]."""
        score = (value - self.mean) / self.sd
        return (-0.5 * score**2 - torch.log(self.sd) - 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl(self, prior_mean: Tensor | float = 0.0, prior_sd: Tensor | float = 1.0) -> Tensor:
        """KL(self || N(prior_mean, prior_sd^2)) in nats, as [B]."""
        ratio = self.sd / prior_sd
        score = (self.mean - prior_mean) / prior_sd
        return (0.5 * (ratio**2 + score**2 - 1) - torch.log(ratio)).sum(-1)


class Decoder(nn.Module):
    """z_what [B, Z] -> window [B, W, W] with ink in 0..1."""

    def __init__(self, code: int, hidden: int, window: int, bias: float) -> None:
        super().__init__()
        self.window, self.bias = window, bias
        self.layers = mlp(code, hidden, window**2)

    def forward(self, what: Tensor) -> Tensor:
        """Decode; a negative bias makes windows start out nearly blank."""
        ink = torch.sigmoid(self.layers(what) + self.bias)
        return ink.view(-1, self.window, self.window)


class Encoder(nn.Module):
    """Windows [B, W, C, W] -> the normal of z_what [B, Z]."""

    def __init__(self, window: int, channels: int, hidden: int, code: int) -> None:
        super().__init__()
        self.layers = mlp(channels * window**2, hidden, 2 * code)

    def forward(self, windows: Tensor) -> Normal:
        """Encode; sds are soft-plus of the network's second half."""
        mean, raw = self.layers(windows.flatten(1)).chunk(2, 1)
        return Normal(mean, spread(raw))
