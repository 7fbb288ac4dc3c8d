"""Painting large pictures in the training pass: ``fast_transformer``, around each window alone.

Canvas n differs from the one before it in a patch alone, where the squared error changes too. The
gradient by canvas n is c_n r_n outside of later patches: r_n is the residual, and c_n the sum of
the weights of the squared errors of all canvases from n on. Inside of them, ``later`` is added.

Legend: B batch, C channels, H height, W width, S the longer side, N rows (B, or T * B slot after
slot), P channels of a window (C, and a mask where objects occlude each other), T slots, h and w'
sides of a patch, w window side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, bmm

from airkit.model.fast_transformer import (
    Axes,
    Windows,
    bilinear_at,
    columns,
    first_order,
    paint_gradient,
    slopes,
)
from airkit.model.spatial_transformer import Patches, Shape, pixel_centres, shape_of


class Painted(NamedTuple):
    """What the gradient needs of one slot that was painted in patches.

    Attributes:
        x: bilinear weights along a patch's columns, [B, w, w'].
        y: bilinear weights along its rows, [B, w, h].
        half_painted: windows painted along y, x first, [B, w, P h].
        mask: masks painted, [B, 1, h, w']; None where objects do not occlude each other.
        rows: the rows of ``Patches``.
        columns: its columns.
    """

    x: Tensor
    y: Tensor
    half_painted: Tensor
    mask: Tensor | None
    rows: Tensor
    columns: Tensor

    def patches(self, shape: Shape) -> Patches:
        """Where it was painted, on images of ``shape``."""
        return Patches(self.rows, self.columns, shape)


def add(residuals: Tensor, slot: int, windows: Tensor, size: Tensor, centre: Tensor) -> Painted:
    """See ``fast_transformer.add``."""
    patches = Patches.around(size, centre, shape_of(residuals), windows.shape[-1])
    window = windows.shape[-1]
    places = _places(patches, size, centre)
    x, y = (bilinear_at(each, window) for each in _positions(places, window))
    half_painted = bmm(columns(windows), y).view(len(windows), window, -1)
    painted = bmm(half_painted.mT, x).view(len(windows), -1, y.shape[2], x.shape[2])
    before, mask = patches.read(residuals[slot]), None
    if windows.shape[1] > residuals.shape[2]:
        mask, painted = painted[:, -1:], painted[:, :-1]
        before = before.lerp(patches.read(residuals[0]), mask)
    residuals[slot + 1] = residuals[slot]
    patches.write(residuals[slot + 1], before - painted)
    return Painted(x, y, half_painted, mask, patches.rows, patches.columns)


def errors(residuals: Tensor, painted: Sequence[Painted], ink: Tensor, windows: Windows) -> Tensor:
    """See ``fast_transformer.errors``."""
    found: Tensor = _Errors.apply(residuals, painted, ink, *windows)  # type: ignore[no-untyped-call]
    return found


class _Errors(torch.autograd.Function):
    """See ``fast_transformer``."""

    @staticmethod
    def forward(
        ctx: Any, residuals: Tensor, painted: Sequence[Painted], ink: Tensor, *windows: Tensor
    ) -> Tensor:
        del ink  # its gradient is that of the residuals
        ctx.save_for_backward(residuals, *windows, *chain(*painted))
        found = [residuals[0].square().sum((1, 2, 3))]
        for slot, each in enumerate(painted):
            patches = each.patches(shape_of(residuals))
            before, after = (patches.read(levels) for levels in residuals[slot : slot + 2])
            found.append(found[-1] + (after.square() - before.square()).sum((1, 2, 3)))
        return torch.stack(found, 1)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        residuals, size, centre, windows, *saved = ctx.saved_tensors
        painted = [Painted(*saved[first : first + 6]) for first in range(0, len(saved), 6)]
        batch, weights = residuals.shape[1], (-2 * grad).t()[:, :, None, None, None]
        grad_ink = -(weights * residuals).sum(0) if ctx.needs_input_grad[2] else None
        onward = weights.flip(0).cumsum(0).flip(0)
        later, grad_windows = torch.zeros_like(residuals[0]), torch.empty_like(windows)
        grad_size, grad_centre = torch.empty_like(size), torch.empty_like(centre)
        for slot in reversed(range(len(residuals) - 1)):
            chosen = slice(slot * batch, (slot + 1) * batch)
            x, y, half_painted, mask, *_ = painted[slot]
            patches = painted[slot].patches(shape_of(residuals))
            before, after = (patches.read(each) for each in residuals[slot : slot + 2])
            grad_painted_ink = patches.read(later).addcmul_(onward[slot + 1], after)
            grad_painted = grad_canvas = grad_painted_ink
            if mask is not None:  # which hides the canvas before, the image less the residual
                hidden = (before - patches.read(residuals[0])).mul_(grad_painted_ink)
                grad_painted = torch.cat([grad_painted_ink, hidden.sum(1, keepdim=True)], 1)
                grad_canvas = torch.addcmul(grad_painted_ink, grad_painted_ink, mask, value=-1)
            patches.write(later, torch.addcmul(grad_canvas, onward[slot + 1], before, value=-1))
            grad_bilinear = torch.empty_like(x), torch.empty_like(y)
            grad_windows[chosen] = paint_gradient(
                grad_painted, windows[chosen], half_painted, (x, y), grad_bilinear
            )
            grad_size[chosen], grad_centre[chosen] = _pose_gradient(
                grad_bilinear, patches, windows.shape[-1], size[chosen], centre[chosen]
            )
        return None, None, grad_ink, grad_size, grad_centre, grad_windows


def _positions(places: list[Tensor], window: int) -> list[Tensor]:
    """Places on [-1, 1] of a window as pixels of it."""
    return [(each + 1) * (window / 2) - 0.5 for each in places]


def _places(patches: Patches, size: Tensor, centre: Tensor) -> list[Tensor]:
    """Where a patch's columns and rows lie on the window, on [-1, 1], [B, w'] and [B, h]."""
    pixels = pixel_centres(max(patches.shape), size)
    lines = zip((patches.columns, patches.rows), centre.unbind(1), strict=True)
    return [(pixels[line] - middle[:, None]) / size[:, None] for line, middle in lines]


def _pose_gradient(
    grad_bilinear: Axes, patches: Patches, window: int, size: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of size [B] and centre [B, 2] from those of a patch's bilinear weights."""
    places, scale = _places(patches, size, centre), window / 2 / size[:, None]
    pairs = zip(grad_bilinear, _positions(places, window), strict=True)
    grad_places = [slopes(*each) * scale for each in pairs]
    grad_size = [(by * place).sum(1) for by, place in zip(grad_places, places, strict=True)]
    return -(grad_size[0] + grad_size[1]), -torch.stack([each.sum(1) for each in grad_places], 1)
