"""Normals, count priors, the guide's distribution over counts, annealing."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_factory import generator
from torch import Tensor
from torch import distributions as dist

from airkit.config.registry import Named
from airkit.config.schema import PriorConfig
from airkit.errors import ExtensionError
from airkit.model import distributions
from airkit.model.counts import (
    CountPrior,
    annealed_ratio,
    log_count_posterior,
    log_count_prior,
    presence_logits,
    sample_unbounded_counts,
)
from airkit.model.distributions import Normal
from airkit.model.networks import positive

KINDS = ["geometric", "success"]
RATIOS = [1e-6, 0.01, 0.5, 0.999]


# Normals


def _normals() -> tuple[Tensor, Tensor, Tensor]:
    draws = generator(0)
    mean, value = torch.randn(2, 5, 4, generator=draws, dtype=torch.float64)
    return mean, torch.rand(5, 4, generator=draws, dtype=torch.float64) * 2 + 0.01, value


def test_log_prob_is_that_of_torch() -> None:
    mean, sd, value = _normals()
    wanted = dist.Normal(mean, sd).log_prob(value).sum(1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(Normal(mean, sd).log_prob(value), wanted, rtol=1e-12, atol=1e-12)


def test_kl_is_that_of_torch() -> None:
    mean, sd, _ = _normals()
    prior_mean = torch.tensor([2.5, 0.0, -1.0, 0.3], dtype=torch.float64)
    prior_sd = torch.tensor([0.3, 1.0, 2.0, 0.05], dtype=torch.float64)
    normal, standard = dist.Normal(mean, sd), dist.Normal(0 * mean, torch.ones_like(sd))
    prior = dist.Normal(prior_mean, prior_sd)
    found = Normal(mean, sd).kl(), Normal(mean, sd).kl(prior_mean, prior_sd)
    wanted = tuple(dist.kl_divergence(normal, each).sum(1) for each in (standard, prior))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_samples_are_reparameterised() -> None:
    mean, sd, noise = _normals()
    assert torch.equal(Normal(mean, sd).sample(noise), mean + sd * noise)
    assert Normal(mean, sd).sample(None) is mean


def test_a_positive_sd_keeps_the_kl_finite() -> None:
    raw = torch.tensor([-1e4, -200.0], requires_grad=True)
    kl = Normal(torch.zeros(1, 2), positive(raw)[None]).kl().sum()
    assert kl.isfinite()
    assert torch.autograd.grad(kl, raw)[0].isfinite().all()


# Priors on the count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("slots", [1, 2, 5, 30])
def test_priors_sum_to_one(kind: str, ratio: float, slots: int) -> None:
    prior = log_count_prior(kind, ratio, slots)
    assert prior.shape == (slots + 1,)
    assert prior.isfinite().all()
    assert float(prior.double().exp().sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("slots", [1, 3])
def test_geometric_prior_is_normalised_powers(ratio: float, slots: int) -> None:
    total = sum(ratio**n for n in range(slots + 1))
    wanted = [ratio**n / total for n in range(slots + 1)]
    assert log_count_prior("geometric", ratio, slots).exp().tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("slots", [1, 2, 4])
def test_success_prior_is_a_chain_of_bernoullis(ratio: float, slots: int) -> None:
    wanted = [0.0] * (slots + 1)
    for tosses in product([0, 1], repeat=slots):
        chance, alive = 1.0, 1
        for toss in tosses:
            p_on = ratio * alive
            chance *= p_on if toss else 1 - p_on
            alive *= toss
        wanted[sum(tosses)] += chance
    found = log_count_prior("success", ratio, slots).exp().tolist()
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_presence_logits_are_the_prior_slot_by_slot(kind: str) -> None:
    prior = log_count_prior(kind, 0.3, 4).double()
    log_q, _ = log_count_posterior(presence_logits(prior)[None])
    torch.testing.assert_close(log_q[0], prior, rtol=1e-6, atol=1e-6)


class Uniform(CountPrior):
    """Every count is as likely."""

    def log_prob(self, ratio: float, slots: int) -> Tensor:
        return torch.zeros(slots + 1, dtype=torch.float64).log_softmax(0)


class Unnormalised(CountPrior):
    def log_prob(self, ratio: float, slots: int) -> Tensor:
        return torch.zeros(slots + 1)


class TooShort(CountPrior):
    def log_prob(self, ratio: float, slots: int) -> Tensor:
        return torch.zeros(slots).log_softmax(0)


def test_a_prior_from_outside_is_used_where_it_was_named() -> None:
    name = f"{__name__}:Uniform"
    found = log_count_prior(Named(name), 0.5, 3)
    torch.testing.assert_close(found.exp(), torch.full((4,), 0.25))
    with pytest.raises(ExtensionError, match=f"prior.kind={name}"):
        log_count_prior(name, 0.5, 3)


@pytest.mark.parametrize("broken", [Unnormalised, TooShort])
def test_a_prior_that_is_no_distribution_is_refused(broken: type[CountPrior]) -> None:
    with pytest.raises(ExtensionError, match=r"n = 0\.\."):
        log_count_prior(Named(f"{__name__}:{broken.__name__}"), 0.5, 3)


# Unbounded counts


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_unbounded_counts_follow_the_geometric_law(ratio: float) -> None:
    draws = sample_unbounded_counts(ratio, 20_000, generator(1))
    assert draws.dtype == torch.int64
    assert torch.equal(draws, sample_unbounded_counts(ratio, 20_000, generator(1)))
    mean, sd = ratio / (1 - ratio), ratio**0.5 / (1 - ratio)
    assert float(draws.double().mean()) == pytest.approx(mean, abs=4 * sd / 20_000**0.5)
    seen = torch.bincount(draws.clamp(max=4), minlength=5).double()
    expected = torch.tensor([*((1 - ratio) * ratio**n for n in range(4)), ratio**4]) * 20_000
    assert float(((seen - expected) ** 2 / expected).sum()) < 18.5  # 99.9 %, 4 degrees


@pytest.mark.parametrize("ratio", [1e-9, 1 - 1e-12])
def test_unbounded_counts_of_extreme_ratios_are_counts(ratio: float) -> None:
    draws = sample_unbounded_counts(ratio, 1_000, generator(0))
    assert int(draws.min()) >= 0
    assert bool((draws > 0).any()) == (ratio > 0.5)


# Annealing


def _schedule(kind: str) -> PriorConfig:
    values = {"anneal_from": 0.64, "anneal_begin": 100, "anneal_duration": 200}
    return PriorConfig.model_validate({"ratio": 0.01, "schedule": kind, **values})


def test_a_constant_schedule_is_the_ratio() -> None:
    steps = (0, 100, 10**9)
    assert {annealed_ratio(_schedule("constant"), 0.01, step) for step in steps} == {0.01}


@pytest.mark.parametrize(("kind", "middle"), [("linear", 0.325), ("exponential", 0.08)])
def test_schedules_go_from_one_end_to_the_other(kind: str, middle: float) -> None:
    def ratios(*steps: int) -> list[float]:
        return [annealed_ratio(_schedule(kind), 0.01, step) for step in steps]

    ends = [0.64, 0.64, middle, 0.01, 0.01]
    assert ratios(0, 100, 200, 300, 10**9) == pytest.approx(ends)
    assert all(later < before for before, later in pairwise(ratios(*range(100, 301))))


# The guide's distribution over counts


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_counts_sum_to_one_and_presence_is_their_tail(logits: list[float]) -> None:
    log_q, on = log_count_posterior(torch.tensor([logits], dtype=torch.float64))
    q = log_q.exp()[0]
    assert float(q.sum()) == pytest.approx(1, abs=1e-12)
    tails = [float(q[t:].sum()) for t in range(1, len(q))]
    assert on[0].tolist() == pytest.approx(tails, abs=1e-12)


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_counts_equal_enumeration_over_presence(slots: int) -> None:
    logits = 2 * torch.randn(4, slots, generator=generator(slots), dtype=torch.float64)
    chance = 1 / (1 + torch.exp(-logits))
    wanted = torch.zeros(4, slots + 1, dtype=torch.float64)
    for count in range(slots + 1):
        factors = [chance[:, t] for t in range(count)]
        factors += [1 - chance[:, count]] if count < slots else []
        wanted[:, count] = torch.stack(factors).prod(0)
    found = log_count_posterior(logits)[0].exp()
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sure_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([[200.0, -200.0], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    log_q, on = log_count_posterior(logits)
    assert log_q.dtype == on.dtype == dtype
    assert log_q.isfinite().all()
    (log_q.exp() * log_q).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


# Cumulative sums


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100])
@pytest.mark.parametrize("more", [(), (2, 3)])
def test_cumulative_sums_by_doubling(count: int, more: tuple[int, ...]) -> None:
    values = torch.randn(4, count, *more, dtype=torch.float64, generator=generator(0))
    found = distributions._cumulative_sum_by_doubling(values)
    torch.testing.assert_close(found, values.cumsum(1), rtol=1e-12, atol=1e-12)
