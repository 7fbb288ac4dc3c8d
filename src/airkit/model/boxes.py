"""Bounding boxes of the objects found: around the ink that each paints.

Legend: B batch, H height, W width, S the longer side, T slots.
"""

from __future__ import annotations

import torch
from torch import Tensor

INK = 0.1
"""Least ink of a pixel inside a box, as a share of full ink; the same as in data files."""


def ink_boxes(painted: Tensor, size: Tensor, centre: Tensor) -> Tensor:
    """Boxes (x, y, width, height) in pixels around the ink of painted windows, [B, T, 4].

    Args:
        painted: each window alone on a canvas, [B, T, H, W].
        size: [B, T], fractions of S.
        centre: [B, T, 2], (x, y) on [-1, 1].

    A window too faint to have ink gets the box of its whole extent on the canvas.
    """
    batch, slots, *sides = painted.shape
    canvas, ends = max(sides), size.new_tensor(sides[::-1])
    inked = painted.flatten(0, 1) >= INK
    columns, rows = inked.any(1), inked.any(2)
    extents = [_extent(columns), _extent(rows)]
    start, side = (torch.stack([extent[part] for extent in extents], 1) for part in (0, 1))
    half = size.flatten()[:, None] * canvas / 2
    middle = (centre.flatten(0, 1) + 1) * canvas / 2
    low, high = ((middle + sign * half).clamp(min=0).minimum(ends) for sign in (-1, 1))
    blank = ~columns.any(1, keepdim=True)
    box = torch.where(
        blank, torch.cat([low, (high - low).clamp(min=1)], 1), torch.cat([start, side], 1)
    )
    return box.view(batch, slots, 4)


def _extent(inked: Tensor) -> tuple[Tensor, Tensor]:
    """First inked position and length up to the last, of rows [B, N] of flags, as floats [B]."""
    flags = inked.to(torch.float32)
    first = flags.argmax(1)
    last = inked.shape[1] - 1 - flags.flip(1).argmax(1)
    return first.to(torch.float32), (last - first + 1).to(torch.float32)
