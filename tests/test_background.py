"""Backgrounds: what stands out of each picture, whatever it stands on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from model_factory import blobs, double_noise, tiny_air, tiny_config
from torch import Tensor

from airkit.config.settings import layers, resolve
from airkit.model import fast
from airkit.model.background import Background
from airkit.system import backgrounds
from airkit.system.backgrounds import constant, median, plane, quadratic, rolling_ball

SIDE = 32
KINDS = ["constant", "plane", "quadratic", "median", "rolling-ball"]


def _gradients(batch: int, channels: int = 1) -> Tensor:
    """Linear gradients, each of another direction, within 0..0.5, float64 [B, C, 32, 32]."""
    draws = torch.Generator().manual_seed(0)
    level, x, y = torch.rand(3, batch, channels, 1, 1, generator=draws, dtype=torch.float64)
    axis = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
    levels: Tensor = 0.25 + 0.1 * level + 0.1 * (x - 0.5) * axis + 0.1 * (y - 0.5) * axis[:, None]
    return levels


def _sharp(batch: int) -> Tensor:
    """One bright square of 8 px a picture, away from its border, float64 [B, 1, 32, 32]."""
    ink = torch.zeros(batch, 1, SIDE, SIDE, dtype=torch.float64)
    for index in range(batch):
        ink[index, 0, 6 + index : 14 + index, 10:18] = 0.5
    return ink


def _background(kind: str, polarity: str = "bright") -> Background:
    return Background(tiny_config(side=SIDE, background=kind, polarity=polarity, object_size=8.0))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_constant_and_a_plane_are_found_exactly_beside_objects(sign: int) -> None:
    ink, level = sign * _sharp(4)[:, 0], torch.tensor([0.5, 0.6, 0.5, 0.55]).double()[:, None, None]
    torch.testing.assert_close(constant(level + ink), level.expand_as(ink))
    gradients = _gradients(4)[:, 0]
    torch.testing.assert_close(plane(gradients + ink), gradients, rtol=0, atol=1e-6)
    torch.testing.assert_close(quadratic(gradients + ink), gradients, rtol=0, atol=1e-6)
    axis = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
    bent = gradients - 0.2 * axis**2 + 0.1 * axis * axis[:, None] - 0.1 * axis[:, None] ** 2
    torch.testing.assert_close(quadratic(bent + ink), bent, rtol=0, atol=1e-6)


def test_a_plane_is_found_in_noise() -> None:
    noise = torch.randn(4, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).double()
    found = plane(_gradients(4)[:, 0] + _sharp(4)[:, 0] + 0.05 * noise)
    assert (found - _gradients(4)[:, 0]).abs().max() < 0.03


def _lumps(batch: int) -> Tensor:
    """Soft lumps within 0.2..0.3, float64 [B, 32, 32]."""
    axis = torch.linspace(0, torch.pi, SIDE, dtype=torch.float64)
    return (0.2 + 0.1 * torch.sin(axis) * torch.sin(axis)[:, None]).expand(batch, -1, -1)


@pytest.mark.parametrize("found", [median, rolling_ball])
def test_filters_keep_lumps_and_drop_objects(found: Callable[[Tensor, int], Tensor]) -> None:
    assert (found(_lumps(4) + _sharp(4)[:, 0], 17) - _lumps(4)).abs().max() < 0.1


def test_a_median_drops_bright_and_dark_objects_alike() -> None:
    both = _lumps(4) + _sharp(4)[:, 0] - 0.4 * _sharp(4)[:, 0].roll((12, 12), (1, 2))
    assert (median(both, 17) - _lumps(4)).abs().max() < 0.1
    assert (rolling_ball(both, 17) - _lumps(4)).abs().max() > 0.15


def test_an_object_in_a_corner_is_not_the_background() -> None:
    images = torch.full((1, 64, 64), 0.2)
    images[:, -16:, -16:] = 0.8
    torch.testing.assert_close(median(images, 33), torch.full_like(images, 0.2))


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (40, 17), (64, 64), (130, 70)])
@pytest.mark.parametrize("side", [3, 17, 33, 77])
def test_a_median_of_one_level_is_that_level(size: tuple[int, int], side: int) -> None:
    flat = torch.full((2, *size), 0.3)
    torch.testing.assert_close(median(flat, side), flat, rtol=0, atol=1e-6)


def test_a_median_is_that_of_each_picture_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(5, 40, 40, generator=torch.Generator().manual_seed(0))
    together = median(images, 17)
    monkeypatch.setattr(backgrounds, "MOST", 1)
    torch.testing.assert_close(median(images, 17), together, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("found", "chosen", "polarity", "wanted"),
    [
        ("smooth", "auto", "bright", "rolling-ball"),
        ("smooth", "auto", "dark", "rolling-ball"),
        ("smooth", "auto", "both", "median"),
        ("plane", "auto", "both", "plane"),
        ("none", "median", "bright", "median"),
    ],
)
def test_what_was_found_chooses_the_filter(
    found: str, chosen: str, polarity: str, wanted: str
) -> None:
    pictures = {"pictures.background": found, "pictures.polarity": polarity}
    assert resolve(*layers({**pictures, "model.background": chosen})).background == wanted


@pytest.mark.parametrize("kind", ["none", *KINDS])
@pytest.mark.parametrize("polarity", ["bright", "dark", "both"])
@pytest.mark.parametrize("channels", [1, 3])
def test_ink_on_the_background_is_the_picture(kind: str, polarity: str, channels: int) -> None:
    background, images = _background(kind, polarity), _gradients(3, channels) + _sharp(3)
    stack = background.ink(images)[:, None].expand(-1, 2, -1, -1, -1)
    torch.testing.assert_close(background.picture(images, stack), images[:, None].expand_as(stack))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("polarity", ["bright", "dark", "both"])
def test_each_channel_has_a_background_of_its_own(kind: str, polarity: str) -> None:
    background, images = _background(kind, polarity), _gradients(3, 3) + _sharp(3)
    found = background.estimate(images)
    for channel in range(3):
        wanted = background.estimate(images[:, [channel]])
        torch.testing.assert_close(found[:, [channel]], wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_dark_objects_have_the_ink_of_bright_ones(kind: str) -> None:
    images = _gradients(3) + _sharp(3)
    found = _background(kind, "dark").ink(1 - images)
    torch.testing.assert_close(found, _background(kind).ink(images))


@pytest.mark.parametrize("kind", KINDS)
def test_a_brighter_background_changes_no_ink(kind: str) -> None:
    images = _gradients(3) + _sharp(3)
    torch.testing.assert_close(_background(kind).ink(images + 0.1), _background(kind).ink(images))


@pytest.mark.parametrize(("path", "channels"), [("reference", 1), ("reference", 3), ("fast", 1)])
def test_the_model_explains_the_ink(path: str, channels: int) -> None:
    """With a background it is the model without one, shown the ink."""
    air = tiny_air(tiny_config(background="constant", channels=channels))
    plain = tiny_air(tiny_config(channels=channels))
    images = 0.3 + 0.5 * blobs(3, channels=channels)
    noise, ink = double_noise(air, 3), air.background.ink(images)
    found = air(images, noise) if path == "reference" else fast.unroll(air, images, noise)
    torch.testing.assert_close(found.log_likelihood, plain(ink, noise).log_likelihood)
    assert float(ink.abs().max()) > 0.1


@pytest.mark.parametrize("kind", ["plane", "learned"])
@torch.no_grad()
def test_draws_find_a_background_once_and_are_those_of_single_passes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    air, images = tiny_air(tiny_config(background=kind)), 0.3 + 0.5 * blobs(3)
    noises = [double_noise(air, 3, seed) for seed in range(3)]
    wanted = [air(images, noise).log_likelihood for noise in noises]
    found = list[Tensor]()

    def estimate(levels: Tensor) -> Tensor:
        found.append(levels)
        return plane(levels)

    monkeypatch.setitem(vars(air.background), "_filtered", estimate)
    draw = air.draws(images)
    assert all(
        torch.equal(draw(noise).log_likelihood, one)
        for noise, one in zip(noises, wanted, strict=True)
    )
    assert len(found) == (kind == "plane")
