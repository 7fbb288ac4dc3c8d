"""The likelihood: pixels are normal around the canvas.

Legend: B batch, T slots, H canvas side.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from airkit.model.spatial_transformer import paint_gradient, spread_along_x
from airkit.model.tape import Known, afresh


def log_likelihood(error: Tensor, pixels: int, sd: float) -> Tensor:
    """Log density in nats of images at squared distances ``error`` from their canvases.

    Args:
        error: sums over all pixels, any shape.
        pixels: how many pixels an image has.
        sd: of each.
    """
    return -error / (2 * sd**2) - pixels * (math.log(sd) + 0.5 * math.log(2 * math.pi))


def squared_errors(residuals: Tensor) -> Tensor:
    """Sums of squares of residuals [N, B, H, H], as [B, N]."""
    norms: Tensor = torch.linalg.vector_norm(residuals, dim=(2, 3))
    return norms.square().t()


def painted_errors(
    windows: Tensor, size: Tensor, centre: Tensor, residuals: Tensor, known: Known = afresh
) -> Tensor:
    """``squared_errors`` as a function of the windows that were painted.

    Args:
        windows: decoded windows of all slots, slot after slot, [T . B, W, W].
        size: [T . B], fractions of the canvas.
        centre: [T . B, 2], (x, y) on [-1, 1].
        residuals: images less the first n of them as painted, n = 0..T, [T + 1, B, H, H].
        known: where to have what ``paint`` made of them from.

    Returns:
        Squared errors [B, T + 1].
    """
    given, side = (windows, size, centre), residuals.shape[-1]
    (spread,) = known(lambda: (spread_along_x(*given, side),))
    errors: Tensor = _PaintedErrors.apply(residuals, *given, spread)  # type: ignore[no-untyped-call]
    return errors


class _PaintedErrors(torch.autograd.Function):
    """Object t is in all canvases from n = t on, so that gradients add up from the last back."""

    @staticmethod
    def forward(ctx: Any, residuals: Tensor, *painted: Tensor) -> Tensor:
        ctx.save_for_backward(residuals, *painted)
        return squared_errors(residuals)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        residuals, *given = ctx.saved_tensors
        weights = (-2 * grad).t()[:, :, None, None]
        by_painted = residuals.new_empty(residuals[1:].shape)
        torch.mul(residuals[-1], weights[-1], out=by_painted[-1])
        for slot in reversed(range(len(by_painted) - 1)):
            later, residual = by_painted[slot + 1], residuals[slot + 1]
            torch.addcmul(later, residual, weights[slot + 1], out=by_painted[slot])
        return None, *paint_gradient(by_painted.flatten(0, 1), *given), None
