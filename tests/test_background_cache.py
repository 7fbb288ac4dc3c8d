"""A training estimates the background of each picture once."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from tiny_runs import CrashError, Recorder, crash, fit, go_on, state, trainer
from torch import Tensor

from airkit.system import backgrounds
from airkit.training import background_cache

KINDS = pytest.mark.parametrize(
    "kind", ["constant", "plane", "quadratic", "median", "rolling-ball"]
)


def test_each_picture_is_filtered_once() -> None:
    filtered: list[int] = []

    def median(images: Tensor, side: int) -> Tensor:
        filtered.append(len(images))
        return real(images, side)

    real, model = backgrounds.median, trainer(model__background="median")
    with mock.patch.object(backgrounds, "median", median):
        for number in range(2 * model.batches.per_epoch):
            model.step(number)
    assert sum(filtered) <= len(model.images)


@KINDS
@pytest.mark.parametrize(
    "keys", [{}, {"train__backward": "reference"}, {"train__estimator": "nvil"}]
)
def test_losses_and_gradients_are_those_of_filters_in_each_step(
    kind: str, keys: dict[str, Any]
) -> None:
    kept, anew = (trainer(model__background=kind, **keys) for _ in range(2))
    anew.backgrounds = None
    for number in (0, 1, 0):
        torch.testing.assert_close(kept.backward(number), anew.backward(number))
    for one, other in zip(kept.air.parameters(), anew.air.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


@KINDS
def test_other_pictures_have_their_own_backgrounds(kind: str) -> None:
    model = trainer(model__background=kind)
    images = torch.rand(8, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    before = model.air.background.estimate(images)
    model.step(0)
    assert torch.equal(model.air.background.estimate(images), before)
    with pytest.raises(ZeroDivisionError), model.air.background.known(torch.zeros_like(images)):
        raise ZeroDivisionError
    assert torch.equal(model.air.background.estimate(images), before)


@pytest.mark.parametrize("kind", ["plane", "median"])
def test_going_on_has_the_same_bits(kind: str, tmp_path: Path) -> None:
    """Though other pictures are filtered together then."""
    fit(tmp_path / "whole", model__background=kind, train__steps=10)
    with pytest.raises(CrashError):
        fit(tmp_path / "stopped", listener=Recorder(step6=crash), model__background=kind,
            train__steps=10)  # fmt: skip
    go_on(tmp_path / "stopped")
    whole, stopped = (state(tmp_path / run, 10).model for run in ("whole", "stopped"))
    assert all(torch.equal(each, stopped[name]) for name, each in whole.items())


def test_where_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("none", "learned"):
        assert trainer(model__background=kind).backgrounds is None
    monkeypatch.setattr(background_cache, "MOST", 60 * 24 * 24 - 1)  # more pixels than are kept
    assert trainer(model__background="plane").backgrounds is None
    monkeypatch.setattr(background_cache, "MOST", 60 * 24 * 24)
    assert trainer(model__background="plane").backgrounds is not None


def test_of_two_in_the_middle_the_lower() -> None:
    levels = torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.5, 0.5, 0.7, 0.1]])
    assert backgrounds._middle(levels).tolist() == [2.0, 0.5]
    assert torch.equal(backgrounds._middle(levels[:, :3]), levels[:, :3].median(1).values)
