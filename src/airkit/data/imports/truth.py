"""What is known of a picture: rows of arrays, and checks that none of it contradicts the rest.

Masks give boxes, boxes give counts.

Shapes: N pictures of H x W pixels, M places for objects or masks of a stack, k objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from airkit.data.imports.geometry import framed
from airkit.data.imports.pictures import Array, Bad, Picture, Pictures, Reading, Truth
from airkit.data.look.blobs import boxes as boxes_of
from airkit.errors import ImageError
from airkit.system.text import argument, numbered

TRUTH = ("counts", "boxes", "labels", "masks")
"""Names of what may be known of pictures."""
NAMES = {
    "count": "counts", "counts": "counts", "box": "boxes", "boxes": "boxes",
    "label": "labels", "labels": "labels", "mask": "masks", "masks": "masks",
}  # fmt: skip
"""What arrays of truth may be called in a file."""
_AXES = {"counts": (1,), "boxes": (3,), "labels": (2,), "masks": (3, 4, 5)}
_SHAPES = {
    "counts": "a whole number",
    "boxes": "boxes [M, 4]",
    "labels": "whole labels [M]",
    "masks": "a mask",
}

Head = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type of an array."""


def parts_of(heads: Mapping[str, Head], reading: Reading) -> dict[str, str]:
    """Names of a file's arrays that tell something of its pictures, by what they tell.

    Those of other shapes are passed over, which ``reading.noticed`` tells.
    """
    parts = {}
    for name, (shape, dtype) in heads.items():
        part = NAMES.get(name)
        if part is None:
            continue
        if len(shape) in _AXES[part] and dtype.kind in ("biu" if part == "masks" else "iuf"):
            parts[part] = name
        else:
            reading.noticed["unfit"] += 1
    return parts


def check_known(name: str, known: Mapping[str, Any], pictures: int) -> None:
    """Refuse truth of another number of pictures, or of some of them; raises ImageError."""
    for part, each in known.items():
        many = len(each) if isinstance(each, Sized) and getattr(each, "ndim", None) != 0 else 0
        if many != pictures:
            raise ImageError(
                f"There are not as many {part} as pictures",
                where=name,
                expected=f"{pictures:,}",
                got=f"{many:,}",
                hint="give one for each picture, in their order",
            )
        given = each if isinstance(each, Iterable) else ()
        missing = [i for i, it in enumerate(given) if _none(it)]
        if 0 < len(missing) < pictures:
            raise ImageError(
                f"Only some pictures have {part}",
                where=name,
                expected=f"{part} of all pictures of a split",
                got=numbered("none for {n} {picture|pictures}, the first at place ", len(missing))
                + str(missing[0]),
                hint=f"those that have them as a split: test={{'images': ..., '{part}': ...}}",
            )


def _none(given: Any) -> bool:
    """Whether what is given for a picture is None, or for a count nan, as pandas has it."""
    return given is None or (isinstance(given, float) and math.isnan(given))


def truth_of(name: str, known: Mapping[str, Array], reading: Reading) -> Truth:
    """The truth of one picture, of its rows of arrays; boxes, labels, masks without padding.

    Args:
        name: of the picture, for messages.
        known: rows of counts, boxes [M, 4] with width 0 or less where there is none, labels [M],
            -1 likewise, and masks: a label image [H, W] or a mask for each object [M, H, W].
        reading: notices masks of the background.

    Raises:
        ImageError: a row of another shape.
    """
    if not known:
        return Truth()
    for part, row in known.items():
        _check(name, part, row)
    count, boxes, labels = (known.get(part) for part in TRUTH[:3])
    mask = known.get("masks")
    kept = None
    if boxes is not None:
        boxes = boxes.reshape(-1, 4)
        kept = ~((boxes[:, 2] <= 0) | np.isnan(boxes).all(1))
        boxes = boxes[kept]
    if mask is not None:
        mask = _mask(mask, kept, reading)
    labels = None if labels is None else labels[labels >= 0]
    return Truth(None if count is None else int(count), boxes, labels, mask)


def _check(name: str, part: str, row: Array) -> None:
    fits = row.ndim + 1 in _AXES[part] or not row.size
    if part == "counts":
        fits = row.ndim == 0 and row.dtype.kind in "iuf" and float(row).is_integer()
    elif part == "boxes" and row.size:
        fits = fits and row.shape[-1] == 4 and row.dtype.kind in "iuf"
    elif part == "labels" and row.size:
        fits = fits and row.dtype.kind in "iuf" and not (row[row >= 0] % 1).any()
    elif row.ndim == 4:
        fits = row.shape[-1] == 1
    if not fits:
        got = f"{row.dtype} {list(row.shape)}" if row.ndim else row
        raise contradiction(name, f"{_SHAPES[part]} for each picture", got)


def _mask(mask: Array, kept: Array | None, reading: Reading) -> Array:
    """A label image [H, W], or masks of one object each without the background and padding."""
    if mask.ndim > 2 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.ndim != 3 or len(mask) == 1:
        return mask.reshape(mask.shape[-2:])
    if (np.count_nonzero(mask, 0) == 1).all():
        reading.noticed["background"] += 1
        mask = mask[1:]
    return mask[kept] if kept is not None and len(mask) == len(kept) else mask


def contradiction(name: str, expected: str, got: object) -> ImageError:
    """Return the error of a picture whose content or truth cannot be used."""
    return ImageError(
        "A picture, or what is known of it, cannot be used",
        where=name,
        expected=expected,
        got=got,
        hint=f"correct it; {argument('skip_bad', True)} leaves it out",
    )


MOST = 2**16 - 1
"""Most objects on a picture, which may be cut into tiles."""


def all_checked(pictures: Pictures, bad: Bad) -> Iterator[Picture]:
    """Yield the pictures of a source, checked, cropped and resized.

    Args:
        pictures: the source.
        bad: hears of those that cannot be used.
    """
    for picture in pictures.walk(bad):
        try:
            usable = framed(checked(picture), pictures.reading)
        except ImageError as error:
            bad(Path(picture.name), error)
        else:
            yield usable


def checked(picture: Picture) -> Picture:
    """A picture whose truth agrees with itself, with boxes from masks and counts from boxes.

    Raises:
        ImageError: it does not agree, or its levels are not finite numbers.
    """
    if picture.levels.dtype.kind == "f" and not np.isfinite(picture.levels).all():
        got = f"{np.count_nonzero(~np.isfinite(picture.levels)):,} of nan or inf"
        raise contradiction(picture.name, "finite grey levels", got)
    truth = picture.truth
    mask, boxes, labels = truth.mask, truth.boxes, truth.labels
    if mask is not None:
        mask, boxes = _masked(picture, mask, boxes)
    if boxes is not None:
        boxes = _clipped(picture, np.asarray(boxes, np.float32))
    found = boxes if boxes is not None else labels
    count = truth.count if found is None else len(found)
    if truth.count not in (None, count):
        raise contradiction(
            picture.name, numbered("{n} {box or label|boxes or labels}", truth.count), count
        )
    if count is not None and count < 0:
        raise contradiction(picture.name, "0 objects or more", count)
    if labels is not None:
        _check_labels(picture, labels, count)
    return replace(picture, truth=Truth(count, boxes, labels, mask))


def _masked(picture: Picture, mask: Array, boxes: Array | None) -> tuple[Array, Array]:
    """A mask of places 1..k, and boxes; where there are none, those around the mask's objects."""
    shape = picture.size
    if mask.shape[-2:] != shape or mask.ndim > 3 or mask.dtype.kind not in "biu":
        wanted = f"a mask of whole numbers {list(shape)}, or one for each object"
        raise contradiction(picture.name, wanted, f"{mask.dtype} {list(mask.shape)}")
    return (_of_image if mask.ndim == 2 else _of_stack)(picture, mask, boxes)


def _of_image(picture: Picture, mask: Array, boxes: Array | None) -> tuple[Array, Array]:
    """Mask and boxes of a label image [H, W]."""
    least, most = int(mask.min()), int(mask.max())
    if least < 0 or (boxes is not None and most > len(boxes)):
        wanted = "a mask of 0, the background, and a number above it for each object"
        wanted = wanted if boxes is None else f"a mask of 0 to {len(boxes)}, its boxes"
        raise contradiction(picture.name, wanted, least if least < 0 else most)
    if boxes is not None:
        return mask.astype(np.uint16), boxes
    values = np.unique(mask)
    values = values[values > 0]
    if len(values) > MOST:
        raise contradiction(picture.name, f"masks of at most {MOST:,} objects", len(values))
    places = np.searchsorted(values, mask, "right").astype(np.uint16)
    rows, columns = np.nonzero(places)
    return places, boxes_of(places[rows, columns] - 1, rows, columns, len(values))


def _of_stack(picture: Picture, stack: Array, boxes: Array | None) -> tuple[Array, Array]:
    """Mask and boxes of masks of one object each [M, H, W]; later ones hide earlier ones."""
    if len(np.unique(stack[stack != 0])) > 1:
        raise contradiction(picture.name, "masks of 0 and one other number", "several")
    if boxes is None:
        stack = stack[stack.any((1, 2))]
    if len(stack) > MOST or (boxes is not None and len(stack) != len(boxes)):
        wanted = (
            f"at most {MOST:,} masks" if boxes is None else f"as many masks as boxes, {len(boxes)}"
        )
        raise contradiction(picture.name, wanted, len(stack))
    places = np.zeros(picture.size, np.uint16)
    for place, inside in enumerate(stack, 1):
        places[inside != 0] = place
    if boxes is None:
        owners, rows, columns = np.nonzero(stack)
        boxes = boxes_of(owners, rows, columns, len(stack))
    return places, boxes


def _clipped(picture: Picture, boxes: Array) -> Array:
    """Boxes cut off at the picture's border, which none may be beyond."""
    height, width = picture.size
    low = np.clip(boxes[:, :2], 0, (width, height))
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, (width, height))
    wrong = ~((high > low).all(1) & np.isfinite(boxes).all(1))
    if wrong.any():
        expected = f"boxes x, y, width, height on {width} x {height} px"
        raise contradiction(picture.name, expected, boxes[wrong][0].tolist())
    return np.concatenate([low, high - low], 1)


def _check_labels(picture: Picture, labels: Array, count: int | None) -> None:
    if len(labels) != count or not all(0 <= label <= 127 for label in labels.tolist()):
        wanted = numbered("{n} {label|labels} from 0 to 127", count or 0)
        raise contradiction(picture.name, wanted, labels.tolist())
