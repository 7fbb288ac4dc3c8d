"""Drawn scenes: their truth, what each setting does, and that nothing but settings changes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from airkit.config.schema import DataConfig, ScenesConfig
from airkit.data import fields, scenes, shapes
from airkit.data.scenes import Scenes
from airkit.errors import CanvasError
from airkit.system.backgrounds import plane, quadratic

SPRITES = {"canvas_size": 64, "max_digits": 4, "digit_size": 16.0, "digit_size_sd": 2.3}
CELLS = {"canvas_size": 64, "max_digits": 6, "digit_size": 10.5, "digit_size_sd": 1.4}


def drawn(source: str, data: Mapping[str, Any], **given: Any) -> Scenes:
    return Scenes(DataConfig(source=source, **data), ScenesConfig(**given))


PINNED: Mapping[str, tuple[Scenes, str]] = {
    "white": (drawn("sprites", SPRITES), "1c811123f0cfa9bf"),
    "gradient": (
        drawn("sprites", SPRITES, grey=(0.75, 1.0), background="gradient",
              background_grey=(0.0, 0.45), noise=0.06),
        "a82f7eab39ffad88",
    ),
    "lamp": (
        drawn("sprites", SPRITES, grey=(0.0, 0.2), background="lamp",
              background_grey=(0.4, 0.9), noise=0.02),
        "9768396c9283f910",
    ),
    "cells": (
        drawn("cells", CELLS, grey=(0.28, 0.72), texture=0.25, least_distance=0.75,
              background="lumps", background_grey=(0.0, 0.2), photons=120.0),
        "8864a98fc2df0132",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PINNED)
def test_scenes_never_change(name: str) -> None:
    composer, wanted = PINNED[name]
    arrays = composer.compose("test", 1000, 1100).known
    content = b"".join(arrays[key].tobytes() for key in sorted(arrays))
    assert hashlib.sha256(content).hexdigest()[:16] == wanted


@pytest.mark.parametrize("name", PINNED)
def test_a_canvas_depends_on_its_number_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    composer, _ = PINNED[name]
    whole = composer.compose("val", 0, 60).known
    monkeypatch.setattr(scenes, "_STEP", 7 * 64**2)
    for low, high in ((0, 60), (13, 14), (20, 47)):
        part = composer.compose("val", low, high).known
        assert all(np.array_equal(part[key], whole[key][low:high]) for key in whole)


@pytest.mark.parametrize("source", ["sprites", "cells"])
def test_truth_is_in_bounds_and_agrees(source: str) -> None:
    found = drawn(source, SPRITES | {"min_digits": 1}).compose("train", 0, 200).known
    assert found["count"].min() == 1
    assert found["count"].max() == 4
    for mask, count, boxes in zip(found["mask"], found["count"], found["box"], strict=True):
        assert set(np.unique(mask)) == set(range(count + 1))
        assert (boxes[count:] == -1).all()
        for place, (x, y, width, height) in enumerate(boxes[:count].astype(int)):
            rows, columns = np.nonzero(mask == place + 1)
            assert 0 <= x <= columns.min() <= columns.max() < x + width <= 64
            assert 0 <= y <= rows.min() <= rows.max() < y + height <= 64


def test_white_sprites_are_where_the_mask_is() -> None:
    found = drawn("sprites", SPRITES, least_visible=0.9).compose("train", 0, 100).known
    clear = (found["image"] == 0) | (found["image"] == 255)
    assert clear.mean() > 0.95
    assert ((found["image"] > 127) == (found["mask"] > 0))[clear].all()


def test_sprites_are_labelled_by_shape_and_cells_are_not() -> None:
    found = drawn("sprites", SPRITES).compose("train", 0, 200).known
    used = np.arange(4) < found["count"][:, None]
    assert set(np.unique(found["label"][used])) == {0, 1, 2}
    assert (found["label"][~used] == -1).all()
    hearts = drawn("sprites", SPRITES, shapes=("heart",)).compose("train", 0, 20).known["label"]
    assert set(np.unique(hearts)) == {-1, 2}
    assert "label" not in drawn("cells", CELLS).compose("train", 0, 20).known


@pytest.mark.parametrize(("least", "hidden"), [(1.0, False), (0.5, True)])
def test_later_sprites_hide_no_more_than_allowed(least: float, hidden: bool) -> None:
    crowd = SPRITES | {"min_digits": 4}
    found = (
        drawn("sprites", crowd, shapes=("square",), least_visible=least)
        .compose("train", 0, 80)
        .known
    )
    alone = drawn("sprites", crowd | {"min_digits": 1, "max_digits": 1}, shapes=("square",))
    least_area = (alone.compose("train", 0, 200).known["mask"] > 0).sum((1, 2)).min()
    shares = np.array([np.bincount(mask.ravel(), minlength=5)[1:] for mask in found["mask"]])
    assert shares.min() >= 0.9 * least * least_area
    whole = [
        (mask == place + 1).any(0).sum() == width
        for mask, boxes in zip(found["mask"], found["box"], strict=True)
        for place, (_, _, width, _) in enumerate(boxes)
    ]
    assert all(whole) != hidden


def test_cells_keep_their_distance_and_add_up() -> None:
    same = CELLS | {"digit_size_sd": 0.0, "min_digits": 6}
    boxes = drawn("cells", same, least_distance=0.75).compose("train", 0, 60).known["box"]
    centres = boxes[..., :2] + boxes[..., 2:] / 2
    away = np.linalg.norm(centres[:, :, None] - centres[:, None], axis=-1) + 99 * np.eye(6)
    assert 0.75 * 10.5 - 1.5 < away.min() < 0.75 * 10.5 + 1.5
    dim = drawn("cells", CELLS | {"min_digits": 6}, grey=(0.3, 0.3)).compose("train", 0, 60).known
    assert dim["image"].max() > 1.9 * 0.3 * 255


def test_the_brightest_cell_owns_a_pixel() -> None:
    pair = {"canvas_size": 24, "min_digits": 2, "digit_size": 12.0, "digit_size_sd": 0.0}
    found = drawn("cells", pair, grey=(0.0, 1.0), least_visible=0.0).compose("train", 0, 300).known
    areas = np.array([np.bincount(mask.ravel(), minlength=3)[1:] for mask in found["mask"]])
    light = np.array(
        [
            [np.median(image[mask == k]) if (mask == k).any() else 0 for k in (1, 2)]
            for image, mask in zip(found["image"], found["mask"], strict=True)
        ]
    )
    touched = areas.min(1) < 0.7 * np.pi * 36 * 0.9
    assert touched.sum() > 50
    assert (light.argmax(1) == areas.argmax(1))[touched].mean() > 0.9


@pytest.mark.parametrize(("kind", "area"), [(0, 2.0), (1, 0.6 * np.pi), (2, 3.662 / 1.3**2)])
def test_shapes_have_their_area_and_fit_their_circle(kind: int, area: float) -> None:
    turns = np.arange(0, shapes.TURNS, 64)
    full = np.full(len(turns), 20.0)
    outlines = shapes.Outlines(np.full(len(turns), kind), full + 2, full + 2, full, turns, full)
    covers = shapes.sprite_covers(outlines, 44) / shapes.FULL
    assert covers.sum((1, 2)) == pytest.approx(area * 400, rel=0.02)
    y, x = np.mgrid[:44, :44] + 0.5 - 22
    assert not covers[:, x**2 + y**2 > 20.8**2].any()


def test_gaussian_noise_has_its_sd() -> None:
    empty = {"canvas_size": 64, "max_digits": 0}
    found = drawn("sprites", empty, background_grey=(0.5, 0.5), noise=0.06)
    image = found.compose("train", 0, 30).known["image"] / 255
    assert image.mean() == pytest.approx(0.5, abs=2e-3)
    assert image.std() == pytest.approx(0.06, rel=0.02)
    assert abs(np.corrcoef(image[:-1].ravel(), image[1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("photons", [5.0, 120.0, 300.0])
def test_photons_have_mean_and_variance_of_poisson(photons: float) -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (8, 2048), np.uint64)
    for light in (0.0, 0.01, 0.3, 1.0):
        seen = fields.poisson(np.full((8, 64, 64), light), photons, words) * photons
        assert np.allclose(seen, np.rint(seen), rtol=0, atol=1e-9)
        error = 5 * np.sqrt(light * photons / seen.size) + photons / 1024
        assert seen.mean() == pytest.approx(light * photons, abs=error)
        assert seen.var() == pytest.approx(light * photons, rel=0.05, abs=error)


def test_texture_varies_by_its_share() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (20, 512), np.uint64)
    factors = fields.texture(words, 64, 0.25)
    assert factors.mean() == pytest.approx(1, abs=0.02)
    assert factors.std() == pytest.approx(0.25, rel=0.1)
    assert fields.texture(words, 64, 1.0).min() == 0


@pytest.mark.parametrize("kind", ["constant", "gradient", "lamp", "lumps"])
def test_backgrounds_stay_within_their_grey(kind: str) -> None:
    empty = {"canvas_size": 64, "max_digits": 0}
    found = drawn("sprites", empty, background=kind, background_grey=(0.2, 0.6))
    image: NDArray[Any] = found.compose("train", 0, 100).known["image"].reshape(100, -1) / 255
    assert image.min() >= 0.2 - 1 / 255
    assert image.max() <= 0.6 + 1 / 255
    assert image.max(1).std() > 0.05
    assert (np.ptp(image, axis=1) > 0).any() == (kind != "constant")


def test_the_light_of_a_lamp_is_a_quadratic() -> None:
    empty = {"canvas_size": 64, "max_digits": 0}
    found = drawn("sprites", empty, background="lamp", background_grey=(0.2, 0.9))
    levels = torch.from_numpy(found.compose("train", 0, 50).known["image"] / 255)
    assert (quadratic(levels) - levels).abs().max() < 1.01 / 255
    assert (plane(levels) - levels).abs().amax((1, 2)).median() > 0.02


@pytest.mark.parametrize("rule", [{"least_visible": 1.0}, {"least_distance": 1.5}])
def test_a_crowd_that_does_not_fit_is_one_message(
    rule: Mapping[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "TRIES", 5)
    crowd = SPRITES | {"min_digits": 20, "max_digits": 20}
    with pytest.raises(CanvasError, match="20 sprites"):
        drawn("sprites", crowd, **rule).compose("train", 0, 50)


@pytest.mark.parametrize("size", [17, 33])
def test_odd_canvases_and_objects_as_large_as_they_are(size: int) -> None:
    data = {"canvas_size": size, "max_digits": 1, "digit_size": float(size), "digit_size_sd": 0.0}
    noisy = {"noise": 0.1, "photons": 50.0, "texture": 0.2, "background": "lumps"}
    found = drawn("cells", data, **noisy).compose("train", 0, 30).known
    assert found["image"].shape == (30, size, size)
    assert found["box"].max() <= size
