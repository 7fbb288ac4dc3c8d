from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_factory import generator

from airkit.config.schema import PriorConfig
from airkit.model.distributions import draw_geometric, log_count, log_count_prior, ratio_at

KINDS = ["geometric", "success"]
RATIOS = [1e-6, 0.01, 0.5, 0.999]


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
    assert log_count_prior("success", ratio, slots).exp().tolist() == pytest.approx(
        wanted, rel=1e-5
    )


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_geometric_draws_follow_the_unbounded_law(ratio: float) -> None:
    draws = draw_geometric(ratio, 20_000, generator(1))
    assert draws.dtype == torch.int64
    assert int(draws.min()) == 0
    mean, sd = ratio / (1 - ratio), ratio**0.5 / (1 - ratio)
    assert float(draws.double().mean()) == pytest.approx(mean, abs=4 * sd / 20_000**0.5)
    seen = torch.bincount(draws.clamp(max=4), minlength=5).double()
    expected = torch.tensor([*((1 - ratio) * ratio**n for n in range(4)), ratio**4]) * 20_000
    assert float(((seen - expected) ** 2 / expected).sum()) < 18.5  # 99.9 %, 4 degrees


def test_geometric_draws_are_the_generators_alone() -> None:
    one, other = (draw_geometric(0.7, 50, generator(5)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, draw_geometric(0.7, 50, generator(6)))


@pytest.mark.parametrize("ratio", [1e-9, 1 - 1e-12])
def test_geometric_draws_of_extreme_ratios_are_counts(ratio: float) -> None:
    draws = draw_geometric(ratio, 1_000, generator(0))
    assert int(draws.min()) >= 0
    assert bool((draws > 0).any()) == (ratio > 0.5)


def _schedule(kind: str) -> PriorConfig:
    return PriorConfig.model_validate(
        {
            "ratio": 0.01,
            "schedule": kind,
            "anneal_from": 0.64,
            "anneal_begin": 100,
            "anneal_duration": 200,
        }
    )


def test_a_constant_schedule_is_the_ratio() -> None:
    assert {ratio_at(_schedule("constant"), 0.01, step) for step in (0, 100, 10**9)} == {0.01}


@pytest.mark.parametrize(("kind", "middle"), [("linear", 0.325), ("exponential", 0.08)])
def test_schedules_go_from_one_end_to_the_other(kind: str, middle: float) -> None:
    config = _schedule(kind)
    assert [ratio_at(config, 0.01, step) for step in (0, 100)] == pytest.approx([0.64, 0.64])
    assert ratio_at(config, 0.01, 200) == pytest.approx(middle)
    assert [ratio_at(config, 0.01, step) for step in (300, 10**9)] == pytest.approx([0.01, 0.01])
    path = [ratio_at(config, 0.01, step) for step in range(100, 301)]
    assert all(later < before for before, later in pairwise(path))


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_counts_sum_to_one_and_presence_is_their_tail(logits: list[float]) -> None:
    log_q, on = log_count(torch.tensor([logits], dtype=torch.float64))
    q = log_q.exp()[0]
    assert float(q.sum()) == pytest.approx(1, abs=1e-12)
    tails = [float(q[t:].sum()) for t in range(1, len(q))]
    assert on[0].tolist() == pytest.approx(tails, abs=1e-12)


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_counts_equal_enumeration_over_presence(slots: int) -> None:
    logits = 2 * torch.randn(4, slots, generator=generator(slots), dtype=torch.float64)
    chance = 1 / (1 + torch.exp(-logits))
    wanted = torch.zeros(4, slots + 1, dtype=torch.float64)
    for vector in product([0, 1], repeat=slots):
        if list(vector) != sorted(vector, reverse=True):
            continue  # a slot that is on after one that is off has no chance
        count = sum(vector)
        factors = [chance[:, t] for t in range(count)]
        factors += [1 - chance[:, count]] if count < slots else []
        wanted[:, count] += torch.stack(factors).prod(0)
    torch.testing.assert_close(log_count(logits)[0].exp(), wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sure_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([[200.0, -200.0], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    log_q, on = log_count(logits)
    assert log_q.dtype == on.dtype == dtype
    assert log_q.isfinite().all()
    (log_q.exp() * log_q).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
