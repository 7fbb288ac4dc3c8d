"""How many pictures can be explained together in bounded memory."""

from __future__ import annotations

import math

from airkit.model.spatial_transformer import Shape

MOST_NUMBERS = 2**26
"""Most numbers in the tensors of a batch: 256 MiB."""
BESIDE_MASKS = 8
"""Tensors as large as the pictures that are kept beside the masks of their objects."""


def batch_size(shape: Shape, channels: int, slots: int, most: int) -> int:
    """Pictures to explain together: ``most``, or fewer where that would take too much memory.

    Args:
        shape: height and width of a picture in pixels.
        channels: of a picture.
        slots: T; 0 where no masks are kept.
        most: the batch size asked for.
    """
    return max(1, min(most, MOST_NUMBERS // numbers_of_picture(shape, channels, slots)))


def numbers_of_picture(shape: Shape, channels: int, slots: int) -> int:
    """How many numbers are kept of a picture while it is explained, at least."""
    return math.prod(shape) * (slots + BESIDE_MASKS * channels)
