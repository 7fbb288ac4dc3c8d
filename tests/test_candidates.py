"""A slot that compares looks takes the one whose object costs least for what it explains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_factory import blobs, generator, tiny_air, tiny_config
from torch import Tensor

from airkit.model.air import AIR, TIE, Unrolled
from airkit.model.guides import MEANS
from airkit.model.scene import explain
from airkit.model.spatial_transformer import paint

CASES = pytest.mark.parametrize(
    "case", [{}, {"compositing": "over"}, {"channels": 3}, {"compositing": "over", "channels": 3}]
)


def _air(slots: int = 1, **case: Any) -> AIR:
    return tiny_air(tiny_config(slots, refinements=0, **case), seed=2)


def _costs(air: AIR, ink: Tensor, found: Unrolled) -> Tensor:
    """Nats that the first object costs for each nat that it gains, one image at a time."""
    painted = paint(found.windows[:, 0], found.size[:, 0], found.centre[:, 0], air.canvas_size)
    after, kl, costs = painted[:, : air.channels], air.kl(found)[:, 0], []
    for index, image in enumerate(ink):
        left = (image - after[index]) ** 2
        cover = painted[index, -1] if air.occludes else painted[index].abs().amax(0)
        empty, whole, here = ((image**2).sum(), left.sum(), (left * cover).sum())
        gain = float(air.log_p_x(whole) - air.log_p_x(empty))
        unexplained = float(air.log_p_x(torch.zeros_like(here)) - air.log_p_x(here))
        cost = unexplained + float(kl[index]) + float(air.log_prior[0] - air.log_prior[1])
        costs.append(cost / gain if gain > 0 else float("inf"))
    return torch.tensor(costs)


@CASES
@torch.no_grad()
def test_the_look_that_costs_least_is_taken(case: dict[str, Any]) -> None:
    air, ink = _air(**case), blobs(40, channels=case.get("channels", 1))
    looks = [torch.full((40,), (k + 0.5) / 3) for k in range(3)]
    passes = [air.unroll(ink, MEANS._replace(look=look[:, None])) for look in looks]
    costs = torch.stack([_costs(air, ink, each) for each in passes])
    assert len(set(costs.argmin(0).tolist())) > 1
    found = air.unroll(ink, candidates=3)
    taken = (costs <= TIE * costs.min(0).values).float().cumsum(0).eq(0).sum(0)
    wanted = costs.gather(0, taken[None])[0]
    torch.testing.assert_close(_costs(air, ink, found), wanted)


@CASES
@torch.no_grad()
def test_the_slots_after_compare_what_is_left(case: dict[str, Any]) -> None:
    """Where there is but one candidate for each slot, it is the pass of that look."""
    air, ink = _air(3, **case), blobs(20, channels=case.get("channels", 1))
    look = torch.full((20, 3), 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AIR, "_cost", lambda *_: torch.tensor([2.0, 1.0, 0.5, 1.0, 2.0]).repeat(20))
        found = air.unroll(ink, candidates=5)
    wanted = air.unroll(ink, MEANS._replace(look=look))
    assert torch.equal(found.log_likelihood, wanted.log_likelihood)


@torch.no_grad()
def test_one_candidate_is_the_look_of_the_noise() -> None:
    air, ink = _air(3), blobs(20)
    assert torch.equal(air.unroll(ink, candidates=1).where.value, air(ink).where.value)
    look = torch.rand(20, 3, generator=generator(0))
    found, wanted = (air.unroll(ink, MEANS._replace(look=look), candidates=k) for k in (1, 4))
    assert not torch.equal(found.where.value, wanted.where.value)


@torch.no_grad()
def test_an_image_is_explained_the_same_in_any_batch() -> None:
    air, ink = _air(3), blobs(20)
    alone = torch.cat([explain(air, image[None]).canvas for image in ink])
    torch.testing.assert_close(alone, explain(air, ink).canvas, rtol=0, atol=1e-9)


@torch.no_grad()
def test_the_lstm_has_one_look() -> None:
    config = tiny_config(2)
    guide = config.guide.model_copy(update={"kind": "lstm", "rnn_size": 7})
    air = tiny_air(config.model_copy(update={"guide": guide}))
    ink = blobs(4)
    assert torch.equal(explain(air, ink).where, air(ink).where.normal.mean)
