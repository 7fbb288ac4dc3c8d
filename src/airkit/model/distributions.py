"""The normal distributions of AIR's latents, and sums along their slots.

Legend: B batch, D length of a latent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.system.device import needs_deterministic


class Normal(NamedTuple):
    """A diagonal normal distribution over the last axis of two tensors.

    Attributes:
        mean: means, [B, D].
        sd: standard deviations, [B, D].
    """

    mean: Tensor
    sd: Tensor

    def sample(self, noise: Tensor | None) -> Tensor:
        """The reparameterised sample mean + sd * noise, or the mean where ``noise`` is None."""
        return self.mean if noise is None else self.mean + self.sd * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of ``value`` [B, D] in nats, as [B]."""
        score = (value - self.mean) / self.sd
        return (-0.5 * score**2 - torch.log(self.sd) - 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl(self, mean: Tensor | float = 0.0, sd: Tensor | float = 1.0) -> Tensor:
        """KL(self || N(mean, sd^2)) in nats, as [B].

        >>> Normal(torch.tensor([[1.0, 0.0]]), torch.ones(1, 2)).kl()
        tensor([0.5000])
        """
        ratio, score = self.sd / sd, (self.mean - mean) / sd
        return (0.5 * (ratio**2 + score**2 - 1) - torch.log(ratio)).sum(-1)


def cumulative_sum(values: Tensor) -> Tensor:
    """``values.cumsum(1)``, deterministic on a GPU where deterministic algorithms are asked for.

    PyTorch has no deterministic cumsum of floats on CUDA. There, and only then, each entry adds
    the sums of the 1, 2, 4 ... entries before it (Hillis & Steele 1986).
    """
    if not needs_deterministic(values):
        return values.cumsum(1)
    return _cumulative_sum_by_doubling(values)


def _cumulative_sum_by_doubling(values: Tensor) -> Tensor:
    shift = 1
    while shift < values.shape[1]:
        added = values[:, shift:] + values[:, :-shift]
        values = torch.cat([values[:, :shift], added], 1)
        shift *= 2
    return values
