"""A search takes the look that costs least in each slot, and ends where no object is left."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_factory import blobs, generator, tiny_air, tiny_config
from torch import Tensor

from airkit.model import search as module
from airkit.model.air import AIR, Unrolled
from airkit.model.guides import MEANS
from airkit.model.scene import explain
from airkit.model.search import OFF, TIE, Found, search
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
        costs.append(cost / gain if gain > 0 else math.inf)
    return torch.tensor(costs)


def _same(found: Found, wanted: Unrolled, air: AIR) -> None:
    """Compare a search that did not end with a pass of the guide."""
    for ours, theirs in (
        (found.where, wanted.where.normal.mean),
        (found.what, wanted.what.normal.mean),
        (found.size, wanted.size),
        (found.centre, wanted.centre),
        (found.windows, wanted.windows),
        (found.logits, wanted.logits),
    ):
        torch.testing.assert_close(ours, theirs)
    kl, fit = air.kl(wanted), wanted.log_likelihood
    for n in range(air.slots + 1):
        score = fit[:, n] + air.log_prior[n] - kl[:, :n].sum(1)
        torch.testing.assert_close(found.scores[:, n], score)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all looks be compared, however little is left and however alike they are."""
    monkeypatch.setattr(module, "PAYS", -math.inf)
    monkeypatch.setattr(module, "SAME", 0.0)


@CASES
@pytest.mark.usefixtures("compared")
@torch.no_grad()
def test_the_look_that_costs_least_is_taken(case: dict[str, Any]) -> None:
    air, ink = _air(**case), blobs(40, channels=case.get("channels", 1))
    looks = [torch.full((40,), (k + 0.5) / 3) for k in range(3)]
    passes = [air.unroll(ink, MEANS._replace(look=look[:, None])) for look in looks]
    costs = torch.stack([_costs(air, ink, each) for each in passes])
    assert len(set(costs.argmin(0).tolist())) > 1
    found = search(air, ink, candidates=3)
    taken = (costs <= TIE * costs.min(0).values).float().cumsum(0).eq(0).sum(0)
    wanted = torch.stack([each.what.value for each in passes])[taken, torch.arange(40)]
    torch.testing.assert_close(found.what, wanted)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEEDLESS", -math.inf)


@CASES
@pytest.mark.usefixtures("compared", "endless")
@torch.no_grad()
def test_the_slots_after_compare_what_is_left(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is but one candidate for each slot, it is the pass of that look."""
    air, ink = _air(3, **case), blobs(20, channels=case.get("channels", 1))
    costs = torch.tensor([2.0, 1.0, 0.5, 1.0, 2.0]).repeat(20)
    monkeypatch.setattr(module, "_cost", lambda *_: costs)
    found = search(air, ink, candidates=5)
    _same(found, air.unroll(ink, MEANS._replace(look=torch.full((20, 3), 0.5))), air)


@CASES
@pytest.mark.usefixtures("compared")
@torch.no_grad()
def test_the_peak_is_taken_where_comparing_is_in_vain(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too little is left for an object to pay, or all looks lead to the same one."""
    air, ink = _air(**case), blobs(20, channels=case.get("channels", 1))
    peak, best = search(air, ink), search(air, ink, candidates=4)
    assert not torch.equal(peak.where, best.where)
    left = module.left_unexplained(air, peak.scores[:, 0] - air.log_prior[0])
    middle = float(left.quantile(0.45))
    monkeypatch.setattr(module, "PAYS", middle / -math.log(air.prior_ratio))
    some = search(air, ink, candidates=4)
    wanted = torch.where((left > middle)[:, None, None], best.where, peak.where)
    torch.testing.assert_close(some.where, wanted)
    monkeypatch.setattr(module, "PAYS", -math.inf)
    monkeypatch.setattr(module, "SAME", math.inf)
    torch.testing.assert_close(search(air, ink, candidates=4).where, peak.where)


@CASES
@pytest.mark.usefixtures("endless")
@torch.no_grad()
def test_one_candidate_is_the_look_given_or_the_peak(case: dict[str, Any]) -> None:
    air, ink = _air(3, **case), blobs(20, channels=case.get("channels", 1))
    look = torch.rand(20, 3, generator=generator(0))
    _same(search(air, ink), air.unroll(ink), air)
    _same(search(air, ink, look), air.unroll(ink, MEANS._replace(look=look)), air)
    assert not torch.equal(search(air, ink, look).where, search(air, ink, candidates=4).where)


def _ending(kind: str, **case: Any) -> AIR:
    """A model whose search ends at some images' first slot, and at others' later or never."""
    air = tiny_air(tiny_config(5, kind, side=40, pixel_sd=0.2, **case), spread=0.3)
    last = "guide.proposer.4" if kind == "saliency" else "guide.predict.2"
    with torch.no_grad():
        air.get_parameter(f"{last}.weight")[0].mul_(40.0)
    return air


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
@pytest.mark.parametrize("large", [1.0, 100.0], ids=["local", "whole"])
@torch.no_grad()
def test_the_search_of_an_image_ends_by_itself(
    kind: str, large: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = _ending(kind)
    monkeypatch.setattr("airkit.model.air.LOCAL_CANVAS_FROM", large)
    ink = torch.cat([blobs(8, 40, seed=many, objects=many) for many in (1, 4)])
    look = torch.rand(16, 5, generator=generator(0))
    whole = air.unroll(ink, MEANS._replace(look=look))
    gain = _gains(air, whole)
    odds = gain / module.TEMPERATURE + whole.logits
    middle = float(odds.quantile(0.5))
    monkeypatch.setattr(module, "NEEDLESS", middle)
    monkeypatch.setattr(module, "DOUBTED", math.inf)
    found, ends = search(air, ink, look), set[int]()
    for index in range(16):
        over = (odds[index] < middle).nonzero().flatten().tolist()
        end = min([*over, air.slots]) + 1
        ends.add(end)
        for ours, theirs in ((found.windows, whole.windows), (found.logits, whole.logits)):
            torch.testing.assert_close(ours[index, :end], theirs[index, :end])
        assert (found.logits[index, end:] == OFF).all()
        assert (found.windows[index, end:] == 0).all()
        after = found.scores[index, end:]
        torch.testing.assert_close(after.diff(), air.log_prior.diff()[end:].expand_as(after.diff()))
        alone = search(air, ink[index : index + 1], look[index : index + 1])
        for ours, theirs in zip(found, alone, strict=True):
            torch.testing.assert_close(ours[index], theirs[0])
    assert len(ends) > 2


def _gains(air: AIR, whole: Unrolled) -> Tensor:
    """What each slot's object adds to the score, in nats, [B, T]."""
    return whole.log_likelihood.diff() + air.log_prior.diff() - air.kl(whole)


@torch.no_grad()
def test_no_object_that_the_guide_believes_in_ends_a_search() -> None:
    air, ink = _air(3), blobs(20)
    air.get_parameter("guide.proposer.4.bias")[0] = 5.0
    dark = -10 * ink  # every object makes it worse
    assert (_gains(air, air.unroll(dark)) < 5 * module.NEEDLESS).any()
    assert (search(air, dark).logits > 0).all()


@torch.no_grad()
def test_an_image_is_explained_the_same_in_any_batch() -> None:
    air, ink = _air(3), blobs(20)
    alone = torch.cat([explain(air, image[None]).canvas for image in ink])
    torch.testing.assert_close(alone, explain(air, ink).canvas, rtol=0, atol=1e-9)


@torch.no_grad()
def test_the_lstm_has_one_look() -> None:
    air, ink = tiny_air(tiny_config(2, "lstm")), blobs(4)
    assert torch.equal(explain(air, ink).where, air(ink).where.normal.mean)
