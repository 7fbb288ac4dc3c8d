"""One image above what the model makes of it, with the boxes of what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from airkit.figures.page import GAP, MARGIN, Page, slot_colour
from airkit.system.files import start_of, write_bytes

Array = np.ndarray[Any, Any]

_DRAWN_BY = "airkit infer --overlay"
_MARK = b"tEXtSoftware\0" + _DRAWN_BY.encode()
"""Among the first bytes of every picture, by which it is told from a user's own file."""


def overlay(target: Path, image: Array, reconstruction: Array, boxes: Array, scale: float) -> None:
    """Write a PNG of an image [H, H] and its reconstruction [H, H], ink in 0..1, dark on white.

    Args:
        target: the file.
        image: what the model looked at.
        reconstruction: what it makes of it.
        boxes: of the objects found, slot after slot, (x, y, width, height) in pixels, [N, 4].
        scale: pixels of the picture to each of the image.

    Raises:
        OutputError: the picture cannot be written, or would be too large.
    """
    side = max(1, round(len(image) * scale))
    page = Page(side + 2 * MARGIN, 2 * side + GAP + 2 * MARGIN)
    colours = [slot_colour(slot) for slot in range(len(boxes))]
    for ink, top in ((image, MARGIN), (reconstruction, MARGIN + side + GAP)):
        page.tile(ink, MARGIN, top, side).boxes(boxes, colours)
    write_bytes(target, page.png(Software=_DRAWN_BY))


def drawn(path: Path) -> bool:
    """Whether ``overlay`` wrote a file; raises OSError where it cannot be read."""
    return _MARK in start_of(path, 512)
