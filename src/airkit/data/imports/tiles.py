"""From a picture with its truth to canvases of one shape: tiles and padding.

Shapes: H x W pixels of a picture or a canvas, S side of a tile, k objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from airkit.data.imports.padding import padded
from airkit.data.imports.pictures import Array, Picture, Truth

PARTS = ("count", "boxes", "labels", "mask")
SHOWN = 0.25
"""Least share of an object's box in a tile that has it: of four tiles around it, one has at least
so much."""


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
