"""Training turns and mirrors its batches where there are few pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    CrashError,
    Recorder,
    assert_as_if_never_stopped,
    config,
    crash,
    fit,
    go_on,
    trainer,
)
from torch import Tensor

from airkit.config.schema import Config

STEPS = range(60)


def ways(images: Tensor) -> list[Tensor]:
    """The eight ways to lay square images [B, C, H, H], or the four to lay others."""
    laid = [images.flip(axes) for axes in ((), (2,), (3,), (2, 3))]
    if images.shape[2] == images.shape[3]:
        laid += [each.transpose(2, 3) for each in laid]
    return laid


def ways_taken(**keys: Any) -> list[int]:
    """Which of ``ways`` each step took."""
    model, plain = trainer(train__augment=True, **keys), trainer(train__augment=False, **keys)
    assert not torch.equal(plain.inputs(0)[0], plain.inputs(1)[0])
    taken = []
    for step in STEPS:
        images, batch = model.inputs(step)[0], ways(plain.inputs(step)[0])
        assert images.is_contiguous()
        taken += [number for number, each in enumerate(batch) if torch.equal(images, each)]
    assert len(taken) == len(STEPS)
    return taken


def test_a_step_takes_its_batch_in_one_of_eight_ways() -> None:
    taken = ways_taken()
    assert {*taken} == {*range(8)}
    assert ways_taken() == taken
    assert ways_taken(train__seed=1) != taken


def test_canvases_that_are_not_square_keep_their_shape() -> None:
    assert {*ways_taken(data__height=18)} == {*range(4)}


@pytest.mark.parametrize("kind", ["plane", "median", "quadratic"])
def test_backgrounds_are_those_of_the_pictures_as_they_are_laid(kind: str) -> None:
    model = trainer(train__augment=True, model__background=kind)
    for step in range(8):
        images = model.inputs(step)[0]
        wanted = model.air.background.estimate(images)
        with model._background(step):
            found = model.air.background.estimate(images)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_losses_are_finite_and_differ_from_those_of_plain_pictures() -> None:
    losses = [
        [model.step(step).item() for step in range(4)]
        for model in (trainer(train__augment=True), trainer(train__augment=False))
    ]
    assert all(map(math.isfinite, losses[0]))
    assert losses[0] != losses[1]


def test_a_new_run_says_that_it_augments(tmp_path: Path) -> None:
    heard = Recorder()
    fit(tmp_path / "run", listener=heard, train__augment=True, train__steps=2)
    assert any("train.augment" in note for note in heard.notes)
    heard = Recorder()
    fit(tmp_path / "run", listener=heard, train__augment=True, train__steps=3)
    fit(tmp_path / "plain", listener=heard, train__steps=2)
    assert not any("train.augment" in note for note in heard.notes)


def test_an_augmented_run_resumes_to_the_bit(tmp_path: Path) -> None:
    fit(tmp_path / "whole", train__augment=True)
    with pytest.raises(CrashError):
        fit(tmp_path / "stopped", listener=Recorder(step6=crash), train__augment=True)
    go_on(tmp_path / "stopped")
    assert_as_if_never_stopped(tmp_path / "stopped", tmp_path / "whole")


def scenes(**train: Any) -> Config:
    return config(data__source="sprites", **train)


def test_auto_augments_few_pictures_but_no_digits() -> None:
    assert scenes().augments(199)
    assert not scenes().augments(200)
    assert not config().augments(10)
    assert config(train__augment=True).augments(10**6)
    assert not scenes(train__augment=False).augments(10)
