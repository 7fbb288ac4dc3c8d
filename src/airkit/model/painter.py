"""Pictures of what a model found: its objects on their canvas, their masks, their boxes.

Legend: B batch, C channels, H height, P channels of a window (C, and its mask where objects occlude
each other), S the longer side, T slots, W width, w window side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model.air import AIR
from airkit.model.boxes import ink_boxes
from airkit.model.canvas import compose, cover
from airkit.model.counts import first_slots
from airkit.model.spatial_transformer import Patches, paint


class Painter(NamedTuple):
    """Paints the objects of scenes, without gradients.

    Attributes:
        air: the model.
        images: levels in 0..1, [B, C, H, W].
        windows: decoded windows, with masks where objects occlude each other, [B, T, P, w, w].
        size: window sides as fractions of S, [B, T].
        centre: (x, y) on [-1, 1], [B, T, 2].
    """

    air: AIR
    images: Tensor
    windows: Tensor
    size: Tensor
    centre: Tensor

    def present(self, count: Tensor) -> Tensor:
        """Which slots are among the first ``count`` [B], [B, T]."""
        return first_slots(count, self.air.slots)

    @torch.no_grad()
    def boxes(self) -> Tensor:
        """Boxes of all slots' ink; see ``ink_boxes``."""
        flat = self._flat()
        patches = Patches.around(*flat[1:], self.air.shape, self.windows.shape[-1])
        covered = cover(patches.paint(*flat), self.air.channels)
        return ink_boxes(covered, patches, *flat[1:]).view(*self.size.shape, 4)

    @torch.no_grad()
    def canvas(self, count: Tensor) -> Tensor:
        """See ``Scene.canvas``."""
        *_, canvas = self._stages(self.present(count))
        return self.air.background.picture(self.images, canvas[:, None])[:, 0]

    @torch.no_grad()
    def canvases(self) -> Tensor:
        """See ``Scene.canvases``."""
        stages = self._stages(self.present(torch.full_like(self.size[:, 0], self.air.slots)))
        canvases = torch.stack([canvas.clone() for canvas in stages], 1)
        return self.air.background.picture(self.images, canvases)

    @torch.no_grad()
    def masks(self, count: Tensor) -> Tensor:
        """See ``Scene.masks``."""
        covered = cover(paint(*self._flat(), self.air.shape), self.air.channels)
        covered = covered.view(*self.size.shape, *self.air.shape)
        covered = covered * self.present(count)[:, :, None, None]
        if not self.air.occludes:
            return covered
        # what an object and the later ones let through
        shown = (1 - covered).flip(1).cumprod(1).flip(1)
        return covered * pad(shown[:, 1:], (0, 0, 0, 0, 0, 1), value=1.0)

    def _flat(self) -> tuple[Tensor, Tensor, Tensor]:
        """Windows, sizes and centres of all slots, [B T, ...]."""
        return self.windows.flatten(0, 1), self.size.flatten(), self.centre.flatten(0, 1)

    def _stages(self, present: Tensor) -> Iterator[Tensor]:
        """One canvas [B, C, H, W], blank and after each slot, with the objects ``present``."""
        canvas = torch.zeros_like(self.images)
        yield canvas
        for t in range(self.air.slots):
            size, centre = self.size[:, t], self.centre[:, t]
            windows = self.windows[:, t] * present[:, t, None, None, None]
            patches = Patches.around(size, centre, self.air.shape, windows.shape[-1])
            after = compose(patches.read(canvas), patches.paint(windows, size, centre))
            patches.write(canvas, after)
            yield canvas
