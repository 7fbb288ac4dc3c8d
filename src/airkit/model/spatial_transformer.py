"""The spatial transformer (arXiv 1506.02025) for scale and shift: crop windows, paint windows.

A canvas spans [-1, 1] on both axes, pixel centres at (2 i + 1) / H - 1. A pose that only scales and
shifts makes the transform separable, Wy . image . Wx^T, with bilinear weights in each matrix: what
``affine_grid`` and ``grid_sample`` compute with zeros outside and ``align_corners=False``.

Legend: B batch, C channels, H canvas side, W window side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def crop(images: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Read a window off each image: the attention x_att of arXiv 1603.08575, section 3.

    Args:
        images: [B, C, H, H].
        size: [B], window side as a fraction of the image's.
        centre: [B, 2], (x, y) on [-1, 1].
        side: W, pixels along the window's side.

    Returns:
        Windows [B, C, W, W].
    """
    points = centre.t()[:, :, None] + size[:, None] * pixel_centres(side, size)  # [2, B, W]
    deterministic = images.is_cuda and torch.are_deterministic_algorithms_enabled()
    if not (torch.is_grad_enabled() or deterministic):  # faster, without second derivatives
        x, y = points[0, :, None].expand(-1, side, -1), points[1, :, :, None].expand(-1, -1, side)
        return grid_sample(images, torch.stack([x, y], -1), align_corners=False)
    x, y = bilinear_weights((points + 1) * (images.shape[-1] / 2) - 0.5, images.shape[-1])
    windows: Tensor = y[:, None] @ images @ x[:, None].mT
    return windows


def paint(windows: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Place each window on an empty canvas, by the inverse of the pose that crops it.

    Args:
        windows: [B, C, W, W].
        size: [B], window side as a fraction of the canvas.
        centre: [B, 2], (x, y) on [-1, 1].
        side: H, pixels along the canvas's side.

    Returns:
        Canvases [B, C, H, H].
    """
    window = windows.shape[-1]
    points = (pixel_centres(side, size) - centre.t()[:, :, None]) / size[:, None]  # [2, B, H]
    x, y = bilinear_weights((points + 1) * (window / 2) - 0.5, window)
    canvas: Tensor = y[:, None] @ windows @ x[:, None].mT
    return canvas


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
