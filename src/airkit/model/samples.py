"""Weighted samples of the posterior over scenes, p(n, z | x).

Each is a draw of the guide, q(z | x) with looks drawn too, and a count of p(n | x, z). Its weight
is w = sum_n p(x, n, z) / q(z | x), as in the IWAE bound (Burda et al., arXiv 1509.00519, equation
8): means under the weights tend to those of the posterior as samples become many.

Legend: B batch, K samples, T slots, Z code size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from airkit.model import image_noise
from airkit.model.air import AIR, Unrolled
from airkit.model.distributions import cumulative_sum
from airkit.model.guides import Noise
from airkit.model.objectives.iwae import log_joint
from airkit.system import seeds


@dataclass(frozen=True)
class Samples:
    """Samples of the scenes on each image."""

    count: Tensor
    """Objects, int64 [B, K]."""
    where: Tensor
    """z_where of every slot, [B, K, T, 3]; those of slot ``count`` and on are not part of it."""
    what: Tensor
    """z_what of every slot, [B, K, T, Z], likewise."""
    log_weight: Tensor
    """Log w in nats, [B, K]; log mean w is a bound on log p(x) in expectation."""


def sample(air: AIR, images: Tensor, many: int, seed: int) -> Samples:
    """Draw weighted samples of the posterior, which for an image depend on its pixels alone.

    Args:
        air: the trained model.
        images: levels in 0..1, [B, C, H, W].
        many: K, at least 1; the first samples are the same for any K.
        seed: of the samples, non-negative.
    """
    draw, size = air.draws(images), air.slots * (air.code + 4) + air.behind + 1
    streams = (seeds.integer(seed, "sample", k) for k in range(many))
    each = [
        _sample(air, draw, image_noise.uniform(images, stream, 1, size).squeeze(1))
        for stream in streams
    ]
    return Samples(*(torch.stack(part, 1) for part in zip(*each, strict=True)))


def _sample(air: AIR, draw: Callable[[Noise], Unrolled], numbers: Tensor) -> tuple[Tensor, ...]:
    """The parts of one sample, [B, ...], from uniform numbers [B, ...]."""
    batch, slots = len(numbers), air.slots
    sizes = [3 * slots, air.code * slots, slots, air.behind, 1]
    where, what, look, behind, chosen = torch.split(numbers, sizes, 1)
    like = air.first_log_prior
    noise = Noise(
        _normal(where).view(batch, slots, 3).to(like),
        _normal(what).view(batch, slots, air.code).to(like),
        look.to(like),
        _normal(behind).to(like) if air.behind else None,
    )
    unrolled = draw(noise)
    joint = log_joint(air, unrolled)
    up_to = cumulative_sum(joint.double().softmax(1))
    count = torch.searchsorted(up_to, chosen.contiguous(), right=True).squeeze(1).clamp(max=slots)
    return count, unrolled.where.value, unrolled.what.value, joint.logsumexp(1)


def _normal(uniform: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones, multiples of 2^-53 in [0, 1)."""
    normal: Tensor = torch.special.ndtri(uniform + 2.0**-54)
    return normal
