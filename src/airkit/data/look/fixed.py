"""What stands out at the same pixels in nearly all pictures: scale bars, frames, time stamps.

No object is there on nearly every picture, and with the same outline.

Shapes: N pictures of H x W pixels, K parts.
"""

from __future__ import annotations

import numpy as np

from airkit.data.look.blobs import Array, blobs
from airkit.data.look.objects import LEAST_CONTRAST

CROP = "crop the pictures or paint it over, and import them again"
"""The way out."""
_LEAST_PICTURES = 16
_ALWAYS = 0.1  # quantile over pictures: what stands out there does so in nine of ten
_OUTLINE = 0.8  # share of a part that always stands out; objects at one place vary more in outline
_SPECK = 6  # smaller parts, in pixels, are no trouble
_LINE = 0.8  # share of a row or a column that makes it a line of a frame
_NAMED = 3  # places


def fixed_parts(ink: Array, noise: float) -> Array:
    """Return the boxes of what stands out at the same place in nine of ten pictures.

    Args:
        ink: what stands out of the background, [N, H, W].
        noise: standard deviation of the pixel noise, in the same unit.

    Returns:
        Boxes x, y, width and height in pixels, [K, 4]: lines of a frame first, then other parts.
        None where there are fewer than 16 pictures.
    """
    if len(ink) < _LEAST_PICTURES:
        return np.zeros((0, 4), np.int64)
    least = max(LEAST_CONTRAST, 4 * noise)
    always, mostly = (np.quantile(ink, share, axis=0)[None] > least for share in (_ALWAYS, 0.5))
    found = blobs(always.astype(np.float32), mostly)
    found = found.of((found.mean >= _OUTLINE) & (found.area >= _SPECK))
    height, width = ink.shape[1:]
    flags = np.zeros((height, width), bool)
    for left, top, wide, high in found.box.tolist():
        window = slice(top, top + high), slice(left, left + wide)
        flags[window] |= mostly[0][window]
    rows, columns = flags.mean(1) > _LINE, flags.mean(0) > _LINE
    lines = [(0, start, width, size) for start, size in _runs(rows)]
    lines += [(start, 0, size, height) for start, size in _runs(columns)]
    flags[rows], flags[:, columns] = False, False
    rest = blobs(always.astype(np.float32), flags[None])
    return np.array([*lines, *rest.box[rest.area >= _SPECK].tolist()], np.int64).reshape(-1, 4)


def told(boxes: Array) -> str:
    """Return in words what is at the same place, without the way out; empty for no boxes.

    Args:
        boxes: x, y, width and height in pixels, [K, 4].
    """
    if not len(boxes):
        return ""
    each = [f"{width} x {height} px at x {x}, y {y}" for x, y, width, height in boxes.tolist()]
    more = f" and {len(each) - _NAMED} more" * (len(each) > _NAMED)
    return (
        f"what is at the same place in nearly all pictures ({'; '.join(each[:_NAMED])}{more}), as "
        "a scale bar or a frame, is counted as objects"
    )


def _runs(flags: Array) -> list[tuple[int, int]]:
    """Starts and lengths of runs of set flags, [n]."""
    ends = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(start), int(stop - start)) for start, stop in ends.reshape(-1, 2)]
