"""Robust filters that estimate the background under objects, one picture at a time, without labels.

Shapes: B pictures, H side in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

ROUNDS = 8
"""Rounds of reweighting that fit a plane."""
GRID = 32
"""Pixels along a side that a plane is fitted to, about."""
TUKEY = 4.7
"""Residuals beyond so many standard deviations have no weight in the plane (Tukey's biweight)."""
LEAST_SD = 1 / 255
"""Least standard deviation of residuals from the plane: half the pixels may lie on it exactly."""


def constant(images: Tensor) -> Tensor:
    """One grey level a picture: the median of its outermost pixels, [B, H, H]."""
    level = border(images).quantile(0.5, 1)
    return level[:, None, None].expand_as(images)


def border(images: Tensor) -> Tensor:
    """The outermost pixels of each picture, [B, 4 H - 4]."""
    return torch.cat([images[:, [0, -1]].flatten(1), images[:, 1:-1, [0, -1]].flatten(1)], 1)


def plane(images: Tensor) -> Tensor:
    """A linear gradient a picture, [B, H, H].

    Least squares, reweighted so that objects are left out: Tukey's biweight, with the median
    absolute residual as the scale.
    """
    side = images.shape[-1]
    axis = torch.linspace(-1, 1, side, dtype=images.dtype, device=images.device)
    full = torch.stack([axis.new_ones(side, side), *torch.meshgrid(axis, axis, indexing="ij")], -1)
    some = slice(None, None, max(1, side // GRID))
    basis, levels = full[some, some].reshape(-1, 3), images[:, some, some].flatten(1)
    weights = torch.ones_like(levels)
    for _ in range(ROUNDS):
        weighted = basis.t() * weights[:, None]
        fit = torch.linalg.solve(weighted @ basis, weighted @ levels[:, :, None])
        residual = (levels - (basis @ fit).squeeze(2)).abs()
        sd = (1.4826 * residual.median(1, keepdim=True).values).clamp(min=LEAST_SD)
        weights = (1 - (residual / (TUKEY * sd)).clamp(max=1).square()).square()
    background: Tensor = (full @ fit[:, None]).squeeze(3)
    return background


def smooth(images: Tensor, side: int) -> Tensor:
    """A background of soft lumps, [B, H, H]: what is wider than ``side`` pixels, an odd number.

    A morphological opening of the picture, blurred before and after, which takes away bright parts
    that are narrower.
    """
    least = -_greatest(-blur(images, 5), side)
    return blur(_greatest(least, side), 2 * (side // 4) + 1)


def blur(images: Tensor, side: int) -> Tensor:
    """The mean of the ``side`` x ``side`` pixels around each, fewer at the edge; side is odd."""
    images = images[:, None]
    for width in ((1, side), (side, 1)):  # one axis after the other
        margin = (width[0] // 2, width[1] // 2)
        images = avg_pool2d(images, width, 1, margin, count_include_pad=False)
    return images[:, 0]


def _greatest(images: Tensor, side: int) -> Tensor:
    """The greatest level around each pixel, along one axis and then along the other."""
    return _greatest_in_rows(_greatest_in_rows(images, side).mT, side).mT


def _greatest_in_rows(images: Tensor, side: int) -> Tensor:
    """The greatest of the ``side`` pixels of a row that are around each.

    By doubling: of 2 neighbours, of 4, of 8 ..., and at last of two such runs that overlap.
    """
    length, width = images.shape[-1], 1
    images = pad(images, (side // 2, side // 2), value=-torch.inf)
    while 2 * width <= side:
        images = torch.maximum(images[..., :-width], images[..., width:])
        width *= 2
    return torch.maximum(images[..., :length], images[..., side - width :])
