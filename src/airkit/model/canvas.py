"""The canvas on which objects are painted one after another, and the residual that it leaves.

``Canvas`` is painted whole, and gradients flow through it. ``LocalCanvas`` has the same numbers
without gradients, and touches only the pixels around the window that is painted: on a picture much
larger than its objects, an object then takes no longer than on a small one. ``RegionCanvas`` is a
part of each canvas, for a search of that part alone.

Legend: B batch, C channels, H height, W width, K windows of an image, N = B K rows (K consecutive
ones of an image), P channels of a window (C, and a mask where objects occlude each other), S the
longer side, w window side, h and w' sides of a patch.
"""

from __future__ import annotations

from copy import copy
from typing import Self

from torch import Tensor

from airkit.model.guides.residual import LocalSaliency, RegionResidual, Residual
from airkit.model.spatial_transformer import Patches, paint, shape_of
from airkit.model.tuples import rows


class Canvas:
    """A canvas that is painted whole.

    Attributes:
        ink: what is to be explained, [B, C, H, W].
        error: squared error of the canvas so far, summed over pixels and channels, [B].
    """

    def __init__(self, ink: Tensor, *, signed: bool) -> None:
        """Begin with a blank canvas for ``ink``; ``signed`` where that may be negative."""
        self.ink, self._signed = ink, signed
        self._painted = ink.new_zeros(()).expand_as(ink)
        self.error = _squared_norm(ink)

    def residual(self) -> Residual:
        """What the objects so far leave unexplained."""
        return Residual(self.ink, self._painted, signed=self._signed)

    def add(self, windows: Tensor, size: Tensor, centre: Tensor) -> None:
        """Paint one more object on each canvas.

        Args:
            windows: ink, and the mask of objects that occlude each other, [B, P, w, w].
            size: window sides as fractions of S, [B].
            centre: (x, y) on [-1, 1], [B, 2].
        """
        self._painted = compose(self._painted, paint(windows, size, centre, shape_of(self.ink)))
        self.error = _squared_norm(self.ink - self._painted)

    def rows(self, index: Tensor) -> Self:
        """The canvases of the images at ``index`` [M]."""
        some = copy(self)
        some.ink, some._painted, some.error = rows((self.ink, self._painted, self.error), index)
        return some

    def error_change(self, windows: Tensor, size: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """What each object, painted alone, would do to the squared error.

        Arguments are as for ``add``, [N, ...].

        Returns:
            By how much the error would fall, and what would be left of it where the object paints,
            [N] each.
        """
        patches, ink, before = self._around(windows, size, centre)
        painted = patches.paint(windows, size, centre)
        left = (ink - compose(before, painted)).square()
        gain = ((ink - before).square() - left).sum((1, 2, 3))
        return gain, (left * cover(painted, ink.shape[1])[:, None]).sum((1, 2, 3))

    def _around(
        self, windows: Tensor, size: Tensor, centre: Tensor
    ) -> tuple[Patches, Tensor, Tensor]:
        """The patches that windows paint, and the ink and the canvas there, [N, C, h, w']."""
        patches = Patches.around(size, centre, shape_of(self.ink), windows.shape[-1])
        return patches, *self._read(patches)

    def _read(self, patches: Patches) -> tuple[Tensor, Tensor]:
        """The ink and the canvas in patches, [N, C, h, w'] each."""
        return patches.read(self.ink), patches.read(self._painted)


class LocalCanvas(Canvas):
    """A canvas of which only the pixels around a window are touched; see ``Canvas``."""

    def __init__(self, ink: Tensor, *, signed: bool, edge: int) -> None:
        """As ``Canvas``; ``edge`` is that of the guide (``Guide.edge``)."""
        super().__init__(ink, signed=signed)
        local = LocalSaliency(edge)
        self._residual = Residual(ink, self._painted, signed=signed, local=local)

    def residual(self) -> Residual:
        """See ``Canvas.residual``; the same object, which changes as objects are added."""
        return self._residual

    def add(self, windows: Tensor, size: Tensor, centre: Tensor) -> None:
        """See ``Canvas.add``."""
        patches, ink, before = self._around(windows, size, centre)
        after = compose(before, patches.paint(windows, size, centre))
        self.error = self.error + _squared_norm(ink - after) - _squared_norm(ink - before)
        self._residual.write(patches, ink - after)

    def rows(self, index: Tensor) -> Self:
        """See ``Canvas.rows``."""
        some = super().rows(index)
        some._residual = self._residual.rows(index)
        return some

    def _read(self, patches: Patches) -> tuple[Tensor, Tensor]:
        """See ``Canvas._read``."""
        ink, left = self._residual.read(patches).chunk(2, 1)
        return ink, ink - left


class RegionCanvas(Canvas):
    """A part of each canvas, painted whole; sizes and centres stay those on all of the canvas."""

    def __init__(self, ink: Tensor, patches: Patches, *, signed: bool) -> None:
        """The parts of ``ink`` [B, C, H, W] at ``patches``, one of each image."""
        super().__init__(patches.read(ink), signed=signed)
        self.patches = patches

    def residual(self) -> Residual:
        """See ``Canvas.residual``."""
        return RegionResidual(self.ink, self._painted, self.patches, signed=self._signed)

    def add(self, windows: Tensor, size: Tensor, centre: Tensor) -> None:
        """See ``Canvas.add``."""
        self._painted = compose(self._painted, self.patches.paint(windows, size, centre))
        self.error = _squared_norm(self.ink - self._painted)

    def rows(self, index: Tensor) -> Self:
        """See ``Canvas.rows``."""
        some = super().rows(index)
        some.patches = self.patches.of(index)
        return some


def compose(canvas: Tensor, painted: Tensor) -> Tensor:
    """The canvas with one more object: ink adds up, or hides what is behind it.

    Args:
        canvas: ink of the objects so far, [B, C, H, W].
        painted: the object's window on an empty canvas, [B, C, H, W]; ink and mask,
            [B, C + 1, H, W], where objects occlude each other.
    """
    if painted.shape[1] == canvas.shape[1]:
        return canvas + painted
    return canvas * (1 - painted[:, -1:]) + painted[:, :-1]


def cover(painted: Tensor, channels: int) -> Tensor:
    """Where painted objects [..., P, H, W] are: their masks or their ink, [..., H, W]."""
    occludes = painted.shape[-3] > channels
    return painted[..., -1, :, :] if occludes else painted.abs().amax(-3)


def _squared_norm(images: Tensor) -> Tensor:
    """The squared norm of each image [B, C, H, W], [B]."""
    return images.square().sum((1, 2, 3))
