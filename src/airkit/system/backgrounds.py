"""Robust filters that estimate the background under objects, one picture at a time, without labels.

Shapes: B pictures of H x W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

ROUNDS = 8
"""Rounds of reweighting that fit a polynomial."""
GRID = 32
"""Pixels along a side that a polynomial is fitted to, about."""
TUKEY = 4.7
"""Residuals beyond so many standard deviations have no weight in the fit (Tukey's biweight)."""
LEAST_SD = 1 / 255
"""Least standard deviation of residuals from it: half the pixels may lie on it exactly."""
SAMPLES = 16
"""Pixels along a side of a median's window that are looked at, about."""
HOP = 4
"""Distance of the centres of two windows, in these pixels."""
MOST = 2**22
"""Most pixels of windows to sort at a time."""


def constant(images: Tensor) -> Tensor:
    """One grey level a picture: the median of its outermost pixels, [B, H, W]."""
    level = border(images).quantile(0.5, 1)
    return level[:, None, None].expand_as(images)


def border(images: Tensor) -> Tensor:
    """The outermost pixels of each picture, [B, 2 H + 2 W - 4]."""
    return torch.cat([images[:, [0, -1]].flatten(1), images[:, 1:-1, [0, -1]].flatten(1)], 1)


def plane(images: Tensor) -> Tensor:
    """A linear gradient a picture, [B, H, W]."""
    return _polynomial(images, 1)


def quadratic(images: Tensor) -> Tensor:
    """A gradient a picture that bends, as of a lamp or a vignette, [B, H, W]."""
    return _polynomial(images, 2)


def _polynomial(images: Tensor, degree: int) -> Tensor:
    """A polynomial of the place, fitted to each picture, [B, H, W].

    Least squares, reweighted so that objects are left out: Tukey's biweight, with the median
    absolute residual as the scale.
    """
    sides = images.shape[1:]
    dtype, device = images.dtype, images.device
    axes = [torch.linspace(-1, 1, side, dtype=dtype, device=device) for side in sides]
    y, x = torch.meshgrid(*axes, indexing="ij")
    powers = [(i, k) for i in range(degree + 1) for k in range(degree + 1 - i)]
    full = torch.stack([y**i * x**k for i, k in powers], -1)
    rows, columns = (slice(None, None, max(1, side // GRID)) for side in sides)
    basis, levels = full[rows, columns].flatten(0, 1), images[:, rows, columns].flatten(1)
    weights = torch.ones_like(levels)
    for _ in range(ROUNDS):
        weighted = basis.t() * weights[:, None]
        fit = torch.linalg.solve(weighted @ basis, weighted @ levels[:, :, None])
        residual = (levels - (basis @ fit).squeeze(2)).abs()
        sd = (1.4826 * _middle(residual)[:, None]).clamp(min=LEAST_SD)
        weights = (1 - (residual / (TUKEY * sd)).clamp(max=1).square()).square()
    background: Tensor = (full @ fit[:, None]).squeeze(3)
    return background


def median(images: Tensor, side: int) -> Tensor:
    """The median within ``side`` pixels, [B, H, W], where objects cover less than half.

    The median of windows on a grid, interpolated, so that bright and dark objects both drop out.
    All windows are as large, so that an object in a corner does not fill the one there.
    """
    thin = max(1, side // SAMPLES)
    thinned, step = images[:, ::thin, ::thin], HOP * thin
    rows, columns = (_windows(length, side // thin, images) for length in thinned.shape[1:])
    some = max(1, MOST // (rows.numel() * columns.numel()))
    parts = (thinned[first : first + some] for first in range(0, len(images), some))
    index = rows[:, None, :, None], columns[:, None]
    grid = torch.cat([_middle(part[:, *index].flatten(3)) for part in parts])
    full = [(length - 1) * step + 1 for length in grid.shape[1:]]
    found = interpolate(grid[:, None], full, mode="bilinear", align_corners=True)
    return found[:, 0, : images.shape[1], : images.shape[2]]


def _windows(length: int, side: int, like: Tensor) -> Tensor:
    """Places of the pixels of windows along an axis, [K, side], or fewer in a smaller picture."""
    side = min(side, length)
    centres = torch.arange(0, length + HOP, HOP, device=like.device)[:, None]
    within = torch.arange(side, device=like.device)
    return (centres - side // 2).clamp(0, length - side) + within


def rolling_ball(images: Tensor, side: int) -> Tensor:
    """What is wider than ``side`` pixels, an odd number, [B, H, W], without bright narrower parts.

    A morphological opening of the picture, blurred before and after. Its structuring element is a
    square, which is fast, rather than the ball of Sternberg (1983), "Biomedical image processing":
    the ball is nearly flat where it touches.
    """
    least = -_greatest(-blur(images, 5), side)
    return blur(_greatest(least, side), 2 * (side // 4) + 1)


def _middle(levels: Tensor) -> Tensor:
    """The median of the last axis, of two the lower: CUDA's own is not deterministic."""
    middle = (levels.shape[-1] - 1) // 2
    if levels.is_cuda:
        return levels.sort(-1).values[..., middle]
    return torch.from_numpy(np.partition(levels.numpy(), middle, -1)[..., middle])


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
