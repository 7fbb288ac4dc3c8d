"""Tiny models and images for the tests of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from airkit.config.schema import Config, DataConfig, GuideConfig, ModelConfig, PriorConfig
from airkit.model.air import AIR, Unrolled
from airkit.model.guides import Noise
from airkit.model.search import Found
from airkit.model.spatial_transformer import paint

SIDE = 16
"""Canvas side of the tiny models, in pixels."""


def tiny_config(
    slots: int = 2,
    kind: str = "saliency",
    *,
    side: int = SIDE,
    shape: tuple[int, int] | None = None,
    channels: int = 1,
    prior: dict[str, Any] | None = None,
    refinements: int = 1,
    **model: Any,
) -> Config:
    """A config of canvases of ``side`` pixels with objects of 8, and for a guide of ``kind``.

    ``shape`` is the height and the width of canvases that are not square; ``model`` sets its
    section.
    """
    height, width = shape or (side, side)
    data: dict[str, Any] = {"canvas_size": max(height, width), "height": height, "width": width}
    data |= {"channels": channels, "max_digits": 2}
    sizes = {"slots": slots, "window_size": 6, "code_size": 3, "hidden_size": 8}
    return Config(
        data=DataConfig(digit_size=8.0, digit_size_sd=0.0, **data),
        model=ModelConfig(**(sizes | {"object_size": 7.0, "decoder_bias": 0.0} | model)),
        guide=GuideConfig(kind=kind, refinements=refinements, glimpse_size=6, rnn_size=7),
        prior=PriorConfig(**(prior or {"ratio": 0.3})),
    )


def tiny_air(config: Config | None = None, seed: int = 0, spread: float = 0.2) -> AIR:
    """A float64 model of ``config``, its weights moved by normals of sd ``spread``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        air = AIR(config or tiny_config()).double()
        with torch.no_grad():
            for weights in air.parameters():
                weights.add_(torch.randn_like(weights), alpha=spread)
    return air


def generator(seed: int) -> torch.Generator:
    """A CPU generator."""
    return torch.Generator().manual_seed(seed)


def blobs(
    batch: int, side: int = SIDE, seed: int = 0, objects: int = 2, channels: int = 1
) -> Tensor:
    """Images of smooth round blobs in 0..1, each of its own colour, float64 [B, C, side, side]."""
    draws = generator(seed)
    middle = torch.rand(batch, objects, 2, 1, generator=draws, dtype=torch.float64)
    places = side * (0.2 + 0.6 * middle)
    away = (torch.arange(side, dtype=torch.float64) - places) ** 2
    x, y = torch.exp(-0.5 * away / 4).unbind(2)
    colours = torch.ones(batch, objects, channels, dtype=torch.float64)
    if channels > 1:
        colours.uniform_(0.2, 1, generator=draws)
    ink = (y[..., :, None] * x[..., None, :])[:, :, None]
    return (ink * colours[..., None, None]).sum(1).clamp(max=1)


def double_noise(air: AIR, batch: int, seed: int = 0, *, looks: bool = True) -> Noise:
    """A float64 ``Noise`` for ``batch`` images."""
    noise = air.noise(generator(seed), batch, looks=looks)
    return Noise(*(None if part is None else part.double() for part in noise))


def canvases_of(air: AIR, unrolled: Unrolled | Found) -> Tensor:
    """Canvases of the first n objects of a pass, n = 0..T, [B, T + 1, C, H, H]."""
    flat = unrolled.windows.flatten(0, 1), unrolled.size.flatten(), unrolled.centre.flatten(0, 1)
    painted = paint(*flat, air.shape)
    painted = painted.view(*unrolled.size.shape, *painted.shape[1:])
    return torch.cat([torch.zeros_like(painted[:, :1]), painted.cumsum(1)], 1)
