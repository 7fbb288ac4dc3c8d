"""The spatial transformer (arXiv 1506.02025) for scale and shift: crop windows, paint windows.

A square canvas of side S spans [-1, 1] on both axes, pixel centres at (2 i + 1) / S - 1. A picture
that is not square is the upper left part of the square of its longer side. A pose that only scales
and shifts makes the transform separable, Wy . image . Wx^T, with bilinear weights in each matrix:
what ``affine_grid`` and ``grid_sample`` compute with zeros outside and ``align_corners=False``.

Legend: B batch, C channels, H height, W width, N windows (consecutive ones of an image, as many for
each), S the longer side, w window side, h and w' sides of a patch.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from airkit.system.device import needs_deterministic

Shape = tuple[int, int]
"""Height and width in pixels."""


def shape_of(images: Tensor) -> Shape:
    """Height and width of images [..., H, W]."""
    height, width = images.shape[-2:]
    return height, width


def crop(images: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Read a window off each image: the attention x_att of arXiv 1603.08575, section 3.

    Args:
        images: [B, C, H, W].
        size: window side as a fraction of S, [N].
        centre: (x, y) on [-1, 1], [N, 2].
        side: w, pixels along the window's side.

    Returns:
        Windows [N, C, w, w].
    """
    batch, channels, height, width = images.shape
    points = centre.t()[:, :, None] + size[:, None] * pixel_centres(side, size)  # [2, N, w]
    if not (torch.is_grad_enabled() or needs_deterministic(images)):  # faster; once differentiable
        x, y = on_own_sides(points, (height, width))
        x, y = x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)
        grid = torch.stack([x, y], -1).view(batch, -1, side, 2)
        windows = grid_sample(images, grid, align_corners=False)
        by_image = windows.view(batch, channels, -1, side, side)
        return by_image.transpose(1, 2).flatten(0, 1)
    x, y = (points + 1) * (max(height, width) / 2) - 0.5
    x, y = bilinear_weights(x, width), bilinear_weights(y, height)
    x, y = (each.view(batch, -1, 1, *each.shape[1:]) for each in (x, y))
    windows = y @ images[:, None] @ x.mT
    return windows.flatten(0, 1)


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
        windows: [N, C, w, w].
        size: window side as a fraction of S, [N].
        centre: (x, y) on [-1, 1], [N, 2].
        canvas: S of a square canvas, or H and W.

    Returns:
        Canvases [N, C, H, W].
    """
    height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    pixels = pixel_centres(max(height, width), size)
    return paint_at(windows, size, centre, pixels[:height], pixels[:width])


def paint_at(windows: Tensor, size: Tensor, centre: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """``paint`` of the pixels whose centres, on [-1, 1], are ``y`` [H] or [N, H] and ``x``."""
    side = windows.shape[-1]
    places = ((centre[:, 1:], y), (centre[:, :1], x))
    points = [(pixels - middle) / size[:, None] for middle, pixels in places]
    down, along = (bilinear_weights((each + 1) * (side / 2) - 0.5, side) for each in points)
    painted: Tensor = down[:, None] @ windows @ along[:, None].mT
    return painted


class Patches(NamedTuple):
    """Rectangular parts of images, all h pixels high and w' wide.

    Attributes:
        rows: indices of each patch's rows of pixels, [N, h].
        columns: indices of its columns, [N, w'].
        shape: H and W of the images.
    """

    rows: Tensor
    columns: Tensor
    shape: Shape

    @classmethod
    def around(cls, size: Tensor, centre: Tensor, shape: Shape, window: int) -> Self:
        """The smallest patches that hold all that windows of ``window`` pixels paint.

        Args:
            size: window sides as fractions of S, [N].
            centre: (x, y) on [-1, 1], [N, 2].
            shape: H and W.
            window: w; a window paints half of its pixels' pitch beyond its side.
        """
        half = size.amax().nan_to_num(1.0).clamp(max=1.0) * (max(shape) / 2 * (1 + 1 / window))
        reach = math.ceil(half.item())
        x, y = ((centre + 1) * (max(shape) / 2)).nan_to_num(0.0).floor().long().unbind(1)
        rows, columns = (
            span(middle - reach, 2 * reach + 1, side)
            for middle, side in zip((y, x), shape, strict=True)
        )
        return cls(rows, columns, shape)

    def wider(self, by: int) -> Patches:
        """Patches with ``by`` more pixels on each side, as far as images go."""
        rows, columns = (
            span(line[:, 0] - by, line.shape[1] + 2 * by, side)
            for line, side in zip(self[:2], self.shape, strict=True)
        )
        return Patches(rows, columns, self.shape)

    def of(self, index: Tensor) -> Patches:
        """The patches at ``index``."""
        return Patches(self.rows[index], self.columns[index], self.shape)

    def offset(self, centre: Tensor) -> Tensor:
        """From the canvas's corner to those of the patches, (x, y), for ``centre`` [N, 2], [N, 2].

        A canvas is 2 long. N / B consecutive rows belong to each of B patches.
        """
        corner = torch.stack([self.columns[:, 0], self.rows[:, 0]], 1).to(centre)
        return (corner * (2 / max(self.shape))).repeat_interleave(len(centre) // len(corner), 0)

    def paint(self, windows: Tensor, size: Tensor, centre: Tensor) -> Tensor:
        """What ``paint`` paints here, [N, C, h, w']."""
        pixels = pixel_centres(max(self.shape), size)
        return paint_at(windows, size, centre, pixels[self.rows], pixels[self.columns])

    def read(self, images: Tensor) -> Tensor:
        """The patches of images [B, C, H, W], [N, C, h, w']."""
        index, (batch, channels) = self._index(images), images.shape[:2]
        read = images.flatten(2).gather(2, index)
        by_image = read.view(batch, channels, -1, self.rows.shape[1], self.columns.shape[1])
        return by_image.transpose(1, 2).flatten(0, 1)

    def write(self, images: Tensor, values: Tensor) -> None:
        """Put values [B, C, h, w'] into images [B, C, H, W], one patch each."""
        images.view(*images.shape[:2], -1).scatter_(2, self._index(images), values.flatten(2))

    def _index(self, images: Tensor) -> Tensor:
        """Flat indices of the pixels of each image's patches, [B, C, N / B h w']."""
        index = self.rows[:, :, None] * self.shape[1] + self.columns[:, None]
        return index.view(len(images), 1, -1).expand(-1, images.shape[1], -1)


def span(start: Tensor, length: int, side: int) -> Tensor:
    """Indices of ``length`` consecutive pixels of a line of ``side`` pixels, [N, L].

    Args:
        start: the first index of each row, [N]; a row that would leave the line is moved inside.
        length: L, cut to ``side``.
        side: how many pixels the line has.
    """
    length = min(length, side)
    return start.clamp(0, side - length)[:, None] + torch.arange(length, device=start.device)


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
    if like is None:
        return _pixel_centres(side, torch.float32, torch.device("cpu"))
    return _pixel_centres(side, like.dtype, like.device)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # a tensor made in inference mode could not be trained with
def _pixel_centres(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return (2 * torch.arange(side, dtype=dtype, device=device) + 1) / side - 1
