"""Validation while training: every canvas of the val split, whatever the batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_runs import data_file, trainer

from airkit.data.dataset import CanvasDataset, to_float
from airkit.model import batch_sizes
from airkit.model.objectives import elbo as objective
from airkit.model.scene import explain
from airkit.system.device import generator
from airkit.training import validation
from airkit.training.validation import validate


@pytest.mark.parametrize("background", ["none", "learned"])
def test_validation_measures_every_canvas(background: str) -> None:
    """One draw of the ELBO, the mode of q(n) in one pass; the same at every call."""
    model = trainer(model__background=background, eval__candidates=1)
    val = CanvasDataset(data_file(), "val")
    images = to_float(val.images)
    noise = model.air.noise(generator(0, "validation"), 12, looks=False)
    counts: list[int] = []
    with torch.no_grad():
        elbo, logits = objective.elbo(model.air, images, noise).mean(), model.air(images).logits
    for row in logits.sigmoid().tolist():
        on = [math.prod(row[:n]) * (1 - row[n]) for n in range(3)] + [math.prod(row)]
        counts.append(max(range(4), key=on.__getitem__))
    accuracy = np.mean(np.array(counts) == val.truth("counts").numpy())
    for _ in range(2):
        assert validate(model, val) == pytest.approx((float(elbo), accuracy), rel=1e-6)


def test_validation_shares_out_canvases_among_batches() -> None:
    """As random numbers are drawn batch by batch, the mean is that of the batches alone."""
    val = CanvasDataset(data_file(), "val")
    by_five = trainer(eval__batch_size=5)
    random = generator(0, "validation")
    elbos, right = [], 0
    for start, end in ((0, 5), (5, 10), (10, 12)):
        images = to_float(val.images[start:end])
        noise = by_five.air.noise(random, end - start, looks=False)
        with torch.no_grad():
            elbos += objective.elbo(by_five.air, images, noise).tolist()
            found = explain(by_five.air, images).count
        right += int((found == val.truth("counts")[start:end]).sum())
    expected = (np.mean(elbos), right / 12)
    assert validate(by_five, val) == pytest.approx(expected, rel=1e-6)


def test_validation_counts_some_of_many_canvases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread over the split, as its canvases may have an order."""
    model, val = trainer(eval__batch_size=5), CanvasDataset(data_file(), "val")
    elbo, _ = validate(model, val)
    monkeypatch.setattr(validation, "COUNTED", 5)
    every_third = range(0, len(val), 3)
    with torch.no_grad():
        counts = explain(model.air, to_float(val.images)).count[every_third]
    right = (counts == val.truth("counts")[every_third]).sum() / 4
    assert len(val) == 12
    assert validate(model, val) == pytest.approx((elbo, float(right)), rel=1e-6)


def test_large_canvases_are_measured_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same random numbers."""
    model, val = trainer(), CanvasDataset(data_file(), "val")
    whole, seen = validate(model, val), []

    def noted(levels: torch.Tensor) -> torch.Tensor:
        seen.append(len(levels))
        return to_float(levels)

    monkeypatch.setattr(validation, "to_float", noted)
    monkeypatch.setattr(
        batch_sizes, "MOST_NUMBERS", 5 * batch_sizes.numbers_of_picture((24, 24), 1, 3)
    )
    assert validate(model, val) == pytest.approx(whole, rel=1e-6)
    assert seen == [4, 4, 4, 5, 5, 2]  # for ELBOs, and to be counted
