"""Distributions of AIR: normals, the prior p(n) on the count, the guide's q(n), and annealing.

Legend: B batch, D length of a latent, T slots.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from airkit.config.registry import Registry, is_outside
from airkit.config.schema import PriorConfig


class Normal(NamedTuple):
    """A diagonal normal distribution over the last axis of two tensors [B, D]."""

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
        """KL(self || N(mean, sd^2)) in nats, as [B]."""
        ratio, score = self.sd / sd, (self.mean - mean) / sd
        return (0.5 * (ratio**2 + score**2 - 1) - torch.log(ratio)).sum(-1)


class CountPrior(ABC):
    """A prior p(n) on the number of objects, n = 0..T, with one parameter, ``prior.ratio``."""

    @abstractmethod
    def log_prob(self, ratio: float, slots: int) -> Tensor:
        """Log p(n) for n = 0..T, float64 [T + 1].

        Args:
            ratio: the prior's parameter, between 0 and 1; annealed while training.
            slots: T.
        """


class GeometricPrior(CountPrior):
    """p(n) proportional to ratio^n on 0..T."""

    def log_prob(self, ratio: float, slots: int) -> Tensor:
        """See ``CountPrior.log_prob``."""
        return _log_powers(ratio, slots).log_softmax(0)


class SuccessPrior(CountPrior):
    """Each slot is on with probability ``ratio`` given that the one before is (Pyro's tutorial).

    p(n) = ratio^n (1 - ratio) for n < T, and ratio^T for n = T.
    """

    def log_prob(self, ratio: float, slots: int) -> Tensor:
        """See ``CountPrior.log_prob``."""
        powers = _log_powers(ratio, slots)
        powers[:-1] += math.log1p(-ratio)
        return powers


COUNT_PRIORS: Registry[CountPrior] = Registry(
    "prior.kind",
    {
        "geometric": "airkit.model.distributions:GeometricPrior",
        "success": "airkit.model.distributions:SuccessPrior",
    },
    base="airkit.model.distributions:CountPrior",
)
"""Priors on the count by the name that ``prior.kind`` gives them."""


def count_prior(kind: str) -> CountPrior:
    """The prior on the count that ``prior.kind`` names.

    Raises:
        ExtensionError: a class from outside that was not named, cannot be imported, or whose
            ``log_prob`` returns no log probabilities of the counts 0..T.
    """
    prior = COUNT_PRIORS[kind]()
    if is_outside(kind):
        log_p = prior.log_prob(0.5, 3)
        if log_p.shape != (4,) or abs(float(log_p.logsumexp(0))) > 1e-3:
            got = f"log_prob of shape {list(log_p.shape)} that sums to {float(log_p.exp().sum()):g}"
            raise COUNT_PRIORS.unusable(kind, f"{got}, not log p(n) for n = 0..3")
    return prior


def log_count_prior(kind: str, ratio: float, slots: int) -> Tensor:
    """Log p(n) for n = 0..T of the prior called ``kind``, float32 [T + 1]."""
    return count_prior(kind).log_prob(ratio, slots).float()


def presence_logits(log_prior: Tensor) -> Tensor:
    """The prior's log odds that each slot is on given that all before it are, [T].

    p(z_pres_t = 1 | z_pres_1..t-1 = 1) = p(n >= t) / p(n >= t - 1), for log p(n) [T + 1].
    """
    log_at_least = log_prior.flip(0).logcumsumexp(0).flip(0)
    return log_at_least[1:] - log_prior[:-1]


def log_count_posterior(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The guide's distribution over counts, q(n) = p_1 ... p_n (1 - p_{n+1}).

    Args:
        logits: log odds that slot t is on given that all before it are, [B, T]; p_t is their
            sigmoid.

    Returns:
        log q(n) for n = 0..T, [B, T + 1], and p_1 ... p_t, the probability that slot t is on,
        [B, T].
    """
    log_on = pad(cumulative_sum(logsigmoid(logits)), (1, 0))
    return log_on + pad(logsigmoid(-logits), (0, 1)), log_on[:, 1:].exp()


def annealed_ratio(prior: PriorConfig, final: float, step: int) -> float:
    """The prior's ratio at a training step, on its way from ``anneal_from`` to ``final``.

    Objects are nearly free at first, so that training does not settle on blank canvases before
    the decoder has learned to draw.
    """
    if prior.schedule == "constant":
        return final
    done = min(1.0, max(0.0, (step - prior.anneal_begin) / prior.anneal_duration))
    if prior.schedule == "linear":
        return prior.anneal_from + done * (final - prior.anneal_from)
    return float(prior.anneal_from * (final / prior.anneal_from) ** done)


def sample_unbounded_counts(ratio: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw from p(n) = (1 - ratio) ratio^n on n = 0, 1, 2 ..., the limit of many slots.

    Args:
        ratio: between 0 and 1; the mean is ratio / (1 - ratio).
        count: how many to draw.
        generator: a CPU generator.

    Returns:
        int64 [count].
    """
    # P(n >= m) = ratio^m, inverted; 1 - u is in (0, 1], so that the logarithm is finite.
    log_tail = torch.log1p(-torch.rand(count, generator=generator, dtype=torch.float64))
    return (log_tail / math.log(ratio)).floor().to(torch.int64)


def cumulative_sum(values: Tensor) -> Tensor:
    """``values.cumsum(1)``, deterministic on a GPU where deterministic algorithms are asked for.

    PyTorch has no deterministic cumsum of floats on CUDA. There, and only then, each entry adds
    the sums of the 1, 2, 4 ... entries before it (Hillis & Steele 1986).
    """
    if not (values.is_cuda and torch.are_deterministic_algorithms_enabled()):
        return values.cumsum(1)
    return _cumulative_sum_by_doubling(values)


def _cumulative_sum_by_doubling(values: Tensor) -> Tensor:
    shift = 1
    while shift < values.shape[1]:
        added = values[:, shift:] + values[:, :-shift]
        values = torch.cat([values[:, :shift], added], 1)
        shift *= 2
    return values


def _log_powers(ratio: float, slots: int) -> Tensor:
    """Log ratio^n for n = 0..T, float64 [T + 1]."""
    return torch.arange(slots + 1, dtype=torch.float64) * math.log(ratio)
