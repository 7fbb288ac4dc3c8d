"""What is left to explain, and where to look at it: the residual, its saliency, looks drawn of it.

Legend: B batch, C channels, H height, K looks at each image, N rows (B, or those of several looks
at each image, one after another), W width, S the longer side, L places for looks along it, w window
side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model.distributions import cumulative_sum
from airkit.model.spatial_transformer import Patches, crop, span


class Peak(NamedTuple):
    """Where a look is placed.

    Attributes:
        centre: (x, y) on [-1, 1], [N, 2].
        height: the greatest saliency of the image, [N]; 0 on an image that is explained.
    """

    centre: Tensor
    height: Tensor


class Blur(NamedTuple):
    """One Gaussian of a saliency: separable, on a grid of cells, L along the longer side.

    Attributes:
        rows: a row of weights for each cell along one axis, [L, S].
        share: what it counts for; negative for a surround that is taken off.
        reach: pixels beyond which its weights are nothing; None for the whole picture.
    """

    rows: Tensor
    share: float = 1.0
    reach: int | None = None

    def __call__(self, ink: Tensor) -> Tensor:
        """Blur images [B, H, W] to cells [B, L H / S, L W / S]."""
        down, along = map(self._within, ink.shape[1:])
        blurred = down @ (ink @ along.t())
        return blurred if self.share == 1 else self.share * blurred

    def add(self, blurred: Tensor, change: Tensor, patches: Patches) -> None:
        """Add to blurred images what a change of patches [B, h, w] adds to them."""
        height, width = patches.shape
        down, along = (
            self._near(line, side)
            for line, side in ((patches.rows, height), (patches.columns, width))
        )
        cells = Patches(down, along, (blurred.shape[1], blurred.shape[2]))
        ours, theirs = (
            self.rows[line[:, :, None], pixels[:, None]]
            for line, pixels in ((down, patches.rows), (along, patches.columns))
        )
        cells.write(
            blurred[:, None],
            cells.read(blurred[:, None]) + self.share * (ours @ change @ theirs.mT)[:, None],
        )

    def _near(self, pixels: Tensor, length: int) -> Tensor:
        """Cells along an axis of ``length`` pixels that some of them [B, h] reach, [B, k]."""
        cells, side = self.rows.shape
        reach = side if self.reach is None else self.reach
        many = math.ceil((pixels.shape[1] + 2 * reach) * cells / side) + 1
        first = ((pixels[:, 0] - reach) * cells).div(side, rounding_mode="floor")
        return span(first, many, math.ceil(length * cells / side))

    def _within(self, length: int) -> Tensor:
        """The weights along an axis of ``length`` pixels."""
        cells, side = self.rows.shape
        return self.rows[: math.ceil(length * cells / side), :length]


class Residual:
    """What the slots so far leave unexplained: each image minus the canvas painted so far.

    It is data to the guide: no gradient flows through it. A guide reads it through ``peak`` and
    ``crop`` and never holds a dense copy.
    """

    def __init__(self, images: Tensor, canvas: Tensor, *, signed: bool = False) -> None:
        """``images`` and ``canvas`` are [B, C, H, W]; ``signed`` where ink may be negative."""
        self._signed = signed
        self._both = torch.cat([images, images - canvas], 1).detach()
        """Image and residual, [B, 2 C, H, W]."""

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """Windows of image and residual, [N, 2 C, w, w].

        Args:
            size: window sides as fractions of S, [N].
            centre: (x, y) on [-1, 1], [N, 2].
            side: w, pixels along a window's side.
        """
        return crop(self._both, size, centre, side)

    def crop_image(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """Windows of the image alone, [N, C, w, w]; arguments as for ``crop``."""
        return crop(self._both.chunk(2, 1)[0], size, centre, side)

    @torch.no_grad()
    def peak(
        self, blurs: Sequence[Blur], mask: Tensor, sharpness: float, look: Tensor | None
    ) -> Peak:
        """Find, or sample, where the blurred unexplained ink is greatest.

        Saliency is the sum of ``blurs`` of ``max(residual, 0) * mask``, at least 0; where
        ink may be negative, of the residual's absolute value; with colours, of the channels' mean.

        Args:
            blurs: Gaussians on the same cells, the first for the centre.
            mask: what may be looked at, 0..1, [B, H, W].
            sharpness: looks are sampled from softmax(sharpness * saliency / peak).
            look: uniform noise to sample with, [N], or None for the peak itself.
        """
        saliency = self._saliency(blurs, mask)
        along, saliency = saliency.shape[2], saliency.flatten(1)
        if look is None:
            height, cell = saliency.max(1)
        else:
            height = saliency.amax(1)
            looks = look.view(len(height), -1)
            cell = _sample_cells(saliency, height, sharpness, looks).flatten()
            height = height.repeat_interleave(looks.shape[1])
        cells = torch.stack([cell % along, cell.div(along, rounding_mode="floor")], 1)
        return Peak((2 * cells.to(mask.dtype) + 1) / len(blurs[0].rows) - 1, height)

    def unexplained(self, mask: Tensor, patches: Patches | None = None) -> Tensor:
        """The ink that may be looked at, of the whole or of patches, [B, H, W] or [B, h, w]."""
        both, mask = self._both, mask[:, None]
        if patches is not None:
            both, mask = patches.read(both), patches.read(mask)
        residual = both.chunk(2, 1)[1]
        ink = residual.abs() if self._signed else residual.clamp(min=0)
        return (ink.mean(1) if ink.shape[1] > 1 else ink[:, 0]).mul_(mask[:, 0])

    def read(self, patches: Patches) -> Tensor:
        """Patches of image and residual, [N, 2 C, h, w]."""
        return patches.read(self._both)

    def _saliency(self, blurs: Sequence[Blur], mask: Tensor) -> Tensor:
        """The saliency of ``peak`` on the blurs' cells, [B, L H / S, L W / S]."""
        seen = self.unexplained(mask)
        return saliency_of([blur(seen) for blur in blurs])


def saliency_of(blurred: Sequence[Tensor]) -> Tensor:
    """The sum of what Gaussians make of an image, at least 0, [B, L H / S, L W / S]."""
    saliency = blurred[0]
    for surround in blurred[1:]:
        saliency = (saliency + surround).clamp_(min=0)
    return saliency


def _sample_cells(saliency: Tensor, peak: Tensor, sharpness: float, look: Tensor) -> Tensor:
    """Sample cells [B, K] from softmax(sharpness * saliency / peak), by inverse distribution.

    A blank image has no peak; every cell is then as likely as another.
    """
    scale = sharpness / peak.clamp(min=1e-6)[:, None]
    mass = cumulative_sum((saliency - peak[:, None]).mul_(scale).exp_())
    cells = torch.searchsorted(mass, look * mass[:, -1:])
    return cells.clamp(max=saliency.shape[1] - 1)
