"""The prior on the count, its schedule, and the guide's distribution over counts.

Legend: B batch, T slots.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from airkit.config.schema import PriorConfig
from airkit.model.sums import running_sum


def log_count_prior(kind: str, ratio: float, slots: int) -> Tensor:
    """Log p(n) for n = 0..T, as [T + 1].

    Args:
        kind: ``geometric``: p(n) proportional to ratio^n; ``success``: each slot is on with
            probability ``ratio`` given the one before, as in Pyro's tutorial.
        ratio: k of the geometric prior, or the success probability; between 0 and 1.
        slots: T.
    """
    log_ratio = torch.tensor(ratio, dtype=torch.float64).log()
    powers = torch.arange(slots + 1, dtype=torch.float64) * log_ratio
    if kind == "geometric":
        return powers.log_softmax(0).float()
    powers[:-1] += torch.log1p(torch.tensor(-ratio, dtype=torch.float64))
    return powers.float()


def success_logits(log_prior: Tensor) -> Tensor:
    """The log odds that each slot is on given that all before it are, [T].

    The same prior slot by slot, for log p(n), n = 0..T, [T + 1]:
    p(on_t | on_1 .. on_{t-1}) = p(n >= t) / p(n >= t - 1).
    """
    log_more = log_prior.flip(0).logcumsumexp(0).flip(0)[1:]
    return log_more - log_prior[:-1]


def draw_geometric(ratio: float, draws: int, generator: torch.Generator) -> Tensor:
    """Draw counts from p(n) = (1 - ratio) ratio^n on n = 0, 1, 2 ..., as int64 [draws].

    What both kinds of prior tend to as slots are added without end.

    Args:
        ratio: between 0 and 1; the mean is ratio / (1 - ratio).
        draws: how many.
        generator: a CPU generator.
    """
    # P(n >= m) = ratio^m, inverted; 1 - u is in (0, 1], and so the logarithm finite
    tail = torch.log1p(-torch.rand(draws, generator=generator, dtype=torch.float64))
    return (tail / math.log(ratio)).floor().to(torch.int64)


def ratio_at(prior: PriorConfig, last: float, step: int) -> float:
    """The prior's ratio at a step: ``last``, or on the way to it from ``anneal_from``.

    Starting from a prior that lets objects be had for nothing keeps the guide from explaining
    all canvases as blank before the decoder has learned to draw.
    """
    if prior.schedule == "constant":
        return last
    done = min(1.0, max(0.0, (step - prior.anneal_begin) / prior.anneal_duration))
    if prior.schedule == "linear":
        return prior.anneal_from + done * (last - prior.anneal_from)
    return float(prior.anneal_from * (last / prior.anneal_from) ** done)


def log_count(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The guide's distribution over counts, from its presence logits [B, T].

    Slot t is on with probability sigmoid(logit_t) given that all before it are, so that
    q(n) = p_1 ... p_n (1 - p_{n+1}).

    Returns:
        log q(n) for n = 0..T, as [B, T + 1], and p_1 ... p_t, as [B, T].
    """
    zero = torch.zeros_like(logits[:, :1])
    log_on = torch.cat([zero, running_sum(logsigmoid(logits))], 1)
    return log_on + torch.cat([logsigmoid(-logits), zero], 1), log_on[:, 1:].exp()
