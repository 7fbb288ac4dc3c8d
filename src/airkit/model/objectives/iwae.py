"""Tighter bounds on the likelihood by importance weights (IWAE, arXiv 1509.00519, equation 8).

The count is summed out here as well: for z's drawn with every slot present,

    w = sum_n p(x | canvas_n) p(n) prod_{t <= n} p(z_t) / q(z_t)

has expectation p(x), whatever the look, since the ratios of slots after n integrate to one.
So log mean_k w_k is a lower bound in expectation, for sampled looks too, and tightens with K.

Legend: B batch, K samples, T slots.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model.air import AIR, Unrolled
from airkit.model.distributions import cumulative_sum


def log_weight(air: AIR, unrolled: Unrolled) -> Tensor:
    """Log w of one drawn pass, in nats, [B]."""
    return log_joint(air, unrolled).logsumexp(1)


def log_joint(air: AIR, unrolled: Unrolled) -> Tensor:
    """The terms of w: log p(x | canvas_n) + log p(n) + log prod p / q, in nats, [B, T + 1]."""
    ratios = pad(cumulative_sum(air.log_ratio(unrolled)), (1, 0))
    return unrolled.log_likelihood + air.log_prior + ratios


def iwae(log_weights: Tensor) -> Tensor:
    """The bound in nats, [B], from log weights [K, B] of independent draws."""
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])
