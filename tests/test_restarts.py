"""Objects that were found badly are found again; what is found stays what it says it is."""

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

from airkit.model import restarts
from airkit.model.air import AIR
from airkit.model.canvas import RegionCanvas
from airkit.model.explained import Explained
from airkit.model.guides import Residual
from airkit.model.guides.residual import Blur, RegionResidual
from airkit.model.restarts import restart
from airkit.model.search import Found, search
from airkit.model.spatial_transformer import Patches, paint, span
from airkit.model.tuples import rows

WANTED = [(8.0, 9.0), (23.0, 22.0)]


def _moved(air: AIR, ink: Tensor, *by: float, count: int = 2) -> Found:
    """What a search finds, with the first objects moved to the right by so many pixels."""
    found = search(air, ink)
    for slot, pixels in enumerate(by):
        found.centre[:, slot, 0] += 2 * pixels / SIDE
        found.where[:, slot] = air.pose.encode(found.size[:, slot], found.centre[:, slot])
    return found.scored(air, ink, count)


@CASES
@torch.no_grad()
def test_an_object_in_the_wrong_place_is_found_again(case: dict[str, Any]) -> None:
    air = finder(**case)
    ink = picture(air, *WANTED)
    found = _moved(air, ink, 5.0)
    assert not all_near(places(found, 2), WANTED)
    after = restart(air, ink, found, torch.tensor([2]))
    assert after.log_q.argmax(1).tolist() == [2]
    assert all_near(places(after, 2), WANTED)
    assert after.scores[0, 2] > found.scores[0, 2] + 10
    assert torch.equal(after.windows[0, 0], found.windows[0, 1])  # the other one stays


@torch.no_grad()
def test_two_pieces_of_one_object_become_one() -> None:
    air = finder()
    ink = picture(air, *WANTED)
    found = search(air, ink)
    order = torch.tensor([0, 1, 1, 3])
    found = Found._make([*(part[:, order] for part in found[:-1]), found.scores])
    found.centre[:, 1, 0] -= 3 * 2 / SIDE
    found.centre[:, 2, 0] += 3 * 2 / SIDE
    found = found.scored(air, ink, 3)
    after = restart(air, ink, found, torch.tensor([3]))
    assert int(after.log_q.argmax()) == 2
    assert all_near(places(after, 2), WANTED)


@torch.no_grad()
def test_an_object_alone_is_tried_where_one_more_would_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    air = finder()
    ink = picture(air, *WANTED)
    found, count = _moved(air, ink, 2.0), torch.tensor([2])
    explained = Explained(air, ink, found, count)
    left = explained.unexplained(explained.painted(explained.present))[0, 0]
    price = float(left) / explained.odds_against
    for more, again in ((1.1, False), (0.9, True)):
        monkeypatch.setattr(restarts, "MORE_ADD", more * price - 1 - restarts.CHARGE)
        after = restart(air, ink, found, count)
        assert torch.equal(after.where, found.where) == (not again)
        assert all_near(places(after, 2), WANTED) == again


@torch.no_grad()
def test_objects_that_are_taken_off_together_are_found_again_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    air, tried = finder(), list[list[tuple[int, ...]]]()
    wanted = [(9.0, 15.0), (14.0, 15.0), (25.0, 25.0)]
    ink = torch.cat([picture(air, *wanted), picture(air, *WANTED)])
    found = _moved(air, ink, 4.0, 4.0, 4.0, count=3)
    find = restarts._find_again

    def watched(explained: Explained, image: Tensor, slot: Tensor) -> restarts.Again:
        taken = explained.neighbours[image, slot].int()
        tried.append([tuple(row) for row in torch.cat([image[:, None], taken], 1).tolist()])
        return find(explained, image, slot)

    monkeypatch.setattr(restarts, "_find_again", watched)
    after = restart(air, ink, found, torch.tensor([3, 2]))
    assert any(sum(row[1:]) > 1 for row in tried[0])
    assert all(len(set(rows)) == len(rows) for rows in tried)
    assert min(math.dist(place, wanted[2]) for place in places(after, 3)) < 0.1


@torch.no_grad()
def test_one_object_more_has_to_pay_its_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    air = finder(prior={"ratio": 1e-3})
    wanted = [(9.0, 15.0), (18.0, 15.0)]
    ink = picture(air, *wanted)
    found = _moved(air, ink, 4.5, count=1)
    after = restart(air, ink, found, torch.tensor([1]))
    assert after.log_q.argmax(1).tolist() == [2]
    assert all_near(places(after, 2), wanted)
    charge = (restarts.CHARGE + restarts.MORE_ADD) * math.log(1e3)
    assert float(after.charges.sum()) == pytest.approx(charge, rel=1e-3)
    monkeypatch.setattr(restarts, "MORE_ADD", 1e6)
    assert torch.equal(restart(air, ink, found, torch.tensor([1])).where, found.where)


@CASES
@torch.no_grad()
def test_what_is_explained_is_left_as_it_is(case: dict[str, Any]) -> None:
    air = finder(**case)
    ink = torch.cat([picture(air, *WANTED), torch.zeros_like(picture(air))])
    found = search(air, ink)
    after = restart(air, ink, found, torch.tensor([2, 0]))
    assert after.log_q.argmax(1).tolist() == [2, 0]
    assert all(torch.equal(*both) for both in zip(found, after, strict=True))


@torch.no_grad()
def test_no_more_objects_than_slots() -> None:
    air = finder(1)
    ink = picture(air, *WANTED)
    after = restart(air, ink, _moved(air, ink, 5.0, count=1), torch.tensor([1]))
    assert after.log_q.argmax(1).tolist() == [1]
    assert min(math.dist(places(after, 1)[0], place) for place in WANTED) < 0.4


def _many(large: float, monkeypatch: pytest.MonkeyPatch) -> tuple[AIR, Tensor, Found, Found]:
    """A model with random weights that restarts much, and what it finds before and after."""
    monkeypatch.setattr("airkit.model.air.LOCAL_CANVAS_FROM", large)
    for name in ("TRIED_FROM", "CHARGE", "MORE_OVER"):
        monkeypatch.setattr(restarts, name, 0.0)
    monkeypatch.setattr("airkit.model.search.SAME", 0.0)
    monkeypatch.setattr(restarts, "SIDE", 2.0)
    case: dict[str, Any] = {"compositing": "over", "prior": {"ratio": 0.9}, "pixel_sd": 0.1}
    air, ink = tiny_air(tiny_config(5, **case), spread=0.3), blobs(20, seed=3, objects=3)
    found = search(air, ink)
    return air, ink, found, restart(air, ink, found, torch.arange(20) % 4)


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
def test_an_image_is_explained_alike_alone_and_among_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    air, ink, found, after = _many(100.0, monkeypatch)
    monkeypatch.setattr(restarts, "TOGETHER", 3)
    check_alike(after, lambda row: restart(air, ink[row], rows(found, row), row % 4))


@torch.no_grad()
def test_local_canvases_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, local = (_many(large, monkeypatch)[3] for large in (100.0, 1.0))
    for ours, theirs in zip(whole, local, strict=True):
        assert_close(ours, theirs)


@torch.no_grad()
def test_the_gain_that_is_promised_is_the_gain_that_is_made() -> None:
    air = finder(prior={"ratio": 1e-3})
    ink = picture(air, *WANTED)
    explained = Explained(air, ink, _moved(air, ink, 5.0), torch.tensor([2]))
    again = restarts._find_again(explained, torch.tensor([0]), torch.tensor([0]))
    after = explained.after(again.change)
    gain = restarts._value(after) - restarts._value(explained)
    assert again.change.many.tolist() == [1]
    assert_close(again.gain, gain, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("shape", [(40, 40), (40, 30), (30, 40)], ids=str)
@torch.no_grad()
def test_a_region_has_the_coordinates_of_the_canvas(shape: tuple[int, int]) -> None:
    images = blobs(2, 40, objects=4)[..., : shape[0], : shape[1]].contiguous()
    start = torch.tensor([4, 6])
    patches = Patches(span(start, 20, shape[0]), span(start + 2, 18, shape[1]), shape)
    region = RegionCanvas(images, patches, signed=False)
    size = torch.full((2,), 0.2).double()
    centre = torch.tensor([[0.0, -0.2], [0.05, -0.1]]).double() - 0.2
    windows = torch.rand(2, 1, 9, 9).double()
    region.add(windows, size, centre)
    painted = paint(windows, size, centre, shape)
    assert_close(
        region.residual().crop(size, centre, 9).chunk(2, 1)[1],
        Residual(images, painted, signed=False).crop(size, centre, 9).chunk(2, 1)[1],
    )
    assert_close(region.error, patches.read(images - painted).square().sum((1, 2, 3)))


@torch.no_grad()
def test_a_look_in_a_region_is_where_it_is_on_the_canvas() -> None:
    images = torch.zeros(3, 1, 32, 32).double()
    for image, (y, x) in zip(images, [(9, 12), (20, 17), (14, 22)], strict=True):
        image[0, y, x] = 1.0
    start = torch.tensor([4, 8, 6])
    patches = Patches(span(start, 20, 32), span(start, 20, 32), (32, 32))
    blur, mask = Blur(torch.eye(32).double()), torch.ones(3, 32, 32).double()
    there = Residual(images, torch.zeros(())).peak([blur], mask, 9.0, None)
    region = RegionResidual(patches.read(images), torch.zeros(()), patches, signed=False)
    for look in (None, torch.full((3,), 0.5).double()):
        here = region.peak([blur], mask[:, :20, :20], 9.0, look)
        assert_close(here.centre, there.centre)
        assert_close(here.height, there.height)


def test_the_same_object_from_two_looks_is_one() -> None:
    air = finder()
    ink = picture(air, *WANTED)
    explained = Explained(air, ink, search(air, ink), torch.tensor([2]))
    patches = restarts._region(air, explained.found.centre[:, 0])
    kept = torch.zeros(1, air.slots, dtype=torch.bool)
    with torch.no_grad():
        row, objects, _, errors = restarts._search(
            air, *restarts._painted(explained, patches, kept), 2
        )
    assert len(row) == 2  # one for each blob, of ``LOOKS`` looks
    assert_close(errors[:, -1], torch.zeros(2).double(), atol=0.02, rtol=0)
    assert objects.centre.shape == (2, 2, 2)
