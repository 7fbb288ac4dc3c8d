"""Arrays of what is known of pictures, a row a picture: their names, shapes and padding.

Shapes: N pictures of H x W pixels, M places for objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from airkit.data.imports.pictures import Array, Reading, Truth
from airkit.errors import ImageError
from airkit.system.text import argument

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
    "labels": "labels [M]",
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
