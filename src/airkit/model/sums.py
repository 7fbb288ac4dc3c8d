"""Running sums that can be deterministic on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def running_sum(values: Tensor) -> Tensor:
    """Sums of the first 1, 2, ... entries along axis 1, as ``values.cumsum(1)``.

    PyTorch has no deterministic cumsum of floats on a GPU, and refuses it where such are asked
    for; then, and only then, they are added up in another way.
    """
    if values.is_cuda and torch.are_deterministic_algorithms_enabled():
        return _by_doubling(values)
    return values.cumsum(1)


def _by_doubling(values: Tensor) -> Tensor:
    """Each entry plus the sum of the 1, 2, 4, ... before it (Hillis & Steele 1986)."""
    shift = 1
    while shift < values.shape[1]:
        added = values[:, shift:] + values[:, :-shift]
        values = torch.cat([values[:, :shift], added], 1)
        shift *= 2
    return values
