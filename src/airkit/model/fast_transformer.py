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


class Painted(NamedTuple):
    """What the gradient needs of one slot that was painted.

    Attributes:
        tents: bilinear weights along x and y, [2, B, w, S].
        across: windows painted along the canvas's y, x first, [B, w, P H].
        mask: masks painted, [B, 1, H, W]; None where objects do not occlude each other.
    """

    tents: Tensor
    across: Tensor
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
    before, after, (height, width) = residuals[slot], residuals[slot + 1], shape_of(residuals)
    window = windows.shape[-1]
    tents = tents_at(_on_window(size, centre, window, max(height, width)), window)
    across = bmm(columns(windows), tents[1, ..., :height]).view(len(windows), window, -1)
    factors = across.mT, tents[0, ..., :width]
    if windows.shape[1] == residuals.shape[2]:
        torch.baddbmm(before.flatten(1, 2), *factors, alpha=-1, out=after.flatten(1, 2))
        return Painted(tents, across, None)
    painted = bmm(*factors).view(len(windows), -1, height, width)
    torch.lerp(before, residuals[0], painted[:, -1:], out=after).sub_(painted[:, :-1])
    return Painted(tents, across, painted[:, -1:])


def columns(windows: Tensor) -> Tensor:
    """Windows [N, P, w, w], x first, [N, w P, w]."""
    return windows.permute(0, 3, 1, 2).reshape(len(windows), -1, windows.shape[-1])


def errors(residuals: Tensor, painted: Sequence[Painted], *inputs: Tensor) -> Tensor:
    """Squared errors of all canvases, [B, T + 1].

    Args:
        residuals: as ``add`` filled them.
        painted: what it returned, slot after slot.
        inputs: ink, [B, C, H, W]; size, centre and windows of all slots, [T * B, ...].
    """
    found: Tensor = _Errors.apply(residuals, painted, *inputs)  # type: ignore[no-untyped-call]
    return found


class _Errors(torch.autograd.Function):
    """Squared errors [B, T + 1] as a function of ink and of the windows [T * B, P, w, w] painted.

    Object t is in all canvases from n = t on, so that gradients add up from the last back; where
    objects occlude, through what the later masks leave.
    """

    @staticmethod
    def forward(ctx: Any, residuals: Tensor, painted: Sequence[Painted], *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(residuals, *inputs[1:], *chain(*painted))  # all but the ink
        norms: Tensor = torch.linalg.vector_norm(residuals, dim=(2, 3, 4))
        return norms.square().t()

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        residuals, size, centre, windows, *saved = ctx.saved_tensors
        painted = [Painted(*saved[first : first + 3]) for first in range(0, len(saved), 3)]
        slots, (batch, channels, height, width) = len(residuals) - 1, residuals.shape[1:]
        weights = (-2 * grad).t()[:, :, None, None, None]
        by_image = -(weights * residuals).sum(0) if ctx.needs_input_grad[2] else None
        by_windows, window = torch.empty_like(windows), windows.shape[-1]
        empty = grad.new_empty if height == width else grad.new_zeros  # all of it is filled
        by_tents = empty(2, slots * batch, window, max(height, width))
        later = torch.zeros_like(residuals[0])
        for slot in reversed(range(slots)):
            rows, (tents, across, mask) = slice(slot * batch, (slot + 1) * batch), painted[slot]
            by_painted = grad.new_empty(batch, windows.shape[1], height, width)
            by_ink = by_painted[:, :channels]
            torch.addcmul(later, residuals[slot + 1], weights[slot + 1], out=by_ink)
            later = by_ink
            if mask is not None:  # which hides the canvas before, the image less the residual
                hidden = (residuals[slot] - residuals[0]).mul_(by_ink)
                torch.sum(hidden, 1, out=by_painted[:, channels])
                later = torch.addcmul(by_ink, by_ink, mask, value=-1)
            ours, theirs = (
                (each[0, ..., :width], each[1, ..., :height]) for each in (tents, by_tents[:, rows])
            )
            by_windows[rows] = paint_gradient(by_painted, windows[rows], across, ours, theirs)
        return None, None, by_image, *_pose_gradient(by_tents, size, centre), by_windows


def paint_gradient(
    grad: Tensor, windows: Tensor, across: Tensor, tents: Axes, by_tents: Axes
) -> Tensor:
    """The gradient of windows [N, P, w, w] from that of what they paint; fills that of tents.

    Args:
        grad: [N, P, H, W].
        windows: [N, P, w, w].
        across: windows painted along y, [N, w, P H].
        tents: of x and y, [N, w, W] and [N, w, H].
        by_tents: their gradients, to be filled.
    """
    (height, width), count = shape_of(grad), len(grad)
    flat = grad.view(count, -1, width)
    by_across = bmm(tents[0], flat.mT).view(count, -1, height)
    by_columns = bmm(by_across, tents[1].mT).view(count, -1, *windows.shape[1:3])
    torch.bmm(across, flat, out=by_tents[0])
    torch.bmm(columns(windows).mT, by_across, out=by_tents[1])
    return by_columns.permute(0, 2, 3, 1)


def _pose_gradient(by_tents: Tensor, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of size [N] and centre [N, 2] from those of tents [2, N, w, S]."""
    window, side = by_tents.shape[2:]
    # position = ((place - centre) / size + 1) w / 2 - 1 / 2; beyond the picture nothing is painted
    by_places = slopes(by_tents, _on_window(size, centre, window, side)) * (window / 2)
    by_places /= size[:, None]
    places = (pixel_centres(side, size) - centre.t()[:, :, None]) / size[:, None]
    return -(by_places * places).sum((0, 2)), -by_places.sum(2).t()


def _on_window(size: Tensor, centre: Tensor, window: int, side: int) -> Tensor:
    """Where a canvas's pixels lie on the window, in pixels, x and y, as [2, N, S]."""
    scale = (window / 2) / size
    shift = (window / 2 - 0.5) - centre.t() * scale
    pixels = pixel_centres(side, size)
    return torch.addcmul(shift[:, :, None], scale[:, None], pixels)


# Bilinear weights


def tents_at(positions: Tensor, side: int) -> Tensor:
    """``spatial_transformer.bilinear_weights`` of positions [..., S], as [..., side, S]."""
    pixels = torch.arange(side, dtype=positions.dtype, device=positions.device)
    distance = positions[..., None, :] - pixels[:, None]
    return (1 - distance.abs_()).clamp_(min=0)


def slopes(by_weights: Tensor, positions: Tensor) -> Tensor:
    """Gradients of ``positions`` [..., S] from those of their ``tents_at`` [..., side, S].

    As a position moves up, the weight of the pixel below falls and that of the one above rises.
    """
    below = positions.floor().long()
    both = torch.stack([below, below + 1], -2)
    inside = (both >= 0) & (both < by_weights.shape[-2])
    found = by_weights.gather(-2, both.clamp_(0, by_weights.shape[-2] - 1)) * inside
    return found[..., 1, :] - found[..., 0, :]
