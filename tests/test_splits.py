"""Objects that touch and were found as one are split; what is found stays what it says it is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from blob_finder import (
    CASES,
    SIDE,
    WINDOW,
    all_near,
    changed,
    check_alike,
    check_scores,
    finder,
    picture,
    places,
)
from hypothesis import given
from hypothesis import strategies as st
from model_factory import blobs, tiny_air, tiny_config
from torch import Tensor
from torch.testing import assert_close

from airkit.model import parts, splits
from airkit.model.air import AIR
from airkit.model.canvas import Canvas
from airkit.model.distributions import Normal
from airkit.model.explained import Explained, best_of_each
from airkit.model.guides import Residual
from airkit.model.search import Found, search
from airkit.model.spatial_transformer import crop, paint
from airkit.model.splits import split
from airkit.model.tuples import rows


@CASES
@pytest.mark.parametrize("turn", range(4))
def test_two_that_touch_are_found(turn: int, case: dict[str, Any]) -> None:
    air, (x, y) = finder(**case), ((3.0, 0.0), (2.0, 2.0), (0.0, 3.0), (-2.0, 2.0))[turn]
    wanted = [(14 - x, 17 - y), (14 + x, 17 + y)]
    ink = picture(air, *wanted)
    found = search(air, ink)
    assert places(found, 1)[0] == pytest.approx([14, 17], abs=0.5)
    after, _ = split(air, ink, found, torch.tensor([1]))
    assert all_near(places(after, 2), wanted)
    assert int(after.log_q.argmax()) == 2
    assert after.scores[0, 2] > found.scores[0].max()


def test_two_pairs_of_an_image_take_two_splits() -> None:
    air = finder(6)
    wanted = [(6.0, 7.0), (12.0, 7.0), (16.0, 26.0), (22.0, 25.0), (26.0, 7.0)]
    ink = picture(air, *wanted)
    found = search(air, ink)
    after, _ = split(air, ink, found, torch.tensor([3]))
    assert all_near(places(after, 5), wanted)
    alone = [place for place in places(found, 3) if place == pytest.approx([26, 7], abs=0.3)]
    assert len(alone) == 1
    assert alone[0] in places(after, 5)


@CASES
def test_what_is_explained_is_left_as_it_is(case: dict[str, Any]) -> None:
    air = finder(**case)
    ink = torch.cat([picture(air, (9.0, 9.0), (22.0, 20.0)), torch.zeros_like(picture(air))])
    found = search(air, ink)
    after, _ = split(air, ink, found, torch.tensor([2, 0]))
    assert all(torch.equal(*both) for both in zip(found, after, strict=True))


def test_a_split_costs_more_than_its_objects() -> None:
    air = finder(prior={"ratio": 1e-3})
    ink = picture(air, (11.0, 17.0), (17.0, 17.0))
    after, _ = split(air, ink, search(air, ink), torch.tensor([1]))
    assert after.charges[0] == pytest.approx([0, splits.CHARGE * math.log(1e3), 0, 0], abs=0.05)


def test_charges_stay_where_one_of_a_pair_is_split_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    air, charged = finder(5), list[float]()
    ink = picture(air, (10.0, 16.0), (14.0, 16.0), (18.0, 16.0))
    instead = splits._instead

    def watched(explained: Explained, slot: Tensor, pair: splits.Pair) -> Found:
        charged.extend(pair.charge.tolist())
        return instead(explained, slot, pair)

    monkeypatch.setattr(splits, "_instead", watched)
    found = search(air, ink)
    found.charges[0, 0] = 7
    after, _ = split(air, ink, found, torch.tensor([1]))
    first, second = charged
    assert first > 7 + splits.CHARGE * math.log(1 / 0.3)
    assert second > splits.CHARGE * math.log(1 / 0.3)
    assert float(after.charges.sum()) == pytest.approx(first + second)  # an uncharged one is split


def test_no_split_is_charged_less_where_there_is_less_noise_than_was_found() -> None:
    air = finder()
    ink = picture(air, (11.0, 17.0), (17.0, 17.0))
    air.config = air.config.updated("pictures", noise=0.05)
    after, _ = split(air, ink, search(air, ink), torch.tensor([1]))
    assert float(after.charges[0, 1]) >= splits.CHARGE * math.log(1 / 0.3) - 1e-9


@torch.no_grad()
def test_what_a_refused_split_would_gain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    air = finder()
    ink = picture(air, (11.0, 17.0), (17.0, 17.0))
    found = search(air, ink)
    explained, slot = Explained(air, ink, found, torch.tensor([1])), torch.tensor([0])
    gain = splits._pair(explained, explained.painted(explained.present), slot).gain
    assert split(air, ink, found, torch.tensor([1]))[1].tolist() == [-math.inf]
    monkeypatch.setattr(splits, "CHARGE", splits.CHARGE + 2 * float(gain) / explained.odds_against)
    after, refused = split(air, ink, found, torch.tensor([1]))
    assert torch.equal(after.where, found.where)
    assert_close(refused, -gain)


def test_no_split_lowers_the_count() -> None:
    air = finder()
    ink = picture(air, (11.0, 17.0), (17.0, 17.0))
    found = search(air, ink)
    propose = air.guide.propose

    def doubting(*given: Any) -> tuple[Tensor, Normal, Tensor]:
        logit, where, state = propose(*given)
        return logit * 0 - 1, where, state

    air.guide.propose = doubting  # type: ignore[assignment, method-assign]
    assert torch.equal(split(air, ink, found, torch.tensor([1]))[0].where, found.where)


@torch.no_grad()
def test_what_is_split_does_not_depend_on_how_large_the_neighbours_are() -> None:
    air = finder()
    ink = picture(air, (11.0, 17.0), (17.0, 17.0))
    ink = ink + 0.05 * torch.randn(ink.shape, generator=torch.Generator().manual_seed(1)).double()
    found = search(air, ink)
    both, two = torch.cat([ink, ink]), Found(*(torch.cat([part, part]) for part in found))
    two.size[1, 0] = 0.9
    two = two.scored(air, both, 4)
    alone, among = (
        split(air, ink, found, torch.tensor([1]))[0],
        split(air, both, two, torch.ones(2).long())[0],
    )
    assert float(alone.charges.sum()) > 0
    for ours, theirs in zip(among, alone, strict=True):
        torch.testing.assert_close(ours[0], theirs[0])


def test_one_object_that_was_found_badly_is_not_split() -> None:
    air = finder(3)
    ink = picture(air, (14.0, 17.0))
    found = search(air, ink)
    found.centre[:, 0] += 6 / SIDE
    found = found.scored(air, ink, 1)
    assert float(found.scores[0, 1]) < float(search(air, ink).scores[0, 1]) - 20
    assert torch.equal(split(air, ink, found, torch.tensor([1]))[0].where, found.where)


def test_no_object_is_split_beyond_the_slots_or_against_the_odds() -> None:
    for air in (finder(1), finder(prior={"ratio": 1e-30})):
        ink = picture(air, (11.0, 17.0), (17.0, 17.0))
        found = search(air, ink)
        assert torch.equal(split(air, ink, found, torch.tensor([1]))[0].where, found.where)


def test_noise_that_was_found_is_no_reason_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    air = finder(prior={"ratio": 1e-12})
    ink = picture(air, (14.0, 17.0))
    ink = ink + 0.3 * torch.randn(ink.shape, generator=torch.Generator().manual_seed(0)).double()
    found, tried = search(air, ink), list[int]()
    pair = splits._pair

    def watched(explained: Explained, canvas: Canvas, slot: Tensor) -> splits.Pair:
        tried.append(len(slot))
        return pair(explained, canvas, slot)

    monkeypatch.setattr(splits, "_pair", watched)
    split(air, ink, found, torch.tensor([1]))
    assert tried
    tried.clear()
    air.config = air.config.updated("pictures", noise=0.3)
    assert air.config.noise == pytest.approx(0.3)
    split(air, ink, found, torch.tensor([1]))
    assert not tried


@torch.no_grad()
def test_no_image_with_a_poor_object_is_passed_over() -> None:
    air, ink = tiny_air(tiny_config(5, pixel_sd=0.1), spread=0.3), blobs(20, seed=3, objects=3)
    explained = Explained(air, ink, search(air, ink), torch.arange(20) % 4)
    worst = explained.unexplained(explained.painted(explained.present)).amax(1)
    for least in worst[worst.isfinite()].quantile(torch.tensor([0.2, 0.5, 0.8]).double()).tolist():
        chosen = explained.poor(least).tolist()
        assert set((worst > least).nonzero()[:, 0].tolist()) <= set(chosen)
        assert len(chosen) < 20


def _many(large: float, monkeypatch: pytest.MonkeyPatch) -> tuple[AIR, Tensor, Found, Found]:
    """A model with random weights that splits much, and what it finds before and after."""
    monkeypatch.setattr("airkit.model.air.LOCAL_CANVAS_FROM", large)
    for name in ("TRIED_FROM", "CHARGE", "LEFT_OVER"):
        monkeypatch.setattr(splits, name, 0.0)
    case: dict[str, Any] = {"compositing": "over", "prior": {"ratio": 0.9}, "pixel_sd": 0.1}
    air, ink = tiny_air(tiny_config(5, **case), spread=0.3), blobs(20, seed=3, objects=3)
    found = search(air, ink)
    counts = torch.arange(20) % 4
    return air, ink, found, split(air, ink, found, counts)[0]


@pytest.mark.parametrize("large", [1.0, 100.0], ids=["local", "whole"])
@torch.no_grad()
def test_the_scores_are_those_of_what_is_found(
    large: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    air, ink, found, after = _many(large, monkeypatch)
    images = changed(found, after)
    assert 5 < len(images) < 20
    check_scores(air, ink, after, images)


@torch.no_grad()
def test_an_image_is_split_alike_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    air, ink, found, after = _many(100.0, monkeypatch)
    _, refused = split(air, ink, found, torch.arange(20) % 4)
    assert 3 < refused.isfinite().sum() < 20
    monkeypatch.setattr(splits, "TOGETHER", 3)
    _, some = split(air, ink[3:9], rows(found, torch.arange(3, 9)), torch.arange(3, 9) % 4)
    assert_close(some, refused[3:9])
    check_alike(after, lambda row: split(air, ink[row], rows(found, row), row % 4)[0])


@torch.no_grad()
def test_local_canvases_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, local = (_many(large, monkeypatch)[3] for large in (100.0, 1.0))
    for ours, theirs in zip(whole, local, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_pieces_on_both_sides_of_a_line_make_up_the_whole() -> None:
    images, air = blobs(2, SIDE), finder()
    residual = Residual(images, torch.zeros_like(images))
    size, centre = torch.tensor([0.3, 0.6]).double(), torch.zeros(2, 2).double()
    keep = parts._pieces(torch.tensor([[0.1, 0.0], [0.0, -0.2]]).double(), air, (-0.2, 0.0, 0.2))
    windows = residual.crop(size, centre, WINDOW)
    repeated = (each.repeat_interleave(6 * parts.DIRECTIONS, 0) for each in (windows, size, centre))
    kept = keep(*repeated).view(2, 2, parts.DIRECTIONS, 3, *windows.shape[1:])
    opposite = kept[:, 0] + kept[:, 1].flip(2)  # a line's other side is as far the other way
    torch.testing.assert_close(opposite, windows[:, None, None].expand_as(opposite))
    ink = kept[:, 0].sum((3, 4, 5))
    assert (ink[:, :, :-1] > ink[:, :, 1:]).all()  # the farther a line is, the less is beyond it
    assert images.shape == (2, 1, SIDE, SIDE)


@torch.no_grad()
def test_lines_aside_are_tried_where_those_through_the_middle_are_not_hopeless() -> None:
    air, many = tiny_air(tiny_config(5, pixel_sd=0.1), spread=0.3), 12
    ink = blobs(many, seed=3, objects=3)
    size, centre = ink.new_full((many,), 0.6), ink.new_zeros(many, 2)
    reader = parts.Reader(air, ink, Residual(ink, torch.zeros(())), size, centre)
    through = reader.score(*reader.two(splits.THROUGH))
    best = torch.maximum(through, reader.score(*reader.two(splits.ASIDE)))
    assert 0 < (best > through).sum() < many
    middle = through.median().expand(many)
    found = reader.score(*splits._best_pair(reader, middle))
    assert_close(found, torch.where(through > middle, best, through))
    assert (found != best).any()


@torch.no_grad()
def test_what_is_left_inside_of_windows_is_less_than_around_them() -> None:
    air = finder()
    ink = picture(air, (11.0, 17.0), (17.0, 17.0), (17.0, 9.0))
    size, centre = ink.new_full((1,), WINDOW / SIDE), ink.new_tensor([[11.0, 17.0]]) * 2 / SIDE - 1
    window = air.decoder(torch.zeros(1, 3)), size, centre
    reader = parts.Reader(air, ink, Residual(ink, torch.zeros(())), size, centre)
    painted = paint(*window, SIDE)
    columns, rows_ = slice(5, 17), slice(11, 23)
    error = (ink - painted)[..., rows_, columns].square().sum() / (2 * air.pixel_sd**2)
    assert float(reader.unexplained_inside(window)) == pytest.approx(float(error), rel=1e-6)
    assert float(reader.unexplained(window)) > float(error) + 10


@pytest.mark.parametrize("case", [{}, {"compositing": "over"}], ids=str)
@torch.no_grad()
def test_without_an_object_is_what_it_leaves(case: dict[str, Any]) -> None:
    air = finder(**case)
    ink = picture(air, (11.0, 17.0), (17.0, 15.0))
    object_ = parts.Reader(
        air, ink, Residual(ink, torch.zeros(())), ink.new_full((1,), 0.2), ink.new_zeros(1, 2)
    ).one()
    size, centre = ink.new_full((1,), 0.8), ink.new_full((1, 2), -0.1)
    kept = parts._without(object_)(crop(ink.repeat(1, 2, 1, 1), size, centre, 40), size, centre)
    painted = paint(object_.window, object_.size, object_.centre, SIDE)
    left = ink * (1 - painted[:, -1:]) if air.occludes else ink - painted
    wanted = crop(left.repeat(1, 2, 1, 1), size, centre, 40)
    assert float(wanted.abs().max()) > 0.3
    assert float((kept - wanted).abs().mean()) < 0.01


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-2, 2)), min_size=1, max_size=20))
def test_the_best_of_each_image(pairs: list[tuple[int, float]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    image, gain = torch.tensor([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs])
    best = best_of_each(image, gain).tolist()
    for number in {p[0] for p in pairs}:
        ours = [i for i in range(len(pairs)) if pairs[i][0] == number]
        first = max(ours, key=lambda i: (float(gain[i]), -i))
        assert (first in best) == (float(gain[first]) > 0)
    assert len(best) == len({pairs[i][0] for i in best})
