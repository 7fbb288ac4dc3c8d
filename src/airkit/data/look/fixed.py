"""What stands out at the same pixels in nearly all pictures: scale bars, frames, time stamps.

No object is there on nearly every picture, and with the same outline.

Shapes: N pictures of H x W pixels, K parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from airkit.config.schema import Config
from airkit.data.look.blobs import Array, blobs
from airkit.data.look.objects import LEAST_CONTRAST
from airkit.system.text import argument

Box = tuple[int, int, int, int]
"""x, y, width and height in pixels."""
_LEAST_PICTURES = 16
_ALWAYS = 0.1  # quantile over pictures: what stands out there does so in nine of ten
_OUTLINE = 0.8  # share of a part that always stands out; objects at one place vary more in outline
_SPECK = 6  # smaller parts, in pixels, are no trouble
_LINE = 0.8  # share of a row or a column that makes it a line of a frame
_NAMED = 3  # places
_MOST_CUT = 0.25  # share of a picture that may be cut off with what is there


def fixed_parts(ink: Array, noise: float) -> tuple[Box, ...]:
    """Return the boxes of what stands out at the same place in nine of ten pictures.

    Args:
        ink: what stands out of the background, [N, H, W].
        noise: standard deviation of the pixel noise, in the same unit.

    Returns:
        Lines of a frame first, then other parts; none where there are fewer than 16 pictures.
    """
    if len(ink) < _LEAST_PICTURES:
        return ()
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
    parts = rest.box[rest.area >= _SPECK].tolist()
    return *lines, *((x, y, wide, high) for x, y, wide, high in parts)


def told(boxes: Sequence[Box]) -> str:
    """Return in words what is at the same place; ``way_out`` is the advice."""
    each = [f"{width} x {height} px at x {x}, y {y}" for x, y, width, height in boxes]
    more = f" and {len(each) - _NAMED} more" * (len(each) > _NAMED)
    return (
        f"what is at the same place in nearly all pictures ({'; '.join(each[:_NAMED])}{more}), as "
        "a scale bar or a frame, is counted as objects"
    )


def way_out(boxes: Sequence[Box], config: Config) -> str:
    """Return the advice on parts at the same place: the crop without them, where one helps.

    Args:
        boxes: where it is on the canvases.
        config: the settings of the data file, which say how its pictures were cropped and scaled.
    """
    pictures, shape = config.pictures, config.data.shape
    if (pictures.height, pictures.width) != shape:  # tiles, or pictures of several sizes
        crop = argument("crop", ("LEFT", "TOP", "RIGHT", "BOTTOM"))
        return f"import again with {crop}, or paint it over before"
    edges = _edges(boxes, shape)
    left, top, right, bottom = edges
    if (1 - (left + right) / shape[1]) * (1 - (top + bottom) / shape[0]) < 1 - _MOST_CUT:
        return "paint it over in all pictures, and import them again"
    pairs = zip(edges, pictures.crop, strict=True)
    pixels = tuple(math.ceil(edge / pictures.scale) + before for edge, before in pairs)
    return f"import again with {argument('crop', pixels)}, which leaves it out"


def _edges(boxes: Sequence[Box], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """What to cut off at the left, top, right and bottom of [H, W], so that no box is left."""
    height, width = shape
    cut, sides = [0, 0, 0, 0], (width, height, width, height)
    for x, y, wide, high in boxes:
        needed = x + wide, y + high, width - x, height - y
        edge = min(range(4), key=lambda edge: max(0, needed[edge] - cut[edge]) / sides[edge])
        cut[edge] = max(cut[edge], needed[edge])
    left, top, right, bottom = cut
    return left, top, right, bottom


def _runs(flags: Array) -> list[tuple[int, int]]:
    """Starts and lengths of runs of set flags, [n]."""
    ends = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(start), int(stop - start)) for start, stop in ends.reshape(-1, 2)]
