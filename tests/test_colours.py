"""Colour canvases: what is drawn, what a look finds, and that grey ones are as they were."""

from __future__ import annotations

import colorsys
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airkit.config import settings
from airkit.config.schema import Config, DataConfig, ScenesConfig
from airkit.data.compose import compose
from airkit.data.dataset import CanvasDataset
from airkit.data.digits import Digits
from airkit.data.look.findings import look
from airkit.data.make import make_data
from airkit.data.placement import from_hsv
from airkit.data.reader import read_info, read_split, verify
from airkit.data.scenes import Scenes
from airkit.data.sources import load

Array = np.ndarray[Any, Any]
SPRITES = {"canvas_size": 64, "max_digits": 4, "digit_size": 16.0, "digit_size_sd": 2.3}
SHARE = st.floats(0, 1)


@given(hue=SHARE, saturation=SHARE)
def test_hue_and_saturation_are_those_of_colorsys(hue: float, saturation: float) -> None:
    found = from_hsv(np.array([hue]), np.array([saturation]))[0]
    np.testing.assert_allclose(found, colorsys.hsv_to_rgb(hue, saturation, 1.0), atol=1e-12)


def sprites(source: str = "sprites", channels: int = 3, **scenes: Any) -> Scenes:
    config = DataConfig(source=source, channels=channels, **SPRITES)  # type: ignore[arg-type]
    return Scenes(config, ScenesConfig(**scenes))


@pytest.mark.parametrize(
    ("source", "digest"), [("sprites", "626f517c18f1ebf4"), ("cells", "082956924974f46f")]
)
def test_coloured_scenes_never_change(source: str, digest: str) -> None:
    found = sprites(source, noise=0.05).compose("test", 1000, 1050).image
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == digest


def test_only_the_colours_tell_a_coloured_scene_from_a_grey_one() -> None:
    one, three = (sprites(channels=c).compose("train", 0, 100).known for c in (1, 3))
    assert three.pop("image").shape == (*one.pop("image").shape, 3)
    assert all(np.array_equal(one[name], three[name]) for name in one)


def test_each_sprite_has_one_colour_of_its_own() -> None:
    found = sprites().compose("train", 0, 60)
    assert found.mask is not None
    seen = []
    for image, mask in zip(found.image, found.mask, strict=True):
        for place in range(1, mask.max() + 1):
            inner = image[mask == place].astype(int)
            usual = np.median(inner, 0)
            assert (np.abs(inner - usual).max(1) <= 1).mean() > 0.5  # the rest is edge
            value, least = usual.max() / 255, usual.min() / 255
            assert value == pytest.approx(1, abs=0.01)
            assert 0 <= least <= 0.51  # saturation is at least a half
            seen.append(tuple(usual))
    assert len(set(seen)) > len(seen) / 2
    assert (np.array(seen).argmax(1) == np.arange(3)[:, None]).any(1).all()


def test_coloured_noise_is_of_each_channel() -> None:
    scenes = sprites(noise=0.1, background_grey=(0.5, 0.5))
    empty = Scenes(scenes.data.model_copy(update={"max_digits": 0}), scenes.scenes)
    noise = empty.compose("train", 0, 5).image.reshape(-1, 3).astype(float)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.05


@pytest.mark.parametrize("overlap", ["sum", "none"])
def test_each_digit_is_tinted(overlap: Any) -> None:
    config = DataConfig(source="strokes", channels=3, overlap=overlap, min_digits=1, max_digits=1)
    digits = strokes()
    grey, colour = (
        compose(config.model_copy(update={"channels": c}), "train", digits, 0, 80) for c in (1, 3)
    )
    assert np.array_equal(grey.box, colour.box)
    assert np.array_equal(grey.image, colour.image.max(3))  # a value of 1: one channel is full
    bright = colour.image[grey.image > 200].astype(float)
    assert np.unique((bright / bright.max(1, keepdims=True)).round(1), axis=0).shape[0] > 10


def test_no_channel_exceeds_full_ink_where_digits_overlap() -> None:
    config = DataConfig(source="strokes", channels=3, min_digits=2, max_digits=2, digit_size=24.0)
    digits = strokes()
    found = compose(config, "train", digits, 0, 100)
    alone = compose(config.model_copy(update={"channels": 1}), "train", digits, 0, 100)
    assert (found.count == alone.count).all()
    assert found.image.shape == (100, 50, 50, 3)


def test_a_file_of_colours_goes_round(tmp_path: Path) -> None:
    path = tmp_path / "colours.h5"
    given = {"data.source": "sprites", "data.channels": 3, "data.train": 40, "data.val": 3}
    made = make_data(path, settings=given | {"data.test": 3, "data.canvas_size": 40})
    assert verify(path) == made.content_digest
    image = read_split(path, "train").image
    assert image.shape == (40, 40, 40, 3)
    assert read_info(path).config.data.channels == 3
    canvases = CanvasDataset(path, "train")
    assert canvases.images.shape == (40, 3, 40, 40)
    assert torch.equal(canvases[7]["image"], canvases.images[7] / 255)
    assert np.array_equal(canvases.images.permute(0, 2, 3, 1).numpy(), image)


@pytest.mark.parametrize(
    ("preset", "compositing"), [("colour-sprites", "over"), ("coloured-digits", "add")]
)
def test_a_look_at_colours(preset: str, compositing: str) -> None:
    images = drawn(preset)
    found = look(images)
    assert (found.background, found.polarity) == ("none", "bright")
    assert found.compositing == compositing
    assert not found.doubts
    grey = look(images.max(3))
    assert found.object_size == pytest.approx(grey.object_size, rel=0.05)
    assert 0.5 * grey.contrast < found.contrast < grey.contrast


def test_a_look_at_equal_channels_is_one_at_grey() -> None:
    grey = drawn("gradient-sprites")
    assert look(np.repeat(grey[..., None], 3, 3)) == look(grey)


def test_objects_brighter_in_one_channel_and_darker_in_another_are_both() -> None:
    images = drawn("colour-sprites").astype(int)
    images = np.where(images.max(3, keepdims=True) > 0, images, 120).astype(np.uint8)
    found = look(images)
    assert (found.background, found.polarity) == ("constant", "both")


@cache
def strokes() -> Digits:
    return load("strokes").pools["train"]


def drawn(preset: str) -> Array:
    config: Config = settings.resolve(settings.from_preset(preset))
    if config.data.source == "sprites":
        return Scenes(config.data, config.scenes).compose("train", 0, 120).image
    return compose(config.data, "train", strokes(), 0, 120).image
