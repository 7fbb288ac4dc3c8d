"""Crops in the training pass, and their gradient written by hand; see ``airkit.model.fast``.

Legend: B batch, C channels, H height, W width, N rows (B, or T * B slot after slot), T slots, w
window side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from airkit.model.fast_paint import first_order
from airkit.model.spatial_transformer import (
    Shape,
    on_own_sides,
    pixel_centres,
    shape_of,
    side_ratios,
)


def read(parts: Sequence[Tensor], size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Windows [N, C, w, w] off images in parts [B, C, H, W]."""
    grids = _grid(size, centre, side, shape_of(parts[0])).chunk(len(parts))
    sample, pairs = torch.grid_sampler_2d, zip(parts, grids, strict=True)
    return joined([sample(part, grid, *_BILINEAR) for part, grid in pairs])


def differentiable(
    windows: Tensor, parts: Sequence[Tensor], size: Tensor, centre: Tensor
) -> Tensor:
    """What ``read`` returned, with the gradient by size and centre; images are data."""
    found: Tensor = _Crop.apply(size, centre, windows, *parts)  # type: ignore[no-untyped-call]
    return found


class _Crop(torch.autograd.Function):
    """See ``differentiable``."""

    @staticmethod
    def forward(ctx: Any, size: Tensor, centre: Tensor, windows: Tensor, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(size, centre, *parts)
        return windows

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        size, centre, *parts = ctx.saved_tensors
        side, mask = grad.shape[-1], [False, True]
        shape = shape_of(parts[0])
        grids = _grid(size, centre, side, shape).chunk(len(parts))
        pieces = zip(grad.contiguous().chunk(len(parts)), parts, grids, strict=True)
        backward = torch.ops.aten.grid_sampler_2d_backward
        by_grid = joined([backward(*each, *_BILINEAR, mask)[1] for each in pieces])
        by_x, by_y = by_grid[..., 0].sum(1), by_grid[..., 1].sum(2)
        if shape[0] != shape[1]:
            across, down = side_ratios(shape)
            by_x, by_y = by_x * across, by_y * down
        by_size = (by_x + by_y) @ pixel_centres(side, size)
        by_centre = torch.stack([by_x.sum(1), by_y.sum(1)], 1)
        return by_size, by_centre, None, *[None] * len(parts)


def _grid(size: Tensor, centre: Tensor, side: int, shape: Shape) -> Tensor:
    """Where windows are read, (x, y) on [-1, 1] of the picture's sides, [N, w, w, 2]."""
    pixels = pixel_centres(side, size)
    points = torch.addcmul(centre.t()[:, :, None], size[:, None], pixels)
    x, y = on_own_sides(points, shape).unbind()
    return torch.view_as_real(torch.complex(x[:, None], y[:, :, None]))


_BILINEAR = 0, 0, False
"""Bilinear, zeros outside, ``align_corners=False``, as ``torch.grid_sampler_2d`` has them."""


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts of equal length as one tensor."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
