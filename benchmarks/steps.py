"""What the benchmarks of speed take steps with: canvases, trainers and a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import h5py
import torch
from torch import Tensor

from airkit import settings
from airkit.training.step import Trainer

Step = Callable[[int], Any]


def blobs(count: int, side: int = 50) -> Tensor:
    """Canvases of two soft blobs, uint8: what they show does not change what a step costs."""
    draws = torch.Generator().manual_seed(0)
    places = 10 + (side - 20) * torch.rand(count, 2, 2, 1, generator=draws)
    x, y = torch.exp(-(((torch.arange(side) - places) / 5) ** 2)).unbind(2)
    ink = (y[..., :, None] * x[..., None, :]).sum(1).clamp(max=1)
    return (255 * ink).to(torch.uint8)


def train_images(data: str) -> Tensor:
    """Canvases of a data file; by h5py alone, as an older airkit may not know the format."""
    with h5py.File(data) as file:
        return torch.from_numpy(file["train/image"][:])


def trainer(
    images: Tensor, given: dict[str, Any], *, preset: str = "default", device: str = "cpu"
) -> Trainer:
    """What ``airkit train`` takes steps with; images are grey, [N, S, S]."""
    side = {"data.canvas_size": images.shape[-1]}
    layers = settings.from_preset(preset), *settings.layers({**side, **given})
    return Trainer(settings.resolve(*layers), images[:, None], torch.device(device))


def now(device: str = "cpu") -> float:
    """Seconds on a clock, once all that was asked of ``device`` is done."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(step: Step, first: int, steps: int, *, warm_up: int, device: str = "cpu") -> list[float]:
    """Milliseconds of each step, after a few that are not counted."""
    times = []
    for number in range(first, first + warm_up + steps):
        began = now(device)
        step(number)
        times.append(1000 * (now(device) - began))
    return times[warm_up:]
