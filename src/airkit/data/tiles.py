"""From a picture with what is known of it to square canvases: tiles, padding, and their truth.

Shapes: H x W pixels of a picture, S side of a canvas, k objects.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from airkit.data.pictures import Array, Picture, Truth
from airkit.errors import ImageError

PARTS = ("count", "boxes", "labels", "mask")


def starts(length: int, side: int) -> list[int]:
    """Where tiles of ``side`` begin along a picture's side; the last one ends with the picture."""
    if length <= side:
        return [0]
    return [*range(0, length - side, side), length - side]


def tiles_of(shape: tuple[int, ...], side: int) -> int:
    """How many tiles a picture [H, W] is cut into."""
    return len(starts(shape[0], side)) * len(starts(shape[1], side))


def cut(picture: Picture, side: int) -> Iterator[tuple[Array, Truth]]:
    """Yield the tiles of a picture, grey levels [S, S], each with its truth.

    What does not fill a tile is padded on the right and below by its edge. A tile has the objects
    whose boxes have their centres in it, cut off at its border; without boxes, the count of a
    picture that is cut into several tiles is not known.
    """
    height, width = picture.levels.shape
    alone = tiles_of(picture.levels.shape, side) == 1
    for top in starts(height, side):
        for left in starts(width, side):
            window = slice(top, top + side), slice(left, left + side)
            truth = picture.truth if alone else _within(picture.truth, top, left, side)
            mask = truth.mask
            if mask is not None and mask.shape != (side, side):
                mask = _pad(mask[window] if alone else mask, side, "constant")
                truth = Truth(truth.count, truth.boxes, truth.labels, mask)
            yield _pad(picture.levels[window], side, "edge"), truth


def _pad(array: Array, side: int, mode: str) -> Array:
    height, width = array.shape
    if height == width == side:
        return array
    missing = ((0, side - height), (0, side - width))
    padded: Array = np.pad(array, missing, mode=mode)  # type: ignore[call-overload]
    return padded


def _within(truth: Truth, top: int, left: int, side: int) -> Truth:
    """The truth of a tile."""
    if truth.boxes is None:
        return Truth()
    low = truth.boxes[:, :2] - (left, top)
    centre = low + truth.boxes[:, 2:] / 2
    inside = ((centre >= 0) & (centre < side)).all(1)
    high = np.minimum(low + truth.boxes[:, 2:], side)
    low = np.maximum(low, 0)
    many = int(np.count_nonzero(inside))
    mask = truth.mask
    if mask is not None:
        places = np.zeros(len(truth.boxes) + 1, np.uint8)
        places[1:][inside] = np.arange(1, many + 1)
        mask = places[mask[top : top + side, left : left + side]]
    return Truth(
        many,
        np.concatenate([low, high - low], 1)[inside],
        None if truth.labels is None else truth.labels[inside],
        mask,
    )


def checked(picture: Picture) -> Picture:
    """A picture whose truth agrees with itself, with boxes from masks and counts from boxes.

    Raises:
        ImageError: it does not agree, or its levels are not finite numbers.
    """
    if picture.levels.dtype.kind == "f" and not np.isfinite(picture.levels).all():
        got = f"{np.count_nonzero(~np.isfinite(picture.levels)):,} of nan or inf"
        raise _contradiction(picture, "finite grey levels", got)
    truth = picture.truth
    mask, boxes, labels = truth.mask, truth.boxes, truth.labels
    if mask is not None:
        mask, boxes = _masked(picture, np.asarray(mask), boxes)
    if boxes is not None:
        boxes = _clipped(picture, np.asarray(boxes, np.float32))
    found = boxes if boxes is not None else labels
    count = truth.count if found is None else len(found)
    if truth.count not in (None, count):
        raise _contradiction(picture, f"{truth.count} boxes or labels", count)
    if count is not None and not 0 <= count <= 100:
        raise _contradiction(picture, "0 to 100 objects", count)
    if labels is not None:
        _check_labels(picture, labels, count)
    return Picture(
        picture.name, picture.levels, picture.channels, Truth(count, boxes, labels, mask)
    )


def _masked(picture: Picture, mask: Array, boxes: Array | None) -> tuple[Array, Array]:
    """A mask of places 1..k and boxes; where there are none, those around the mask's objects."""
    mask = mask.squeeze()
    if mask.shape != picture.levels.shape or mask.dtype.kind not in "biu":
        wanted = f"a mask of whole numbers {list(picture.levels.shape)}"
        raise _contradiction(picture, wanted, f"{mask.dtype} {list(mask.shape)}")
    values, places = np.unique(mask, return_inverse=True)
    if boxes is not None:
        if values[0] < 0 or values[-1] > len(boxes):
            raise _contradiction(picture, f"a mask of 0 to {len(boxes)}, its boxes", values[-1])
        return mask.astype(np.uint8), boxes
    if len(values) > 101:
        raise _contradiction(picture, "masks of at most 100 objects", len(values) - 1)
    places = places.reshape(mask.shape) + (values[0] != 0)
    found = []
    for place in range(1, int(places.max()) + 1):
        rows, columns = (np.flatnonzero((places == place).any(axis)) for axis in (1, 0))
        x, y = columns[0], rows[0]
        found.append((x, y, columns[-1] + 1 - x, rows[-1] + 1 - y))
    return places.astype(np.uint8), np.array(found, np.float32).reshape(-1, 4)


def _clipped(picture: Picture, boxes: Array) -> Array:
    """Boxes cut off at the picture's border, which none may be beyond."""
    height, width = picture.levels.shape
    low = np.clip(boxes[:, :2], 0, (width, height))
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, (width, height))
    wrong = ~((high > low).all(1) & np.isfinite(boxes).all(1))
    if wrong.any():
        expected = f"boxes x, y, width, height on {width} x {height} px"
        raise _contradiction(picture, expected, boxes[wrong][0].tolist())
    return np.concatenate([low, high - low], 1)


def _check_labels(picture: Picture, labels: Array, count: int | None) -> None:
    if len(labels) != count or not all(0 <= label <= 127 for label in labels.tolist()):
        raise _contradiction(picture, f"{count} labels from 0 to 127", labels.tolist())


def _contradiction(picture: Picture, expected: str, got: object) -> ImageError:
    return ImageError(
        "A picture, or what is known of it, cannot be used",
        where=picture.name,
        expected=expected,
        got=got,
        hint="correct or leave it out",
    )
