"""The spatial transformer: crop windows off images, and paint windows onto canvases.

A canvas spans [-1, 1] on both axes, pixel centres at (2 i + 1) / H - 1. Transforms only scale
and shift, so that each is two products, Wy . image . Wx^T, with bilinear ("tent") weights: what
``affine_grid`` and ``grid_sample`` compute (zeros outside, ``align_corners=False``). Windows are
painted so; they are cropped by ``grid_sample`` itself where that is as good and faster. Gradients
are written out, as a tent's slope is 1 or -1 and images have none.

Legend: B batch, C channels, H canvas side, W window side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from airkit.model.tape import Known, afresh

Images = Sequence[Tensor]
"""Images [B, C, H, H] in parts of equal length along B, which need not lie side by side."""

BILINEAR = 0, 0, False
"""Bilinear, zeros outside, ``align_corners=False``, as ``torch.grid_sampler_2d`` numbers them."""


def pixel_centres(side: int, like: Tensor | None = None) -> Tensor:
    """Centres of ``side`` pixels on [-1, 1], as [side], with the dtype and device of ``like``."""
    if like is None:
        return (2 * torch.arange(side) + 1) / side - 1
    return _pixel_centres(side, like.dtype, like.device)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # or what is made during an evaluation could not be trained with
def _pixel_centres(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return (2 * torch.arange(side, dtype=dtype, device=device) + 1) / side - 1


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _numbers(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0, 1, 2 ..., [count]."""
    return torch.arange(count, dtype=dtype, device=device)


def crop(images: Images, size: Tensor, centre: Tensor, side: int, known: Known = afresh) -> Tensor:
    """Read a window off each image.

    Args:
        images: [B, C, H, H] in parts of equal length along B; data, to which no gradient flows.
        size: [B], window side as a fraction of the image's.
        centre: [B, 2], (x, y) on [-1, 1].
        side: W, pixels along the window's side.
        known: where to have the result from, if it was computed before.

    Returns:
        Windows [B, C, W, W].
    """
    pose = size, centre
    if has_torch_function(pose):
        return handle_torch_function(crop, pose, images, *pose, side, known)
    how = _Tents if _needs_tents(images[0]) else _Grid
    sizes, centres = (each.chunk(len(images)) for each in pose)
    parts = zip(images, sizes, centres, strict=True)
    (windows,) = known(lambda: (_joined([how.read(*part, side) for part in parts]),))
    cropped: Tensor = _Crop.apply(how, *pose, windows, *images)  # type: ignore[no-untyped-call]
    return cropped


def paint(
    windows: Tensor, size: Tensor, centre: Tensor, side: int, known: Known = afresh
) -> Tensor:
    """Place each window [B, W, W] on an empty canvas [B, H, H]; the inverse pose of ``crop``.

    Args:
        windows: [B, W, W].
        size: [B], window side as a fraction of the canvas's.
        centre: [B, 2], (x, y) on [-1, 1].
        side: H, pixels along the canvas's side.
        known: where to have the result from, if it was computed before.
    """
    given = windows, size, centre
    if has_torch_function(given):
        return handle_torch_function(paint, given, *given, side, known)
    (spread,) = known(lambda: (spread_along_x(*given, side),))
    canvas: Tensor = _Paint.apply(*given, spread)  # type: ignore[no-untyped-call]
    return canvas


def tent(pixels: Tensor, side: int) -> Tensor:
    """Weights that read points off a line of ``side`` pixels, [..., side].

    A row has one or two that are not zero; they sum to one inside, and fade to zero within a pixel
    outside.

    Args:
        pixels: where the points are, in pixels from the first, [...].
        side: how many pixels there are.
    """
    distance = pixels[..., None] - _numbers(side, pixels.dtype, pixels.device)
    return (1 - distance.abs_()).clamp_(min=0)


def _slopes(by_weights: Tensor, pixels: Tensor) -> Tensor:
    """From gradients of ``tent``'s weights [..., side] to those of its ``pixels`` [...].

    As a point moves up, the weight of the pixel below it falls and that of the one above rises.
    """
    below = pixels.floor().long()
    both = torch.stack([below, below + 1], -1)
    inside = (both >= 0) & (both < by_weights.shape[-1])
    found = by_weights.gather(-1, both.clamp_(0, by_weights.shape[-1] - 1)) * inside
    return found[..., 1] - found[..., 0]


def _on_window(size: Tensor, centre: Tensor, window: int, side: int) -> Tensor:
    """Where a canvas's pixels lie on the window, in pixels, x and y, as [2, B, H]."""
    scale = (window / 2) / size
    shift = (window / 2 - 0.5) - centre.t() * scale
    return torch.addcmul(shift[:, :, None], scale[:, None], pixel_centres(side, size))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Rows of several parts as one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _needs_tents(images: Tensor) -> bool:
    """Whether ``grid_sample`` is no choice: not had, or its gradient not the same each time."""
    if images.is_cuda:
        return torch.are_deterministic_algorithms_enabled()
    return not images.is_cpu


class _Grid:
    """Cropping by ``grid_sample``."""

    @staticmethod
    def read(images: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``crop``."""
        return torch.grid_sampler_2d(images, _Grid.grid(size, centre, side), *BILINEAR)

    @staticmethod
    def gradient(
        grad: Tensor, images: Tensor, size: Tensor, centre: Tensor
    ) -> tuple[Tensor, Tensor]:
        """By how much where columns and rows are read matters, x and y on [-1, 1], [B, W] each."""
        grid = _Grid.grid(size, centre, grad.shape[-1])
        _, by_grid = torch.ops.aten.grid_sampler_2d_backward(
            grad.contiguous(), images, grid, *BILINEAR, [False, True]
        )
        return by_grid[..., 0].sum(1), by_grid[..., 1].sum(2)

    @staticmethod
    def grid(size: Tensor, centre: Tensor, side: int) -> Tensor:
        """Where windows are read off, (x, y), [B, W, W, 2]."""
        x, y = torch.addcmul(
            centre.t()[:, :, None], size[:, None], pixel_centres(side, size)
        ).unbind()
        return torch.view_as_real(torch.complex(x[:, None], y[:, :, None]))


class _Tents:
    """Cropping by two products, which is slower, but the same each time on every device."""

    @staticmethod
    def read(images: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``crop``."""
        x, y = (
            tent(each, images.shape[-1])[:, None]
            for each in _Tents.pixels(images, size, centre, side)
        )
        return y @ images @ x.transpose(2, 3)

    @staticmethod
    def gradient(
        grad: Tensor, images: Tensor, size: Tensor, centre: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``_Grid.gradient``."""
        height = images.shape[-1]
        x, y = pixels = _Tents.pixels(images, size, centre, grad.shape[-1])
        columns, rows = tent(pixels, height)[:, :, None]
        by_x = (grad.transpose(2, 3) @ rows @ images).sum(1)
        by_y = (grad @ columns @ images.transpose(2, 3)).sum(1)
        return (
            _slopes(by_x, x) * (height / 2),
            _slopes(by_y, y) * (height / 2),
        )

    @staticmethod
    def pixels(images: Tensor, size: Tensor, centre: Tensor, window: int) -> Tensor:
        """Where windows are read off, in pixels, x and y, as [2, B, W]."""
        places = size[:, None] * pixel_centres(window, size) + centre.t()[:, :, None]
        return (places + 1) * (images.shape[-1] / 2) - 0.5


class _Crop(torch.autograd.Function):
    """The gradient of ``crop`` with respect to size and centre."""

    @staticmethod
    def forward(
        ctx: Any, how: Any, size: Tensor, centre: Tensor, windows: Tensor, *images: Tensor
    ) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(size, centre, *images)
        return windows

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        size, centre, *images = ctx.saved_tensors
        parts = (each.chunk(len(images)) for each in (size, centre))
        by_x, by_y = map(
            _joined,
            zip(*map(ctx.how.gradient, grad.chunk(len(images)), images, *parts), strict=True),
        )
        by_size = (by_x + by_y) @ pixel_centres(grad.shape[-1], size)
        by_centre = torch.stack([by_x.sum(1), by_y.sum(1)], 1)
        return None, by_size, by_centre, None, *[None] * len(images)


def spread_along_x(windows: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """The first half of painting: windows [B, W, W] spread along the canvas's x, [B, W, H]."""
    x, _ = _on_window(size, centre, windows.shape[1], side)
    return windows @ tent(x, windows.shape[1]).transpose(1, 2)


class _Paint(torch.autograd.Function):
    """The second half of painting, and the gradient of all of it."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, size: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
        ctx.save_for_backward(windows, size, centre, spread)
        _, y = _on_window(size, centre, *spread.shape[1:])
        return tent(y, windows.shape[1]) @ spread

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *paint_gradient(grad, *ctx.saved_tensors), None


def paint_gradient(
    grad: Tensor, windows: Tensor, size: Tensor, centre: Tensor, spread: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """From gradients of canvases [B, H, H] to those of windows, size and centre.

    Args:
        grad: gradients of what ``paint`` gave.
        windows: what it was given, [B, W, W].
        size: [B].
        centre: [B, 2].
        spread: ``spread_along_x`` of these.
    """
    window, side = spread.shape[1:]
    pixels = _on_window(size, centre, window, side)
    columns, rows = tent(pixels, window)
    by_spread = rows.transpose(1, 2) @ grad
    by_tents = by_spread.transpose(1, 2) @ windows, grad @ spread.transpose(1, 2)
    # pixels = ((place - centre) / size + 1) W / 2 - 1 / 2
    by_places = _slopes(torch.stack(by_tents), pixels) * (window / 2) / size[:, None]
    places = (pixel_centres(side, size) - centre.t()[:, :, None]) / size[:, None]
    return by_spread @ columns, -(by_places * places).sum((0, 2)), -by_places.sum(2).t()
