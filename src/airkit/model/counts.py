"""Distributions over the count: the prior p(n) and its annealing, and the guide's q(n).

Legend: B batch, T slots.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from airkit.config.registry import Registry, is_outside
from airkit.config.schema import PriorConfig
from airkit.model.checks import described
from airkit.model.distributions import cumulative_sum


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
    """p(n) proportional to ratio^n on 0..T.

    >>> GeometricPrior().log_prob(0.5, 2).exp() * 7
    tensor([4.0000, 2.0000, 1.0000], dtype=torch.float64)
    """

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
        "geometric": "airkit.model.counts:GeometricPrior",
        "success": "airkit.model.counts:SuccessPrior",
    },
    base="airkit.model.counts:CountPrior",
)
"""Priors on the count by the name that ``prior.kind`` gives them."""


def count_prior(kind: str) -> CountPrior:
    """The prior on the count that ``prior.kind`` names.

    Raises:
        ExtensionError: a class from outside that was not named, cannot be imported, or whose
            ``log_prob`` returns no log probabilities of the counts 0..T.
    """
    prior = COUNT_PRIORS.build(kind)
    if is_outside(kind):
        for slots in (2, 3):
            with COUNT_PRIORS.running(kind):
                log_p = prior.log_prob(0.5, slots)
            if got := _fault(log_p, slots):
                expected = (
                    f"log_prob(0.5, {slots}) of floats [{slots + 1}]: log p(n), n = 0..{slots}"
                )
                raise COUNT_PRIORS.unusable(kind, got, expected)
    return prior


def _fault(log_p: object, slots: int) -> str | None:
    """What is wrong with log p(n) for n = 0..T from a class from outside, if anything is."""
    shape = (slots + 1,)
    if not (isinstance(log_p, Tensor) and log_p.shape == shape and log_p.is_floating_point()):
        return described(log_p)
    if not log_p.isfinite().all():
        return f"{log_p.tolist()}, not all of them finite"
    total = float(log_p.detach().exp().sum())
    return f"probabilities that sum to {total:g}" if abs(total - 1) > 1e-3 else None


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

    Example:
        Two slots, each on with probability 1/2 given that the one before is:

        >>> log_q, on = log_count_posterior(torch.zeros(1, 2))
        >>> log_q.exp().tolist(), on.tolist()
        ([[0.5, 0.25, 0.25]], [[0.5, 0.25]])
    """
    log_on = pad(cumulative_sum(logsigmoid(logits)), (1, 0))
    return log_on + pad(logsigmoid(-logits), (0, 1)), log_on[:, 1:].exp()


def first_slots(counts: Tensor, slots: int) -> Tensor:
    """Which of T = ``slots`` slots are among the first ``counts`` [B], [B, T]."""
    return torch.arange(slots, device=counts.device) < counts[:, None]


def annealed_ratio(prior: PriorConfig, final: float, step: int) -> float:
    """The prior's ratio at a training step, on its way from ``anneal_from`` to ``final``.

    Objects are nearly free at first, so that training does not settle on blank canvases before
    the decoder has learned to draw.

    Args:
        prior: the schedule.
        final: the ratio at its end.
        step: the step, counted from 0.
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


def _log_powers(ratio: float, slots: int) -> Tensor:
    """Log ratio^n for n = 0..T, float64 [T + 1]."""
    return torch.arange(slots + 1, dtype=torch.float64) * math.log(ratio)
