"""Crops and paint in the training pass, with gradients written by hand; see ``airkit.model.fast``.

Canvases are painted whole. ``fast_local`` has the same for large pictures.

Legend: B batch, C channels, H height, W width, S the longer side, N rows (B, or T * B slot after
slot), P channels of a window (C, and a mask where objects occlude each other), T slots, w window
side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, bmm

from airkit.model.spatial_transformer import (
    Shape,
    on_own_sides,
    pixel_centres,
    shape_of,
    side_ratios,
)
from airkit.model.tuples import joined

Axes = tuple[Tensor, Tensor]
Windows = tuple[Tensor, Tensor, Tensor]
"""Sizes [T * B], centres [T * B, 2] and decoded windows [T * B, P, w, w]."""


class Painted(NamedTuple):
    """What the gradient needs of one slot that was painted.

    Attributes:
        bilinear: bilinear weights along x and y, [2, B, w, S].
        half_painted: windows painted along the canvas's y, x first, [B, w, P H].
        mask: masks painted, [B, 1, H, W]; None where objects do not occlude each other.
    """

    bilinear: Tensor
    half_painted: Tensor
    mask: Tensor | None


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass that raises where its result is to be differentiated again."""

    def checked(ctx: Any, *grads: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "airkit.model.fast has first derivatives only: call AIR itself for second ones, "
                "or train with train.backward=reference"
            )
        return backward(ctx, *grads)

    return checked


# Crops


def crop(parts: Sequence[Tensor], size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Windows [N, C, w, w] off images in parts [B, C, H, W]."""
    grids = _grid(size, centre, side, shape_of(parts[0])).chunk(len(parts))
    sample, pairs = torch.grid_sampler_2d, zip(parts, grids, strict=True)
    return joined([sample(part, grid, *_BILINEAR) for part, grid in pairs])


def differentiable_crop(
    windows: Tensor, parts: Sequence[Tensor], size: Tensor, centre: Tensor
) -> Tensor:
    """What ``crop`` returned, with the gradient by size and centre; images are data."""
    found: Tensor = _Crop.apply(size, centre, windows, *parts)  # type: ignore[no-untyped-call]
    return found


class _Crop(torch.autograd.Function):
    """See ``differentiable_crop``."""

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
        grad_grid = joined([backward(*each, *_BILINEAR, mask)[1] for each in pieces])
        grad_x, grad_y = grad_grid[..., 0].sum(1), grad_grid[..., 1].sum(2)
        if shape[0] != shape[1]:
            along, down = side_ratios(shape)
            grad_x, grad_y = grad_x * along, grad_y * down
        grad_size = (grad_x + grad_y) @ pixel_centres(side, size)
        grad_centre = torch.stack([grad_x.sum(1), grad_y.sum(1)], 1)
        return grad_size, grad_centre, None, *[None] * len(parts)


def _grid(size: Tensor, centre: Tensor, side: int, shape: Shape) -> Tensor:
    """Where windows are read, (x, y) on [-1, 1] of the picture's sides, [N, w, w, 2]."""
    pixels = pixel_centres(side, size)
    points = torch.addcmul(centre.t()[:, :, None], size[:, None], pixels)
    x, y = on_own_sides(points, shape).unbind()
    return torch.view_as_real(torch.complex(x[:, None], y[:, :, None]))


_BILINEAR = 0, 0, False
"""Bilinear, zeros outside, ``align_corners=False``, as ``torch.grid_sampler_2d`` has them."""


# Paint


def add(residuals: Tensor, slot: int, windows: Tensor, size: Tensor, centre: Tensor) -> Painted:
    """Fill the residual after a slot, one more object on its canvas; see ``canvas.compose``.

    Args:
        residuals: ink less the canvas of the first n objects, n = 0..T, [T + 1, B, C, H, W].
        slot: the slot, whose residual is filled already.
        windows: [B, P, w, w].
        size: window sides as fractions of S, [B].
        centre: (x, y) on [-1, 1], [B, 2].
    """
    before, after, shape = residuals[slot], residuals[slot + 1], shape_of(residuals)
    window = windows.shape[-1]
    bilinear = bilinear_at(_on_window(size, centre, window, max(shape)), window)
    x, y = _axes(bilinear, shape)
    half_painted = bmm(columns(windows), y).view(len(windows), window, -1)
    factors = half_painted.mT, x
    if windows.shape[1] == residuals.shape[2]:
        torch.baddbmm(before.flatten(1, 2), *factors, alpha=-1, out=after.flatten(1, 2))
        return Painted(bilinear, half_painted, None)
    painted = bmm(*factors).view(len(windows), -1, *shape)
    torch.lerp(before, residuals[0], painted[:, -1:], out=after).sub_(painted[:, :-1])
    return Painted(bilinear, half_painted, painted[:, -1:])


def _axes(bilinear: Tensor, shape: Shape) -> Axes:
    """Bilinear weights [2, N, w, S] along x and y, of the pixels that ``shape`` has."""
    height, width = shape
    return bilinear[0, ..., :width], bilinear[1, ..., :height]


def columns(windows: Tensor) -> Tensor:
    """Windows [N, P, w, w], x first, [N, w P, w]."""
    return windows.permute(0, 3, 1, 2).reshape(len(windows), -1, windows.shape[-1])


def errors(residuals: Tensor, painted: Sequence[Painted], ink: Tensor, windows: Windows) -> Tensor:
    """Squared errors of all canvases, [B, T + 1], with the gradient by ink and windows.

    Args:
        residuals: as ``add`` filled them.
        painted: what it returned, slot after slot.
        ink: ``Background.ink``, [B, C, H, W].
        windows: those of all slots, slot after slot.
    """
    found: Tensor = _Errors.apply(residuals, painted, ink, *windows)  # type: ignore[no-untyped-call]
    return found


class _Errors(torch.autograd.Function):
    """Squared errors [B, T + 1] as a function of ink and of the windows painted.

    Object t is in all canvases from n = t on, so that gradients add up from the last back; where
    objects occlude, through what the later masks leave.
    """

    @staticmethod
    def forward(
        ctx: Any, residuals: Tensor, painted: Sequence[Painted], ink: Tensor, *windows: Tensor
    ) -> Tensor:
        del ink  # its gradient is that of the residuals
        ctx.save_for_backward(residuals, *windows, *chain(*painted))
        norms: Tensor = torch.linalg.vector_norm(residuals, dim=(2, 3, 4))
        return norms.square().t()

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        residuals, size, centre, windows, *saved = ctx.saved_tensors
        painted = [Painted(*saved[first : first + 3]) for first in range(0, len(saved), 3)]
        (canvases, batch, channels), shape = residuals.shape[:3], shape_of(residuals)
        weights = (-2 * grad).t()[:, :, None, None, None]
        grad_ink = -(weights * residuals).sum(0) if ctx.needs_input_grad[2] else None
        grad_windows, window = torch.empty_like(windows), windows.shape[-1]
        empty = grad.new_empty if shape[0] == shape[1] else grad.new_zeros  # all of it is filled
        grad_bilinear = empty(2, len(windows), window, max(shape))
        later = torch.zeros_like(residuals[0])
        for slot in reversed(range(canvases - 1)):
            rows = slice(slot * batch, (slot + 1) * batch)
            bilinear, half_painted, mask = painted[slot]
            grad_painted = grad.new_empty(batch, windows.shape[1], *shape)
            grad_painted_ink = grad_painted[:, :channels]
            torch.addcmul(later, residuals[slot + 1], weights[slot + 1], out=grad_painted_ink)
            later = grad_painted_ink
            if mask is not None:  # which hides the canvas before, the image less the residual
                hidden = (residuals[slot] - residuals[0]).mul_(grad_painted_ink)
                torch.sum(hidden, 1, out=grad_painted[:, channels])
                later = torch.addcmul(grad_painted_ink, grad_painted_ink, mask, value=-1)
            axes, grad_axes = (_axes(each, shape) for each in (bilinear, grad_bilinear[:, rows]))
            grad_windows[rows] = paint_gradient(
                grad_painted, windows[rows], half_painted, axes, grad_axes
            )
        return None, None, grad_ink, *_pose_gradient(grad_bilinear, size, centre), grad_windows


def paint_gradient(
    grad: Tensor, windows: Tensor, half_painted: Tensor, bilinear: Axes, grad_bilinear: Axes
) -> Tensor:
    """The gradient of windows [N, P, w, w] from that of what they paint; fills that of weights.

    Args:
        grad: [N, P, H, W].
        windows: [N, P, w, w].
        half_painted: windows painted along y, [N, w, P H].
        bilinear: bilinear weights along x and y, [N, w, W] and [N, w, H].
        grad_bilinear: their gradients, to be filled.
    """
    (height, width), count = shape_of(grad), len(grad)
    flat = grad.view(count, -1, width)
    grad_half_painted = bmm(bilinear[0], flat.mT).view(count, -1, height)
    grad_columns = bmm(grad_half_painted, bilinear[1].mT).view(count, -1, *windows.shape[1:3])
    torch.bmm(half_painted, flat, out=grad_bilinear[0])
    torch.bmm(columns(windows).mT, grad_half_painted, out=grad_bilinear[1])
    return grad_columns.permute(0, 2, 3, 1)


def _pose_gradient(grad_bilinear: Tensor, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of size [N] and centre [N, 2] from those of bilinear weights [2, N, w, S]."""
    window, side = grad_bilinear.shape[2:]
    # position = ((place - centre) / size + 1) w / 2 - 1 / 2; beyond the picture nothing is painted
    grad_places = slopes(grad_bilinear, _on_window(size, centre, window, side)) * (window / 2)
    grad_places /= size[:, None]
    places = (pixel_centres(side, size) - centre.t()[:, :, None]) / size[:, None]
    return -(grad_places * places).sum((0, 2)), -grad_places.sum(2).t()


def _on_window(size: Tensor, centre: Tensor, window: int, side: int) -> Tensor:
    """Where a canvas's pixels lie on the window, in pixels, x and y, as [2, N, S]."""
    scale = (window / 2) / size
    shift = (window / 2 - 0.5) - centre.t() * scale
    pixels = pixel_centres(side, size)
    return torch.addcmul(shift[:, :, None], scale[:, None], pixels)


# Bilinear weights


def bilinear_at(positions: Tensor, side: int) -> Tensor:
    """``spatial_transformer.bilinear_weights`` of positions [..., S], as [..., side, S]."""
    pixels = torch.arange(side, dtype=positions.dtype, device=positions.device)
    distance = positions[..., None, :] - pixels[:, None]
    return (1 - distance.abs_()).clamp_(min=0)


def slopes(grad_weights: Tensor, positions: Tensor) -> Tensor:
    """Gradients of ``positions`` [..., S] from those of their ``bilinear_at`` [..., side, S].

    As a position moves up, the weight of the pixel below falls and that of the one above rises.
    """
    below = positions.floor().long()
    both = torch.stack([below, below + 1], -2)
    inside = (both >= 0) & (both < grad_weights.shape[-2])
    found = grad_weights.gather(-2, both.clamp_(0, grad_weights.shape[-2] - 1)) * inside
    return found[..., 1, :] - found[..., 0, :]
