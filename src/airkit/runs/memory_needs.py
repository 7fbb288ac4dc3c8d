"""What work with a model takes in memory at least, so that what cannot fit is refused."""

from __future__ import annotations

import math

import torch

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.batch_sizes import batch_size, numbers_of_picture
from airkit.system import memory
from airkit.system.processes import Launch

PLANES = 4
"""Numbers that are kept of each level while pictures are looked at, at least."""


def batch_size_of(air: AIR, config: Config) -> int:
    """How many pictures are looked at together: ``eval.batch_size``, or fewer large ones."""
    return batch_size(air.shape, air.channels, air.slots, config.eval.batch_size)


def check_looks(air: AIR, config: Config, device: torch.device) -> None:
    """Refuse pictures that cannot be looked at together in the memory of a device.

    Raises:
        NoMemoryError: they do not fit.
    """
    many = batch_size_of(air, config)
    memory.check(
        PLANES * 4 * many * air.channels * math.prod(air.shape),
        f"{many} pictures of {air.shape[1]}x{air.shape[0]} px at a time",
        where="eval.batch_size",
        hint="a smaller eval.batch_size, or in infer --tile for large pictures",
        device=device,
    )


def check_steps(config: Config, canvases: int, launch: Launch, device: torch.device) -> None:
    """Check that a process's rows of a batch can fit into the memory of its device.

    Raises:
        NoMemoryError: they cannot.
    """
    data, size = config.data, min(config.batch_size, canvases)
    each = 4 * numbers_of_picture(data.shape, data.channels, config.slots)
    free = memory.available(device)[0]
    fitting = int(free // each) * launch.count if math.isfinite(free) else 0
    smaller = f"--set train.batch_size={fitting} or less for a new run, or " * bool(fitting)
    memory.check(
        each * size // launch.count,
        f"The steps of a training on {size} canvases with {config.slots} slots each",
        where="train.batch_size",
        hint=f"{smaller}smaller pictures: airkit import --scale or --tile",
        device=device,
    )
