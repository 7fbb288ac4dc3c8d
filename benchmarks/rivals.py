"""Training steps of airkit or of a rival, a block at a time; a worker of ``speed.py``."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from plain_air import PlainAIR, plain_svi
from steps import Step, timed, train_images, trainer
from worker import serve

from airkit import settings

PLAIN = "plain reading"
REFERENCE = "reference path"
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"train.precision": "float32"},
    "bfloat16": {"train.precision": "bfloat16"},
    REFERENCE: {"train.precision": "float32", "train.backward": "reference"},
    "tf32": {"train.precision": "tf32"},
    "no CUDA graph": {"train.precision": "float32", "train.cuda_graph": False},
    "on the CPU": {"train.precision": "float32"},
}
"""What airkit is told, by what it is called."""


def block(rival: str, data: str, device: str, first: int, steps: int) -> list[float] | None:
    """Milliseconds of some steps on batches of 64; None where this airkit has no such variant.

    ``rival`` is ``PLAIN`` or one of ``VARIANTS``.
    """
    device = "cpu" if rival == "on the CPU" else device
    if not VARIANTS.get(rival, {}).keys() <= settings.fields().keys():
        return None
    return timed(stepper(rival, data, device), first, steps, warm_up=3, device=device)


@cache
def stepper(rival: str, data: str, device: str) -> Step:
    images = train_images(data)
    if rival == PLAIN:
        return plain(images.to(device), device)
    known = settings.fields()
    given = {key: value for key, value in VARIANTS[rival].items() if key in known}
    return trainer(images, given, device=device).step


def plain(images: torch.Tensor, device: str) -> Step:
    """A step of the plain reading, with Pyro's defaults, on consecutive batches."""
    svi, batches = plain_svi(PlainAIR().to(device)), torch.split(images, 64)
    return lambda number: svi.step(batches[number % (len(batches) - 1)] / 255)


if __name__ == "__main__":
    serve(block)
