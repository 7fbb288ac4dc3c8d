"""The classical baseline of benchmarks: it counts what is easy, and tunes itself to what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airkit.config import settings
from airkit.data.scenes import Scenes

pytest.importorskip("scipy")
import classical


def scenes(preset: str, many: int, **given: object) -> tuple[classical.Array, classical.Array]:
    dotted = {key.replace("__", "."): value for key, value in given.items()}
    layers = [settings.from_preset(preset), *settings.layers(dotted)]
    config = settings.resolve(*layers)
    canvases = Scenes(config.data, config.scenes).compose("val", 0, many)
    assert canvases.count is not None
    return canvases.image, canvases.count


def test_white_sprites_apart_are_all_counted() -> None:
    images, counts = scenes("sprites", 60, scenes__least_distance=1.2)
    recipe = classical.Recipe("none", 0.0, 0.5)
    assert (classical.count(classical.contrast(images, recipe), recipe) == counts).all()


def test_touching_discs_are_split() -> None:
    y, x = np.mgrid[:40, :40]
    image = 200 * (np.hypot(x - 12, y - 20) < 8) + 200 * (np.hypot(x - 26, y - 20) < 8)
    images = np.minimum(image, 200).astype(np.uint8)[None]
    recipe = classical.Recipe("none", 0.0)
    for split, wanted in ((0, 1), (9, 2)):
        one = replace(recipe, split=split)
        assert classical.count(classical.contrast(images, one), one).tolist() == [wanted]


def test_planes_follow_the_background_and_not_the_objects() -> None:
    images, _ = scenes("gradient-sprites", 40, scenes__noise=0.0)
    blank, _ = scenes("gradient-sprites", 40, scenes__noise=0.0, data__max_digits=0)
    planes = classical.planes(images / 255)
    assert np.median(np.abs(planes - blank / 255), axis=(1, 2)).max() < 0.02


def test_tuning_finds_a_recipe_for_objects_darker_than_the_background(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, few in (("SMOOTHING", (0.0,)), ("LEVELS", (0.2,)), ("SPLITS", (9,))):
        monkeypatch.setattr(classical, name, few)
    greys = {"scenes__grey": [0.0, 0.2], "scenes__background_grey": [0.6, 0.9]}
    images, counts = scenes("sprites", 60, scenes__least_distance=1.2, **greys)
    found, recipe = classical.classical_counts(images, counts, images)
    assert (found == counts).mean() > 0.95
    assert "both signs" in recipe.background
