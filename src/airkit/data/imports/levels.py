"""Levels of a picture of any channels: luminance, opacity, range, how it was stored.

A picture may have 2^28 pixels, so that what takes several numbers a pixel is done some rows at a
time.

Shapes: H x W pixels, C channels: grey or three colours, then opacity if at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from airkit.data.look.ink import Kind

Array = np.ndarray[Any, Any]
_BLOCK_BYTES = 2**22
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def greatest(dtype: np.dtype[Any]) -> float:
    """Greatest level of a type, 1 for floats: what opaque is."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def kind_of(values: Array) -> Kind:
    """How a picture was stored, by its values [H, W, C]."""
    channels, most = values.shape[2], greatest(values.dtype)
    opacity = values[..., -1]
    if channels in (2, 4) and opacity.min() < most and opacity.max() > most / 2:
        return "transparent"  # around ink that is not
    if has_colours(values, most):
        return "colours"
    return "16 bits" if values.dtype.kind == "u" and values.dtype.itemsize == 2 else "grey"


def has_colours(values: Array, white: float) -> bool:
    """Whether channels of values [H, W, C] differ by a tenth of ``white`` anywhere."""
    return values.shape[2] > 2 and any(
        np.ptp(block[..., :3], axis=-1).max() > white / 10 for block in blocks(values)
    )


def become_grey(values: Array) -> bool:
    """Whether values [H, W, C] lose colours, however dim, where they become grey."""
    if values.shape[2] < 3:
        return False
    brightest = float(values[..., :3].max())
    return has_colours(values, max(brightest, greatest(values.dtype) / 8))


def luminance(values: Array) -> Array:
    """Levels [H, W] of colours [H, W, C]."""
    parts = (block[..., :3] @ _LUMINANCE for block in blocks(values))
    whole = values.dtype.kind in "iu"
    return np.concatenate([in_type(part, values.dtype) if whole else part for part in parts])


def opaque(values: Array, behind: float) -> Array:
    """Values [H, W, C + 1] over a grey ``behind``, 0 for black, 1 for white: [H, W, C]."""
    most, parts = greatest(values.dtype), []
    for block in blocks(values):
        opacity = block[..., -1:].astype(np.float32) / most
        flat = block[..., :-1] * opacity + behind * most * (1 - opacity)
        parts.append(in_type(flat, values.dtype))
    return np.concatenate(parts)


def with_opacity(levels: Array, clear: int) -> Array:
    """Levels [H, W] with opacity, [H, W, 2]: the level ``clear`` is transparent."""
    opacity = np.where(levels == clear, 0, greatest(levels.dtype)).astype(levels.dtype)
    return np.stack([levels, opacity], -1)


def mend_transparency(page: Image.Image) -> None:
    """Give a PNG's transparent level or colour the depth of its pixels, which Pillow changed."""
    clear, tiles = page.info.get("transparency"), getattr(page, "tile", ())
    if page.format != "PNG" or clear is None or not tiles:
        return
    raw = str(tiles[0][3])
    bits = 1 if raw == "1" else int(raw.rpartition(";")[2].rstrip("B") if ";" in raw else 8)
    if isinstance(clear, tuple) and bits == 16:
        page.info["transparency"] = tuple(level >> 8 for level in clear)
    elif isinstance(clear, int) and page.mode in ("1", "L"):
        most = 2**bits - 1
        page.info["transparency"] = min(clear, most) * 255 // most


def scaled(levels: Array, low: float, high: float) -> Array:
    """Levels [H, W] or [H, W, 3] in their own unit as uint8; ``low`` becomes 0, ``high`` 255."""
    if levels.dtype == np.uint8 and (low, high) == (0, 255):
        return levels
    ink = (levels.astype(np.float64) - low) / (high - low)
    return (255 * ink.clip(0, 1)).round().astype(np.uint8)


def in_type(levels: Array, dtype: np.dtype[Any]) -> Array:
    """Levels of floats in ``dtype``; where that has whole numbers, rounded and in its range."""
    if dtype.kind not in "iu":
        return levels.astype(dtype)
    range_ = np.iinfo(dtype)
    most = levels.dtype.type(range_.max)
    if int(most) > range_.max:  # floats have no such number
        most = np.nextafter(most, levels.dtype.type(0))
    return levels.round().clip(range_.min, most).astype(dtype)


def blocks(values: Array) -> Iterator[Array]:
    """Some rows of an array at a time."""
    step = max(1, _BLOCK_BYTES // max(1, values[:1].nbytes))
    return (values[start : start + step] for start in range(0, len(values), step))
