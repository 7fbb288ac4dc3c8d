"""Cropping, resizing, cutting and padding pictures, with what is known of them.

Shapes: H x W pixels of a picture or a canvas, S side of a tile, k objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from PIL import Image

from airkit.config.pictures import Edges
from airkit.data.imports.levels import in_type
from airkit.data.imports.pictures import Array, Picture, Reading, Truth

SHOWN = 0.25
"""Least share of an object's box in a tile that has it: of four tiles around it, one has at least
so much."""


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
    """Levels [H, W] or [H, W, 3] of another size: bilinear, anti-aliased where it shrinks."""
    size, how = (width, height), Image.Resampling.BILINEAR
    several = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, how))
        for plane in np.moveaxis(np.atleast_3d(levels), -1, 0)
    ]
    whole = np.stack(several, -1).reshape(height, width, *levels.shape[2:])
    return in_type(whole, levels.dtype)


def nearest(mask: Array, height: int, width: int) -> Array:
    """A mask [H, W] of another size: each pixel is that of the mask where its middle is."""
    rows, columns = (
        ((np.arange(after) + 0.5) * before / after).astype(int)
        for after, before in zip((height, width), mask.shape, strict=True)
    )
    return np.asarray(mask[rows][:, columns])


def starts(length: int, side: int, overlap: int = 0) -> list[int]:
    """Where tiles of ``side`` begin along a picture's side; the last one ends with the picture."""
    if length <= side:
        return [0]
    return [*range(0, length - side, side - overlap), length - side]


def cores(length: int, side: int, overlap: int) -> list[tuple[int, float, float]]:
    """Where overlapping tiles begin along a picture's side, and from where to where each decides.

    That is up to the middle of what it shares with its neighbours; the outermost ones have no end
    on that side, so that every point belongs to exactly one.
    """
    first = starts(length, side, overlap)
    between = [(later + here + side) / 2 for here, later in pairwise(first)]
    return list(zip(first, [-np.inf, *between], [*between, np.inf], strict=True))


def tiles_of(shape: tuple[int, ...], side: int) -> int:
    """How many tiles a picture [H, W] is cut into, S along the sides that are longer."""
    return len(starts(shape[0], side)) * len(starts(shape[1], side))


def cut(picture: Picture, shape: tuple[int, int]) -> Iterator[tuple[Array, Truth]]:
    """Yield the tiles of a picture, of one ``shape``, [H, W] or [H, W, 3], each with its truth.

    What does not fill a tile is padded on the right and below. A tile has the objects that show in
    it, cut off at its border; without boxes, the count of a picture that is cut into several tiles
    is not known.
    """
    rows, columns = map(starts, picture.size, shape)
    alone = len(rows) == len(columns) == 1
    for top, left in product(rows, columns):
        window = slice(top, top + shape[0]), slice(left, left + shape[1])
        truth = picture.truth if alone else within(picture.truth, window)
        if truth.mask is not None:
            truth = replace(truth, mask=padded(truth.mask, shape, fill=0))
        yield padded(picture.levels[window], shape), truth


def within(truth: Truth, window: tuple[slice, slice]) -> Truth:
    """The truth of a part of a picture: the objects of whose boxes a quarter is in it."""
    if truth.boxes is None:
        return Truth()
    start = np.array([window[1].start, window[0].start])
    size = np.array([window[1].stop, window[0].stop]) - start
    low = truth.boxes[:, :2] - start
    high = low + truth.boxes[:, 2:]
    whole, low, high = high - low, np.maximum(low, 0), np.minimum(high, size)
    inside = np.maximum(high - low, 0).prod(1) >= SHOWN * whole.prod(1)
    mask = truth.mask
    if mask is not None:
        places = np.zeros(len(inside) + 1, np.uint16)
        places[1:][inside] = np.arange(1, 1 + np.count_nonzero(inside))
        mask = places[mask[window]]
    return Truth(
        int(np.count_nonzero(inside)),
        np.concatenate([low, high - low], 1)[inside],
        None if truth.labels is None else truth.labels[inside],
        mask,
    )


def divided(boxes: Array, shape: tuple[int, ...], side: int) -> int:
    """How many objects of a picture [H, W] have boxes [k, 4] that no tile holds as a whole."""
    whole = np.ones(len(boxes), bool)
    for axis, length in enumerate(shape[::-1]):
        begin = np.array(starts(length, side))
        low, high = boxes[:, axis, None], boxes[:, axis, None] + boxes[:, axis + 2, None]
        whole &= ((low >= begin) & (high <= begin + side)).any(1)
    return int(np.count_nonzero(~whole))


def padded(pixels: Array, shape: tuple[int, int], fill: int | None = None) -> Array:
    """Return a picture padded on the right and below.

    Args:
        pixels: grey levels or a mask [H, W], or colours [H, W, C].
        shape: least height and width; what is larger stays as it is.
        fill: what to pad with; None is the median of the outermost pixels. To repeat the edge would
            draw objects there out to stripes, and a mirror image would show objects twice.
    """
    height, width = pixels.shape[:2]
    if height >= shape[0] and width >= shape[1]:
        return pixels
    larger = (max(height, shape[0]), max(width, shape[1]), *pixels.shape[2:])
    filled = np.empty(larger, pixels.dtype)
    filled[:] = _of_border(pixels) if fill is None else fill
    filled[:height, :width] = pixels
    return filled


def _of_border(pixels: Array) -> Array:
    """The median of the outermost pixels, a level that there is."""
    border = [pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]
    return np.asarray(np.quantile(np.concatenate(border), 0.5, axis=0, method="nearest"))
