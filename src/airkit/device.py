"""Where to compute."""

from __future__ import annotations

import torch

from airkit.errors import DeviceError


def pick_device(name: str) -> torch.device:
    """The device that ``train.device`` names; auto is a CUDA GPU where there is one.

    Raises:
        DeviceError: this machine has no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    device = torch.device(name)
    count = {"cpu": 1, "cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps)}
    if (device.index or 0) >= count[device.type]:
        raise DeviceError(
            "There is no such device here",
            where="train.device",
            expected="one of " + ", ".join(kind for kind, number in count.items() if number),
            got=name,
            hint="--device auto takes the best there is",
        )
    return device
