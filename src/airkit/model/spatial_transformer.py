"""The spatial transformer (arXiv 1506.02025) for scale and shift: crop windows, paint windows.

A square canvas of side S spans [-1, 1] on both axes, pixel centres at (2 i + 1) / S - 1. A picture
that is not square is the upper left part of the square of its longer side. A pose that only scales
and shifts makes the transform separable, Wy . image . Wx^T, with bilinear weights in each matrix:
what ``affine_grid`` and ``grid_sample`` compute with zeros outside and ``align_corners=False``.

Legend: B batch, C channels, H height, W width, S the longer side, w window side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

Shape = tuple[int, int]
"""Height and width in pixels."""


def crop(images: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Read a window off each image: the attention x_att of arXiv 1603.08575, section 3.

    Args:
        images: [B, C, H, W].
        size: [B], window side as a fraction of S.
        centre: [B, 2], (x, y) on [-1, 1].
        side: w, pixels along the window's side.

    Returns:
        Windows [B, C, w, w].
    """
    height, width = images.shape[2:]
    points = centre.t()[:, :, None] + size[:, None] * pixel_centres(side, size)  # [2, B, w]
    deterministic = images.is_cuda and torch.are_deterministic_algorithms_enabled()
    if not (torch.is_grad_enabled() or deterministic):  # faster, without second derivatives
        x, y = on_own_sides(points, (height, width))
        x, y = x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)
        return grid_sample(images, torch.stack([x, y], -1), align_corners=False)
    x, y = (points + 1) * (max(height, width) / 2) - 0.5
    x, y = bilinear_weights(x, width), bilinear_weights(y, height)
    windows: Tensor = y[:, None] @ images @ x[:, None].mT
    return windows


def on_own_sides(points: Tensor, shape: Shape) -> Tensor:
    """Points (x, y) [2, ...] as ``grid_sample`` takes them: each side of a picture is [-1, 1].

    >>> on_own_sides(torch.tensor([0.0, 0.0]), (32, 64))
    tensor([0., 1.])
    """
    if shape[0] == shape[1]:
        return points
    return torch.stack(
        [(each + 1) * by - 1 for each, by in zip(points, side_ratios(shape), strict=True)]
    )


def side_ratios(shape: Shape) -> tuple[float, float]:
    """S divided by the width, and by the height."""
    side = max(shape)
    return side / shape[1], side / shape[0]


def paint(windows: Tensor, size: Tensor, centre: Tensor, canvas: int | Shape) -> Tensor:
    """Place each window on an empty canvas, by the inverse of the pose that crops it.

    Args:
        windows: [B, C, w, w].
        size: [B], window side as a fraction of S.
        centre: [B, 2], (x, y) on [-1, 1].
        canvas: S of a square canvas, or H and W.

    Returns:
        Canvases [B, C, H, W].
    """
    height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    window, side = windows.shape[-1], max(height, width)
    points = (pixel_centres(side, size) - centre.t()[:, :, None]) / size[:, None]  # [2, B, S]
    x, y = bilinear_weights((points + 1) * (window / 2) - 0.5, window)
    painted: Tensor = y[:, None, :height] @ windows @ x[:, None, :width].mT
    return painted


def bilinear_weights(positions: Tensor, side: int) -> Tensor:
    """Weights that interpolate between the pixels of a line, zero beyond its ends.

    Args:
        positions: where to read, in pixels from the centre of the first, [...].
        side: how many pixels the line has.

    Returns:
        Weights [..., side]; a row has at most two that are not zero.

    >>> bilinear_weights(torch.tensor([0.0, 1.25, 2.5]), 3)
    tensor([[1.0000, 0.0000, 0.0000],
            [0.0000, 0.7500, 0.2500],
            [0.0000, 0.0000, 0.5000]])
    """
    pixels = torch.arange(side, dtype=positions.dtype, device=positions.device)
    return torch.relu(1 - (positions[..., None] - pixels).abs())


def pixel_centres(side: int, like: Tensor | None = None) -> Tensor:
    """Centres of ``side`` pixels on [-1, 1], [side], in the dtype and on the device of ``like``."""
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    return (2 * torch.arange(side, dtype=dtype, device=device) + 1) / side - 1
