"""Pictures of what a model found: its objects on their canvas, their masks, their boxes.

Legend: B batch, C channels, H height, N windows, P channels of a window (C, and its mask where
objects occlude each other), S the longer side, T slots, W width, h and w' sides of a patch, w side
of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model.air import AIR
from airkit.model.canvas import compose, cover
from airkit.model.counts import first_slots
from airkit.model.spatial_transformer import Patches, paint

INK = 0.1
"""Least ink of a pixel inside a box, as a share of full ink; the same as in data files."""


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
        *_, canvas = self._stages(first_slots(count, self.air.slots))
        return self.air.background.picture(self.images, canvas[:, None])[:, 0]

    @torch.no_grad()
    def canvases(self) -> Tensor:
        """See ``Scene.canvases``."""
        stages = self._stages(torch.ones_like(self.size, dtype=torch.bool))
        canvases = torch.stack([canvas.clone() for canvas in stages], 1)
        return self.air.background.picture(self.images, canvases)

    @torch.no_grad()
    def masks(self, count: Tensor) -> Tensor:
        """See ``Scene.masks``."""
        covered = cover(paint(*self._flat(), self.air.shape), self.air.channels)
        covered = covered.view(*self.size.shape, *self.air.shape)
        covered = covered * first_slots(count, self.air.slots)[:, :, None, None]
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


def ink_boxes(covered: Tensor, patches: Patches, size: Tensor, centre: Tensor) -> Tensor:
    """Boxes around the ink of painted windows.

    Args:
        covered: the ink of each window alone, in patches that hold all of it, [N, h, w'].
        patches: where these are.
        size: window sides as fractions of S, [N].
        centre: (x, y) on [-1, 1], [N, 2].

    Returns:
        (x, y, width, height) in pixels, [N, 4]; of a window too faint to have ink, its whole
        extent on the canvas.
    """
    canvas, ends = max(patches.shape), size.new_tensor(patches.shape[::-1])
    inked = covered >= INK
    columns, rows = inked.any(1), inked.any(2)
    extents = [_extent(columns, patches.columns), _extent(rows, patches.rows)]
    start, side = (torch.stack([extent[part] for extent in extents], 1) for part in (0, 1))
    half, middle = size[:, None] * canvas / 2, (centre + 1) * canvas / 2
    low, high = ((middle + sign * half).clamp(min=0).minimum(ends) for sign in (-1, 1))
    blank = ~columns.any(1, keepdim=True)
    whole = torch.cat([low, (high - low).clamp(min=1)], 1)
    return torch.where(blank, whole, torch.cat([start, side], 1).to(whole))


def _extent(inked: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """First inked pixel, and length up to the last, of flags [N, L] of ``pixels`` [N, L]."""
    flags = inked.byte()
    first, last = flags.argmax(1), inked.shape[1] - 1 - flags.flip(1).argmax(1)
    return pixels.gather(1, first[:, None])[:, 0], last - first + 1
