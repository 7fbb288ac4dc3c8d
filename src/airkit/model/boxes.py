"""Bounding boxes of the objects found: around the ink that each paints.

Legend: N boxes, S the longer side, h and w' sides of a patch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from airkit.model.spatial_transformer import Patches

INK = 0.1
"""Least ink of a pixel inside a box, as a share of full ink; the same as in data files."""


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
