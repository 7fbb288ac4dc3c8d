"""Pieces of one object become one; what is found stays what it says it is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from blob_finder import (
    CASES,
    SIDE,
    all_near,
    changed,
    check_alike,
    check_scores,
    finder,
    picture,
    places,
)
from model_factory import blobs, tiny_air, tiny_config
from torch import Tensor
from torch.testing import assert_close

from airkit.model import merges
from airkit.model.air import AIR
from airkit.model.explained import Explained
from airkit.model.merges import merge
from airkit.model.search import Found, search
from airkit.model.tuples import rows

ALONE, WHOLE = (8.0, 9.0), (22.0, 22.0)


def _in_pieces(air: AIR, ink: Tensor, apart: float) -> Found:
    """What a search finds of two objects, with the second in place twice, moved both ways."""
    found = search(air, ink)
    order = torch.tensor([0, 1, 1, 3])
    found = Found._make([*(part[:, order] for part in found[:-1]), found.scores])
    for slot, sign in ((1, -1), (2, 1)):
        found.centre[:, slot, 0] += sign * apart / SIDE
        found.where[:, slot] = air.pose.encode(found.size[:, slot], found.centre[:, slot])
    return found.scored(air, ink, 3)


@CASES
@torch.no_grad()
def test_two_pieces_become_one(case: dict[str, Any]) -> None:
    air = finder(**case)
    ink = picture(air, ALONE, WHOLE)
    found = _in_pieces(air, ink, 4.0)
    after, _ = merge(air, ink, found, torch.tensor([3]))
    assert int(after.log_q.argmax()) == 2
    assert all_near(places(after, 2), [ALONE, WHOLE])
    assert after.scores[0, 2] > found.scores[0, 3]


@CASES
@torch.no_grad()
def test_two_that_are_there_stay_two(case: dict[str, Any]) -> None:
    air = finder(**case)
    wanted = [(8.0, 7.0), (16.5, 7.0), (16.0, 26.0)]
    ink = torch.cat([picture(air, *wanted), picture(air), picture(air, ALONE)])
    found = search(air, ink)
    assert found.log_q.argmax(1).tolist() == [3, 0, 1]
    after, refused = merge(air, ink, found, torch.tensor([3, 0, 1]))
    assert all(torch.equal(*both) for both in zip(found, after, strict=True))
    assert (refused < 0).all()
    assert refused.isfinite().tolist() == [True, False, False]


@torch.no_grad()
def test_what_a_split_was_charged_is_given_back() -> None:
    air = finder()
    ink = picture(air, ALONE, WHOLE)
    found = _in_pieces(air, ink, 4.0)
    explained = Explained(air, ink, found, torch.tensor([3]))
    charged = explained._replace(found=found._replace(charges=found.charges + 7))
    gains = [merges._merged(each, *_pair()).gain for each in (explained, charged)]
    assert_close(gains[1] - gains[0], torch.tensor([14.0]).double())


def _pair() -> tuple[Tensor, Tensor]:
    return torch.tensor([0]), torch.tensor([[1, 2]])


@torch.no_grad()
def test_the_gain_that_is_promised_is_the_gain_that_is_made() -> None:
    air = finder(prior={"ratio": 1e-3})
    ink = picture(air, ALONE, WHOLE)
    before = Explained(air, ink, _in_pieces(air, ink, 4.0), torch.tensor([3]))
    merged = merges._merged(before, *_pair())
    after = before.after(merged.change)
    assert after.counts.tolist() == [2]
    assert_close(merged.gain, after.score - before.score, rtol=1e-3, atol=0.1)


@torch.no_grad()
def test_objects_that_are_far_apart_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, read = list[Tensor](), merges._read

    def watched(*given: Any) -> Any:
        tried.append(given[2])
        return read(*given)

    monkeypatch.setattr(merges, "_read", watched)
    air = finder()
    ink = picture(air, (8.0, 9.0), (15.0, 9.0), (23.0, 25.0))
    found = search(air, ink)
    merge(air, ink, found, torch.tensor([3]))
    near = [i for i, place in enumerate(places(found, 3)) if math.dist(place, (23, 25)) > 1]
    assert [pair.tolist() for pair in tried] == [[near]]


def _many(large: float, monkeypatch: pytest.MonkeyPatch) -> tuple[AIR, Tensor, Found, Found]:
    """A model with random weights that merges much, and what it finds before and after."""
    monkeypatch.setattr("airkit.model.air.LOCAL_CANVAS_FROM", large)
    monkeypatch.setattr("airkit.model.explained.NEIGHBOURS", 9.0)
    case: dict[str, Any] = {"compositing": "over", "prior": {"ratio": 1e-9}}
    air, ink = tiny_air(tiny_config(5, **case), spread=0.3), blobs(20, seed=3, objects=3)
    with torch.no_grad():
        air.get_parameter("guide.proposer.4.bias")[0] += 9.0
    found = search(air, ink)
    return air, ink, found, merge(air, ink, found, 2 + torch.arange(20) % 4)[0]


@pytest.mark.parametrize("large", [1.0, 100.0], ids=["local", "whole"])
@torch.no_grad()
def test_the_scores_are_those_of_what_is_found(
    large: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    air, ink, found, after = _many(large, monkeypatch)
    images = changed(found, after)
    assert 3 < len(images) < 20
    check_scores(air, ink, after, images)


@torch.no_grad()
def test_an_image_is_merged_alike_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    air, ink, found, after = _many(100.0, monkeypatch)
    _, refused = merge(air, ink, found, 2 + torch.arange(20) % 4)
    monkeypatch.setattr(merges, "TOGETHER", 3)
    _, some = merge(air, ink[3:9], rows(found, torch.arange(3, 9)), 2 + torch.arange(3, 9) % 4)
    assert_close(some, refused[3:9])
    check_alike(after, lambda row: merge(air, ink[row], rows(found, row), 2 + row % 4)[0])
