"""A model that draws round blobs exactly, and whose guide looks between those that touch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from model_factory import tiny_air, tiny_config
from torch import Tensor, nn
from torch.testing import assert_close

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.canvas import compose
from airkit.model.distributions import Normal
from airkit.model.guides import Guide, Residual
from airkit.model.guides.base import Slot
from airkit.model.guides.residual import Blur
from airkit.model.poses import Pose
from airkit.model.search import Found
from airkit.model.spatial_transformer import paint, pixel_centres

SIDE, WINDOW, SPREAD = 32, 12, 1.5
CASES = pytest.mark.parametrize(
    "case", [{}, {"compositing": "over"}, {"channels": 3}, {"compositing": "over", "channels": 3}]
)


class Middle(Guide):
    """Puts an object of one size at the middle of the ink around a look."""

    samples_looks = any_canvas = True

    def __init__(self, config: Config, pose: Pose, canvas_size: int) -> None:
        super().__init__(config, pose, canvas_size)
        self.size = WINDOW / canvas_size

    def start(self, images: Tensor) -> Tensor:
        return torch.ones_like(images[:, 0])

    def propose(
        self, state: Tensor, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, Tensor]:
        blur = Blur(torch.eye(self.canvas_size).to(state))
        centre, height = residual.peak([blur], state, 30.0, look)
        size = torch.full_like(height, self.size)
        for _ in range(3):
            ink = residual.crop(size, centre, WINDOW).chunk(2, 1)[1].clamp(min=0).mean(1)
            ink = ink / ink.sum((1, 2), keepdim=True).clamp(min=1e-6)
            places = pixel_centres(WINDOW, ink)
            offset = torch.stack([ink.sum(1) @ places, ink.sum(2) @ places], 1)
            centre = centre + self.size * offset
        where = self.pose.encode(size, centre)
        return 20 * (height - 0.5), Normal(where, torch.ones_like(where)), state

    def encode(self, residual: Residual, size: Tensor, centre: Tensor) -> Normal:
        return Normal(size.new_zeros(len(size), 3), size.new_ones(len(size), 3))

    def advance(self, state: Tensor, slot: Slot) -> Tensor:
        return state


class Blob(nn.Module):
    """Decodes any code to the same round blob, with a sharp edge where it has a mask."""

    def __init__(self, channels: int, *, mask: bool) -> None:
        super().__init__()
        away = (pixel_centres(WINDOW).double() * WINDOW / 2) ** 2
        away = away[:, None] + away
        ink = torch.sigmoid(4 * (3 - away.sqrt())) if mask else torch.exp(-0.5 * away / SPREAD**2)
        self.window = ink.expand(channels + mask, -1, -1)

    def forward(self, code: Tensor) -> Tensor:
        return self.window.expand(len(code), -1, -1, -1)


def finder(slots: int = 4, **case: Any) -> AIR:
    """A model that draws blobs exactly, and looks between those that touch."""
    config = tiny_config(slots, side=SIDE, window_size=WINDOW, pixel_sd=0.2, **case)
    air = tiny_air(config)
    air.guide = Middle(air.config, air.pose, SIDE)
    air.decoder = Blob(air.channels, mask=air.occludes)  # type: ignore[assignment]
    return air


def picture(air: AIR, *places: tuple[float, float]) -> Tensor:
    """A picture of the model's blobs at (x, y) in pixels, [1, C, H, W]."""
    canvas = torch.zeros(1, air.channels, SIDE, SIDE).double()
    for place in places:
        centre = torch.tensor([place]).double() * 2 / SIDE - 1
        size = torch.full((1,), WINDOW / SIDE).double()
        painted = paint(air.decoder(torch.zeros(1, 3)), size, centre, SIDE)
        canvas = compose(canvas, painted)
    return canvas


def places(found: Found, count: int) -> list[list[float]]:
    """Where the first ``count`` objects of the only image are, in pixels."""
    places: list[list[float]] = ((found.centre[0, :count] + 1) * SIDE / 2).tolist()
    return places


def all_near(places: list[list[float]], wanted: list[tuple[float, float]]) -> bool:
    """Whether each place that is wanted has one within 0.4 pixels, and no two the same."""
    near = [[math.dist(place, each) < 0.4 for place in places] for each in wanted]
    return all(map(any, near)) and len({row.index(True) for row in near}) == len(places)


def changed(before: Found, after: Found) -> list[int]:
    """The images in which other objects are found."""
    pairs = zip(before.windows, after.windows, strict=True)
    return [index for index, both in enumerate(pairs) if not torch.equal(*both)]


def check_alike(found: Found, alone: Callable[[Tensor], Found]) -> None:
    """Assert that each image's objects are those found ``alone``, given its number as a tensor."""
    for index in range(len(found.size)):
        for ours, theirs in zip(found, alone(torch.tensor([index])), strict=True):
            assert_close(ours[index], theirs[0])


def check_scores(air: AIR, ink: Tensor, found: Found, images: list[int]) -> None:
    """Assert that the scores of ``images`` are those of the objects found, painted one by one."""
    for index in images:
        canvas, costs = torch.zeros_like(ink[index][None]), 0.0
        for n in range(air.slots + 1):
            log_p_x = air.log_p_x((ink[index] - canvas).square().sum())
            assert_close(found.scores[index, n], log_p_x + air.log_prior[n] - costs)
            if n < air.slots:
                place = found.size[index, [n]], found.centre[index, [n]]
                canvas = compose(canvas, paint(found.windows[index, [n]], *place, air.shape))
                costs += float(found.kl[index, n] + found.charges[index, n])
