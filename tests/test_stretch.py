"""Ink is compressed where some objects are far fainter than others, and nowhere else."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_factory import blobs, generator, tiny_air, tiny_config
from torch import Tensor
from torch.testing import assert_close

from airkit.config import settings
from airkit.config.schema import Config, PicturesConfig
from airkit.data.look.findings import look
from airkit.data.scenes import Scenes
from airkit.model.background import Background
from airkit.model.canvas import compose
from airkit.system import stretch

KNEE = 0.03


def _background(**model: Any) -> Background:
    return Background(tiny_config(stretch=KNEE, compositing="over", **model))


def _levels() -> Tensor:
    return torch.rand(3, 2, 16, 16, generator=generator(0), dtype=torch.float64)


@pytest.mark.parametrize("polarity", ["bright", "dark", "both"])
@pytest.mark.parametrize("kind", ["none", "constant"])
def test_the_picture_is_found_again(polarity: str, kind: str) -> None:
    background, images = _background(polarity=polarity, background=kind), _levels()
    again = background.picture(images, background.ink(images)[:, None])
    assert_close(again[:, 0], images)


def test_faint_ink_gains_and_full_ink_stays() -> None:
    background = _background(polarity="both")
    plain = torch.tensor([0.0, 0.003, 0.03, 0.3, 1.0, -1.0, -0.03], dtype=torch.float64)
    ink = background.ink(plain[None, None, None])[0, 0, 0]
    assert_close(ink[[0, 4, 5]], plain[[0, 4, 5]])
    assert_close(ink[6], -ink[2])
    assert (ink[1:4] > plain[1:4]).all()
    assert (ink[:5].diff() > 0).all()
    assert ink[2] / ink[3] > 0.25  # a tenth of the light, more than a quarter of the ink


def test_opaque_objects_hide_each_other_in_stretched_ink_as_in_the_picture() -> None:
    air = tiny_air(tiny_config(stretch=KNEE, compositing="over"))
    masks = (blobs(2) > 0.5).double()
    behind, front = _levels()[:2, :1], _levels()[1:, :1]
    stretched = [air.background.ink(each) for each in (behind, front)]
    found = compose(stretched[0], torch.cat([stretched[1] * masks, masks], 1))
    plain = behind * (1 - masks) + front * masks
    assert_close(air.background.unstretched(found), plain)


def test_samples_are_pictures() -> None:
    config = tiny_config(compositing="over")
    plain, stretched = (tiny_air(config.updated("model", stretch=knee)) for knee in (0.0, KNEE))
    counts = torch.tensor([0, 1, 2])
    ink, picture = (air.sample_canvases(counts, generator(1)) for air in (plain, stretched))
    assert_close(stretched.background.ink(picture), ink)


def test_contrast_and_noise_are_those_of_stretched_ink() -> None:
    pictures = PicturesConfig(compositing="over", contrast=0.3, noise=0.001, stretch=KNEE)
    config = Config(pictures=pictures)
    assert config.contrast == pytest.approx(math.asinh(0.3 / KNEE) / math.asinh(1 / KNEE))
    assert config.pixel_sd == pytest.approx(0.2 * config.contrast)
    plain = Config(pictures=pictures.model_copy(update={"stretch": 0.0}))
    assert plain.contrast == 0.3
    assert config.prior_ratio == pytest.approx(plain.prior_ratio)  # a price in units of the noise


@pytest.mark.parametrize(
    ("wanted", "scenes"),
    [
        (KNEE, {"scenes.grey": (0.0, 1.0), "scenes.background_grey": (0.0, 1.0)}),
        (KNEE, {"scenes.grey": (0.03, 1.0)}),
        (0.0, {"scenes.grey": (0.35, 1.0)}),
        (0.0, {"scenes.grey": (0.0, 1.0), "scenes.noise": 0.05}),
        (0.0, {"scenes.grey": (0.8, 1.0), "scenes.background_grey": (0.0, 0.5)}),
    ],
)
def test_a_look_sees_faint_objects_beside_strong_ones(
    wanted: float, scenes: dict[str, Any]
) -> None:
    config = settings.resolve(settings.from_preset("sprites"), *settings.layers(scenes))
    found = look(Scenes(config.data, config.scenes).compose("train", 0, 200).image)
    assert found.stretch == wanted
    assert found.pictures().stretch == wanted
    assert (wanted > 0) == ("fainter" in " ".join(found.describe()))


@pytest.mark.parametrize("knee", [0.0, 0.03, 0.5, 1.0])
def test_numbers_and_tensors_are_stretched_alike(knee: float) -> None:
    ink = torch.linspace(-1, 1, 21, dtype=torch.float64)
    found = stretch.stretched(ink, knee, torch.asinh)
    one_by_one = [stretch.stretched(float(each), knee) for each in ink]
    assert_close(found, torch.tensor(one_by_one).double())
    assert_close(stretch.unstretched(found, knee, torch.sinh), ink)
    assert stretch.stretched(1.0, knee) == 1.0


def test_ink_on_a_learned_background_is_not_stretched() -> None:
    """Its density would change with the background that is drawn."""
    pictures = PicturesConfig(compositing="over", stretch=KNEE)
    learned = {"model.background": "learned", "pictures": pictures.model_dump()}
    assert settings.resolve(*settings.layers(learned)).stretch == 0
