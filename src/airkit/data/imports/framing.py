"""Pictures cut off at their edges and resized, with what is known of them.

Shapes: H x W pixels of a picture, k objects.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from airkit.config.pictures import Edges
from airkit.data.imports.pictures import Array, Picture, Reading
from airkit.data.imports.tiles import within


def framed(picture: Picture, reading: Reading) -> Picture:
    """A checked picture as ``reading`` crops and resizes it, with its truth.

    Raises:
        ImageError: too little of it is left, or too much.
    """
    height, width = picture.size
    reading.check_size(picture.name, width, height)  # again, as it is turned by now
    return resized(cropped(picture, reading.crop), reading.scale)


def cropped(picture: Picture, edges: Edges) -> Picture:
    """A checked picture without its edges, with its truth.

    Boxes, labels and masks are those of objects of which a quarter is left. A count without boxes
    is taken for that of what is left.
    """
    if not any(edges):
        return picture
    left, top, right, bottom = edges
    height, width = picture.size
    window = slice(top, height - bottom), slice(left, width - right)
    truth = picture.truth if picture.truth.boxes is None else within(picture.truth, window)
    return replace(picture, levels=picture.levels[window], truth=truth)


def resized(picture: Picture, scale: float) -> Picture:
    """A checked picture whose sides are ``scale`` times as long, with its truth."""
    if scale == 1:
        return picture
    height, width = (max(1, round(scale * side)) for side in picture.levels.shape[:2])
    factors = width / picture.levels.shape[1], height / picture.levels.shape[0]
    boxes, mask = picture.truth.boxes, picture.truth.mask
    truth = replace(
        picture.truth,
        boxes=None if boxes is None else boxes * np.array([*factors, *factors], np.float32),
        mask=None if mask is None else nearest(mask, height, width),
    )
    return replace(picture, levels=_averaged(picture.levels, height, width), truth=truth)


def _averaged(levels: Array, height: int, width: int) -> Array:
    """Levels [H, W] or [H, W, 3] of another size; each pixel is the mean of those it covers."""
    size, how = (width, height), Image.Resampling.BILINEAR
    several = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, how))
        for plane in np.moveaxis(np.atleast_3d(levels), -1, 0)
    ]
    whole = np.stack(several, -1).reshape(height, width, *levels.shape[2:])
    return (whole.round() if levels.dtype.kind in "iu" else whole).astype(levels.dtype)


def nearest(mask: Array, height: int, width: int) -> Array:
    """A mask [H, W] of another size: each pixel is that of the mask where its middle is."""
    rows, columns = (
        ((np.arange(after) + 0.5) * before / after).astype(int)
        for after, before in zip((height, width), mask.shape, strict=True)
    )
    return np.asarray(mask[rows][:, columns])
