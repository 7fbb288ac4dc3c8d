"""Several looks: what is drawn for each image, when it is enough, and what they say together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from model_factory import SIDE, blobs, tiny_air, tiny_config
from torch import Tensor

from airkit.model import posterior, scene
from airkit.model.air import AIR
from airkit.model.image_noise import uniform
from airkit.model.merges import merge
from airkit.model.posterior import ERRORS_ADD, ERRORS_OVER, OTHERS
from airkit.model.restarts import restart
from airkit.model.scene import AGREEING, explain, explain_best, explain_both
from airkit.model.search import OCCLUDED, TEMPERATURE, Found, search
from airkit.model.splits import split

SEED = 9


def _air(**case: Any) -> AIR:
    """A model whose looks disagree about some images, and not about others."""
    air = tiny_air(tiny_config(3, pixel_sd=0.8, **case), seed=0, spread=0.3)
    with torch.no_grad():
        air.get_parameter("guide.proposer.4.weight")[0].mul_(20.0)
        air.get_parameter("guide.proposer.4.bias")[0] += 0.5 - air(IMAGES).logits.median()
    return air


IMAGES = torch.cat([blobs(12, seed=many, objects=many) for many in (1, 2, 3)])


def _passes(air: AIR, image: Tensor, looks: int) -> tuple[list[Found], dict[int, float]]:
    """All looks at one image [1, C, H, W], and the scores of rivals by their counts."""
    draws = uniform(image, SEED, looks, air.slots)
    first = search(air, image, candidates=air.candidates)
    first, more = split(air, image, first, first.log_q.argmax(1))
    first = restart(air, image, first, first.log_q.argmax(1))
    first, fewer = merge(air, image, first, first.log_q.argmax(1))
    count = int(first.log_q.argmax())
    kept = float(first.scores[0, count])
    refused = {count + 1: kept + float(more), count - 1: kept + float(fewer)}
    return [first, *(search(air, image, draws[:, k]) for k in range(1, looks))], refused


def _posterior(
    air: AIR, passes: list[Found], refused: dict[int, float]
) -> tuple[list[float], float]:
    """p(n), count by count; and the greatest but for errors."""
    odds, nats = math.log(air.prior_ratio), OCCLUDED if air.occludes else TEMPERATURE
    weights = np.zeros(air.slots + 1)
    for n in range(air.slots + 1):
        scores = [
            float(each.scores[0, n]) + OTHERS * odds * (k > 0) for k, each in enumerate(passes)
        ]
        guides = [float(each.log_q[0, n].exp()) for each in passes]
        if refused.get(n, -math.inf) > -math.inf:
            scores.append(refused[n] + OTHERS * odds)
            guides.append(float(passes[0].log_q.max().exp()))
        trust = np.exp((np.array(scores) - max(scores)) / nats)
        share = trust @ np.array(guides) / trust.sum()
        weights[n] = share * math.exp((max(scores) - float(passes[0].scores.max())) / nats)
    before = weights / weights.sum()
    after, (unseen, needless) = before.copy(), ERRORS_OVER if air.occludes else ERRORS_ADD
    for n in range(1, air.slots):
        after[[n, n + 1]] += np.array([-1, 1]) * (unseen * before[n])
        after[[n, n + 1]] += np.array([1, -1]) * (needless * before[n + 1])
    return [float(each) for each in after], float(before.max())


def _seldom_sure(air: AIR, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first look leave doubts about half of the images."""
    first, rivals = scene._first_look(air, IMAGES)
    _, probability = posterior._compared(air, [first], rivals)
    monkeypatch.setattr(posterior, "SURE", float(probability.amax(1).median()))


@pytest.mark.parametrize("case", [{}, {"compositing": "over"}], ids=str)
@pytest.mark.parametrize("looks", [1, 3, AGREEING, AGREEING + 3])
@torch.no_grad()
def test_the_rule_by_plain_loops(
    looks: int, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    air, taken, rivals = _air(**case), set[int](), 0
    _seldom_sure(air, monkeypatch)
    one, found = explain_both(air, IMAGES, looks, SEED)
    for index in range(0, len(IMAGES), 2):
        passes, refused = _passes(air, IMAGES[[index]], looks)
        alone, certainty = _posterior(air, passes[:1], refused)
        assert one.count_probability[index].tolist() == pytest.approx(alone)
        scores = np.array([each.scores[0].tolist() for each in passes])
        votes = {int(each.argmax()) for each in scores[:AGREEING]}
        passes = passes[
            : 1 if certainty >= posterior.SURE else AGREEING if len(votes) < 2 else None
        ]
        taken.add(len(passes))
        rivals += max(refused.values()) > -math.inf
        wanted, _ = _posterior(air, passes, refused)
        assert found.count_probability[index].tolist() == pytest.approx(wanted)
        count = int(found.count[index])
        assert count == wanted.index(max(wanted))
        charges = OTHERS * math.log(air.prior_ratio) * np.arange(len(passes)).clip(max=1)
        best = int((scores[: len(passes), count] + charges).argmax())
        assert torch.allclose(found.where[index], passes[best].where[0])
        assert float(found.score[index]) == pytest.approx(float(passes[best].scores[0, count]))
    assert {1, min(looks, AGREEING)} <= taken
    assert rivals


@torch.no_grad()
def test_sure_images_are_looked_at_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    air, rows = _air(), list[int]()
    _seldom_sure(air, monkeypatch)

    def counted(air: AIR, ink: Tensor, *given: Any, **named: Any) -> Found:
        rows.append(len(ink))
        return search(air, ink, *given, **named)

    monkeypatch.setattr(scene, "TOGETHER", 1)
    monkeypatch.setattr(scene, "search", counted)
    explain_best(air, IMAGES, AGREEING + 3, SEED)
    assert len(rows) == AGREEING + 3
    first, some, few = rows[0], rows[1:AGREEING], rows[AGREEING:]
    assert len(set(some)) == len(set(few)) == 1
    assert first == len(IMAGES) > some[0] > few[0] > 0


@torch.no_grad()
def test_all_images_are_looked_at_again_where_one_look_is_a_plain_pass() -> None:
    air = _air()
    air.candidates = 1
    found = explain_best(air, IMAGES, 3, SEED)
    draws = uniform(IMAGES, SEED, 3, air.slots)
    passes = [search(air, IMAGES), *(search(air, IMAGES, draws[:, k]) for k in (1, 2))]
    blank = torch.full_like(passes[0].scores, -math.inf)
    wanted = posterior.explain_by(air, passes, blank).probability
    torch.testing.assert_close(found.count_probability, wanted)


@torch.no_grad()
@pytest.mark.parametrize("together", [1, 3 * len(IMAGES)])
def test_looks_are_the_same_together_and_one_by_one(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = _air()
    wanted = explain_best(air, IMAGES, AGREEING + 3, SEED)
    monkeypatch.setattr(scene, "TOGETHER", together)
    found = explain_best(air, IMAGES, AGREEING + 3, SEED)
    assert torch.equal(found.count, wanted.count)
    torch.testing.assert_close(found.score, wanted.score)
    torch.testing.assert_close(found.count_probability, wanted.count_probability)


@torch.no_grad()
def test_the_count_is_the_mode() -> None:
    air = _air()
    for found in (explain(air, IMAGES), explain_best(air, IMAGES, AGREEING + 3, SEED)):
        assert torch.equal(found.count, found.count_probability.argmax(1))


def test_numbers_are_uniform_and_of_each_image() -> None:
    images = (blobs(400, seed=3) * 255).round() / 255
    draws = uniform(images, SEED, 16, 5)
    assert draws.shape == (400, 16, 5)
    share = torch.histc(draws, 20, 0, 1) / draws.numel()
    assert ((share - 0.05).abs() < 5 * (0.05 * 0.95 / draws.numel()) ** 0.5).all()
    centred = (draws - 0.5).flatten(1)
    correlations = centred.t() @ centred / (400 / 12)
    assert (correlations.fill_diagonal_(0).abs() < 5 / 400**0.5).all()
    assert len(set(draws.flatten().tolist())) == draws.numel()


def test_one_grey_level_or_the_seed_changes_all_of_them() -> None:
    image = torch.zeros(1, 1, SIDE, SIDE)
    other = image.clone()
    other[0, 0, 3, 4] = 1 / 255
    first, second, third = (
        uniform(image, 1, 4, 3), uniform(other, 1, 4, 3), uniform(image, 2, 4, 3)
    )  # fmt: skip
    assert ((first - second).abs() > 1e-6).all()
    assert ((first - third).abs() > 1e-6).all()
    assert torch.equal(first, uniform(image, 1, 4, 3))


def test_fewer_looks_are_the_first_of_more() -> None:
    images = blobs(5)
    assert torch.equal(uniform(images, 0, 3, 4), uniform(images, 0, 9, 4)[:, :3])
