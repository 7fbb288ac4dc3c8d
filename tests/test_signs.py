"""Signs without truth, of scenes made by hand: each number is what it says."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from own_pictures import blobs
from torch import Tensor

from airkit.config.schema import Config, DataConfig, PicturesConfig
from airkit.data.dataset import to_float
from airkit.data.look.findings import SAMPLE
from airkit.model.air import AIR
from airkit.model.scene import Scene
from airkit.runs.signs import Signs, Watch

KNOWN = blobs(60)
IMAGES = torch.from_numpy(KNOWN["images"])[:, None]
COUNTS = torch.from_numpy(KNOWN["counts"])
BOXES = torch.from_numpy(KNOWN["boxes"]).float()
SIDE, SLOTS = 24, 4


def scene(count: Tensor, boxes: Tensor, canvas: Tensor, mode: Tensor | None = None) -> Scene:
    """A scene of these counts [N], boxes [N, 3, 4] and reconstructions; the mode of q(n) too."""
    many, none = len(count), torch.zeros(0)
    shown = torch.arange(3) < count[:, None]
    box = torch.where(shown[:, :, None], boxes, -1.0)
    box = torch.cat([box, torch.full((many, SLOTS - 3, 4), -1.0)], 1)
    certain = torch.full((many, SLOTS + 1), 0.05)
    certain[torch.arange(many), count if mode is None else mode] = 0.8
    names = ("presence", "centre", "where", "what", "windows", "score", "air", "images")
    rest: dict[str, Any] = {
        **dict.fromkeys(names, none),
        "found": SimpleNamespace(log_q=certain.log()),
    }
    found = Scene(count, certain, box=box, **rest)
    vars(found)["canvas"] = canvas  # as if it had been painted
    return found


def signs(
    count: Tensor = COUNTS,
    boxes: Tensor = BOXES,
    canvas: Tensor | None = None,
    images: Tensor = IMAGES,
    batch: int = 60,
    **more: Any,
) -> Signs:
    """The signs of a scene of all pictures, taken batch by batch."""
    size: Any = {"canvas_size": SIDE, "channels": images.shape[1]}
    data = DataConfig(max_digits=3, digit_size=6.0, digit_size_sd=0, **size)
    config = Config(data=data, pictures=PicturesConfig(background="constant"))
    ink = to_float(images)
    watch = Watch(AIR(config), config, images, looks=more.get("looks", 4))
    found = ink if canvas is None else canvas
    for rows in torch.split(torch.arange(len(images)), batch):
        best = scene(count[rows], boxes[rows], found[rows])
        one = scene(count[rows], boxes[rows], found[rows], more.get("mode", count)[rows])
        watch.add(ink[rows], best, one)
    return watch.signs()


def test_the_truth_itself_shows_no_trouble() -> None:
    found = signs()
    assert (found.missed, found.needless, found.unexplained, found.full) == (0, 0, 0, 0)
    assert (found.unstable, found.large, found.residual) == (0, 0, 0)
    assert found.empty == pytest.approx(float((COUNTS == 0).float().mean()))
    assert found.slot_rates[0] == pytest.approx(1 - found.empty)
    assert found.objects == int(COUNTS.sum())
    assert found.certainty == pytest.approx(0.8)
    assert found.box_size == 6
    assert found.background_explains > 0.7


@pytest.mark.parametrize("batch", [1, 7])
def test_no_number_depends_on_the_batches(batch: int) -> None:
    some: dict[str, Any] = {"canvas": to_float(IMAGES) * 0.9, "boxes": BOXES + 0.4}
    assert signs(batch=batch, **some) == signs(**some)


def test_dark_objects_are_no_different() -> None:
    found, other = signs(images=255 - IMAGES), signs()
    assert (found.missed, found.needless, found.candidates) == (0, 0, other.candidates)


def test_colours_that_are_equally_bright_stand_out() -> None:
    squares = torch.where(IMAGES > 100, IMAGES, 0)
    red = torch.arange(60)[:, None, None, None] % 2
    colour = torch.cat([squares * red, squares * 0, squares * (1 - red)], 1).to(torch.uint8)
    found = signs(images=colour)
    assert (found.missed, found.needless, found.unexplained) == (0, 0, 0)
    blank = torch.zeros_like(to_float(colour))
    assert signs(torch.zeros_like(COUNTS), canvas=blank, images=colour).unexplained > 0.9


def test_what_was_not_found_is_missed() -> None:
    ink = to_float(IMAGES)
    blank = ink.flatten(1).median(1).values[:, None, None, None].expand_as(ink)
    found = signs(torch.zeros_like(COUNTS), canvas=blank)
    assert (found.missed, found.empty, found.objects) == (1, 1, 0)
    assert found.unexplained > 0.9
    assert math.isnan(found.box_size)
    assert found.residual_correlation > 0.5


def test_objects_on_nothing_are_needless() -> None:
    corner = BOXES.clone()
    corner[..., :2] = 17.0
    bare = IMAGES.clone()
    bare[..., 16:, 16:] = bare[0, 0, 0, 0]
    found = signs(boxes=corner, images=bare)
    assert found.needless > 0.9


def test_objects_that_are_found_twice_are_doubled() -> None:
    assert signs().doubled == 0
    twice = BOXES[:, :1].repeat(1, BOXES.shape[1], 1)
    twice[:, 1, :2] += 0.4
    assert signs(torch.full_like(COUNTS, 2), boxes=twice).doubled == 1


def test_counts_that_change_and_slots_that_are_full() -> None:
    assert signs(mode=(COUNTS + 1) % 4).unstable == 1
    assert math.isnan(signs(mode=(COUNTS + 1) % 4, looks=1).unstable)
    full = signs(torch.full_like(COUNTS, SLOTS))
    assert (full.full, full.slot_rates) == (1, (1, 1, 1, 1))


def test_boxes_as_large_as_the_picture() -> None:
    large = BOXES.clone()
    large[:, :, 2] = 20
    assert signs(boxes=large).large == 1


def test_some_pictures_stand_for_many() -> None:
    many = np.random.default_rng(0).integers(0, 60, SAMPLE + 50)
    rows = torch.from_numpy(many)
    found = signs(COUNTS[rows], BOXES[rows], images=IMAGES[rows], batch=100)
    assert found.pictures == SAMPLE + 50
    assert found.objects == int(COUNTS[rows][:SAMPLE].sum())
