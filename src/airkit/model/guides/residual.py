"""The residual of an image, its saliency, and looks at its peak or sampled from it.

Legend: B batch, C channels, H height, K looks at each image, N rows (B, or B K where K consecutive
rows are looks at one image), W width, S the longer side, L cells along it, w window side, h and w'
sides of a patch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model.distributions import cumulative_sum
from airkit.model.spatial_transformer import Patches, crop, shape_of, span


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
        rows: the weights of the S pixels of a line for each cell, [L, S].
        share: its factor in the saliency, negative for a surround.
        reach: pixels beyond which weights are negligible; None if they are not.
    """

    rows: Tensor
    share: float = 1.0
    reach: int | None = None

    def __call__(self, ink: Tensor) -> Tensor:
        """Blur images [B, H, W] to cells [B, L H / S, L W / S]."""
        down, along = map(self._within, ink.shape[1:])
        blurred = down @ (ink @ along.t())
        return blurred if self.share == 1 else self.share * blurred

    def of_patches(self, ink: Tensor, patches: Patches) -> Tensor:
        """Blur images that are 0 outside a patch each, with ``ink`` [B, h, w'] in it, to cells."""
        down, along = (len(self._within(length)) for length in patches.shape)
        blurred = ink.new_zeros(len(ink), down, along)
        self.add(blurred, ink, patches)
        return blurred

    def add(self, blurred: Tensor, change: Tensor, patches: Patches) -> None:
        """Add the blur of a ``change`` [B, h, w'] in patches of images to ``blurred``, in place."""
        height, width = patches.shape
        rows = self._cells_near(patches.rows, height)
        columns = self._cells_near(patches.columns, width)
        down = self.rows[rows[:, :, None], patches.rows[:, None]]
        along = self.rows[columns[:, :, None], patches.columns[:, None]]
        cells, channel = Patches(rows, columns, shape_of(blurred)), blurred[:, None]
        added = self.share * (down @ change @ along.mT)[:, None]
        cells.write(channel, cells.read(channel) + added)

    def _cells_near(self, pixels: Tensor, length: int) -> Tensor:
        """Cells, on an axis of ``length`` pixels, within reach of some pixels [B, h]; [B, k]."""
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

    No gradient flows to its pixels. A guide reads it by ``peak``, ``crop`` and ``crop_image``.
    """

    def __init__(
        self,
        images: Tensor,
        canvas: Tensor,
        *,
        signed: bool = False,
        local: LocalSaliency | None = None,
    ) -> None:
        """Subtract ``canvas`` from ``images``, [B, C, H, W]; ``signed`` where ink may be negative.

        ``local`` is the saliency of a residual that changes in patches, by ``write``.
        """
        self._signed, self._local = signed, local
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
            mask: factor of each pixel's ink, 0 where nothing may be looked at, [B, H, W].
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
            cell = sample_cells(self._mass(saliency, height, sharpness), looks).flatten()
            height = height.repeat_interleave(looks.shape[1])
        cells = torch.stack([cell % along, cell.div(along, rounding_mode="floor")], 1)
        return Peak((2 * cells.to(mask.dtype) + 1) / len(blurs[0].rows) - 1, height)

    def height(
        self, blurs: Sequence[Blur], mask: Tensor, patches: Patches, inside: Tensor
    ) -> Tensor:
        """The greatest saliency of images that are blank outside a patch each, [B].

        Args:
            blurs: as for ``peak``.
            mask: as for ``peak``.
            patches: one of each image.
            inside: factor of each pixel's ink in its patch, [B, h, w'].
        """
        seen = self.unexplained(mask, patches) * inside
        return saliency_of([blur.of_patches(seen, patches) for blur in blurs]).amax((1, 2))

    def unexplained(self, mask: Tensor, patches: Patches | None = None) -> Tensor:
        """Unexplained ink times the mask: of all pixels [B, H, W], or in patches [B, h, w']."""
        both, mask = self._both, mask[:, None]
        if patches is not None:
            both, mask = patches.read(both), patches.read(mask)
        residual = both.chunk(2, 1)[1]
        ink = residual.abs() if self._signed else residual.clamp(min=0)
        return (ink.mean(1) if ink.shape[1] > 1 else ink[:, 0]).mul_(mask[:, 0])

    def read(self, patches: Patches) -> Tensor:
        """Patches of image and residual, [N, 2 C, h, w']."""
        return patches.read(self._both)

    def write(self, patches: Patches, left: Tensor) -> None:
        """Set the residual in patches to ``left``, [B, C, h, w']."""
        patches.write(self._both.chunk(2, 1)[1], left)
        if self._local is not None:
            self._local.changed(patches)

    def rows(self, index: Tensor) -> Residual:
        """The residuals of the images at ``index``."""
        some = copy(self)
        some._both = self._both[index]
        some._local = None if self._local is None else self._local.rows(index)
        return some

    @staticmethod
    def _mass(saliency: Tensor, peak: Tensor, sharpness: float) -> Tensor:
        """How likely looks at each cell are, up to a factor, [B, cells].

        exp(sharpness * saliency / peak); an image without a peak has all cells alike.
        """
        scale = sharpness / peak.clamp(min=1e-6)[:, None]
        return (saliency - peak[:, None]).mul_(scale).exp_()

    def _saliency(self, blurs: Sequence[Blur], mask: Tensor) -> Tensor:
        """The saliency of ``peak`` on the blurs' cells, [B, L H / S, L W / S]."""
        if self._local is not None:
            return self._local.of(self, blurs, mask)
        seen = self.unexplained(mask)
        return saliency_of([blur(seen) for blur in blurs])


class RegionResidual(Residual):
    """The residual in a part of each image; sizes and centres stay those on all of the canvas.

    Looks are sampled in proportion to the saliency, so that they begin at all that is unexplained.
    """

    def __init__(self, images: Tensor, canvas: Tensor, patches: Patches, *, signed: bool) -> None:
        """Of parts [B, C, h, w'] of images and canvases, which are at ``patches``."""
        super().__init__(images, canvas, signed=signed)
        self._patches = patches

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop``."""
        return super().crop(*self._inside(size, centre), side)

    def crop_image(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop_image``."""
        return super().crop_image(*self._inside(size, centre), side)

    def peak(
        self, blurs: Sequence[Blur], mask: Tensor, sharpness: float, look: Tensor | None
    ) -> Peak:
        """See ``Residual.peak``."""
        centre, height = super().peak(blurs, mask, sharpness, look)
        return Peak(centre + self._patches.offset(centre), height)

    @staticmethod
    def _mass(saliency: Tensor, peak: Tensor, sharpness: float) -> Tensor:
        del peak, sharpness
        return saliency

    def _inside(self, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Sizes and centres as if the part was all of the canvas."""
        scale = max(self._patches.shape) / max(shape_of(self._both))
        centre = centre - self._patches.offset(centre)
        return size * scale, (centre + 1) * scale - 1


class LocalSaliency:
    """The saliency of a residual that changes in patches: computed once, then updated there."""

    def __init__(self, edge: int) -> None:
        """``edge`` is that of the guide (``Guide.edge``)."""
        self._edge, self._changed = edge, list[Patches]()
        self._seen: Tensor | None = None
        self._blurred: list[Tensor] = []

    def changed(self, patches: Patches) -> None:
        """Note that windows were painted in ``patches`` [B, ...]; ``of`` catches up."""
        self._changed.append(patches.wider(self._edge))

    def rows(self, index: Tensor) -> LocalSaliency:
        """The saliency of the images at ``index``."""
        some = LocalSaliency(self._edge)
        some._changed = [patches.of(index) for patches in self._changed]
        some._seen = None if self._seen is None else self._seen[index]
        some._blurred = [blurred[index] for blurred in self._blurred]
        return some

    def of(self, residual: Residual, blurs: Sequence[Blur], mask: Tensor) -> Tensor:
        """The saliency of ``residual`` as it is now; see ``Residual.peak``."""
        if self._seen is None:
            self._seen = residual.unexplained(mask)
            self._blurred = [blur(self._seen) for blur in blurs]
        for patches in self._changed:
            self._update(self._seen[:, None], residual, blurs, mask, patches)
        self._changed = []
        return saliency_of(self._blurred)

    def _update(
        self,
        seen: Tensor,
        residual: Residual,
        blurs: Sequence[Blur],
        mask: Tensor,
        patches: Patches,
    ) -> None:
        now = residual.unexplained(mask, patches)
        change = now - patches.read(seen)[:, 0]
        patches.write(seen, now[:, None])
        for blur, blurred in zip(blurs, self._blurred, strict=True):
            blur.add(blurred, change, patches)


def saliency_of(blurred: Sequence[Tensor]) -> Tensor:
    """The sum of an image's blurs, at least 0, [B, L H / S, L W / S]."""
    saliency = blurred[0]
    for surround in blurred[1:]:
        saliency = (saliency + surround).clamp_(min=0)
    return saliency


def sample_cells(mass: Tensor, look: Tensor) -> Tensor:
    """Cells [B, K] drawn in proportion to ``mass`` [B, cells] by uniform noise ``look`` [B, K].

    By inversion of the cumulative distribution.
    """
    mass = cumulative_sum(mass)
    cells = torch.searchsorted(mass, look * mass[:, -1:])
    return cells.clamp(max=mass.shape[1] - 1)
