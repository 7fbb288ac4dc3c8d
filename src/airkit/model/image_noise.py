"""Uniform random numbers that are a function of a seed and of an image's pixels.

They do not depend on what else is in the batch, nor on its order.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(images: Tensor, seed: int, rows: int, columns: int) -> Tensor:
    """Uniform numbers in [0, 1) for each image, float64 [B, rows, columns].

    The first rows are the same for any number of rows.

    Args:
        images: levels in 0..1, [B, C, H, W]; they count to the nearest 1/255.
        seed: non-negative.
        rows: how many rows of numbers.
        columns: numbers in a row.
    """
    levels = (images.flatten(1) * 255).round().long()
    places = torch.arange(levels.shape[1] + rows * columns, device=images.device)
    weights = _splitmix64(places + seed)
    hashed = (levels * weights[: levels.shape[1]]).sum(1)
    bits = _splitmix64(hashed[:, None] ^ weights[levels.shape[1] :])
    return ((bits >> 11) & (2**53 - 1)).double().mul(2.0**-53).view(len(images), rows, columns)


def _splitmix64(numbers: Tensor) -> Tensor:
    """SplitMix64 (Steele, Lea and Flood 2014) of int64 numbers, whose products wrap around."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15), (31, 1)):
        # a shift of negative numbers must bring zeros in
        numbers = (numbers ^ ((numbers >> shift) & (2 ** (64 - shift) - 1))) * factor
    return numbers
