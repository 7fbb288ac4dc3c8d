"""Pictures for ``airkit infer --overlay``: an image above its reconstruction, both with boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from airkit.config.rendering import Scale
from airkit.config.schema import Config
from airkit.data.imports.images import Given, Place
from airkit.figures.marks import GAP, MARGIN, drawn
from airkit.figures.page import Page, png
from airkit.system.files import check_replaceable, start_of, write_bytes

_LONGER = 400  # side of an image as drawn where the scale is auto, unless it is larger itself
_DRAWN_BY = "airkit infer --overlay"
_MARK = b"tEXtSoftware\0" + _DRAWN_BY.encode()
"""Among the first bytes of every picture; tells it from a file of the user's."""


def overlays(
    folder: Path, images: Sequence[Place], config: Config
) -> Callable[[Given, np.ndarray, np.ndarray], None]:
    """Check that a picture of each image can be written, and return the function that draws one.

    Args:
        folder: where the pictures go; it need not exist yet.
        images: all images that will be drawn.
        config: ``render.scale`` says how large, and the polarity whether grey is shown as it is.

    Returns:
        A function of an image, its reconstruction [C, H, W] and the boxes found [N, 4], which
        writes the picture.

    Raises:
        OutputError: two pictures would have the same name, or a picture would replace an image
            or a file that ``overlay`` did not draw.
    """
    targets = [(_target(folder, image), image.path) for image in images]
    check_replaceable(targets, "--overlay", "picture", _is_ours)

    scale, as_is = config.render.scale, config.polarity == "dark"

    def draw(image: Given, reconstruction: np.ndarray, boxes: np.ndarray) -> None:
        overlay(_target(folder, image), image.pixels, reconstruction, boxes, scale, as_is=as_is)

    return draw


def overlay(
    target: Path,
    image: np.ndarray,
    reconstruction: np.ndarray,
    boxes: np.ndarray,
    scale: Scale,
    *,
    as_is: bool = False,
) -> None:
    """Write a PNG of an image above its reconstruction.

    Args:
        target: the file.
        image: levels in 0..1, [C, H, W].
        reconstruction: levels in 0..1, [C, H, W].
        boxes: boxes of the objects found, slot after slot, (x, y, width, height) in pixels, [N, 4].
        scale: pixels of the picture per pixel of the image; auto makes it about 400 a side.
        as_is: show grey levels as they are, and not as dark ink on white.

    Raises:
        OutputError: the picture cannot be written, or would be too large.
    """
    longer = max(image.shape[1:])
    times = max(1, round(_LONGER / longer)) if scale == "auto" else scale
    side = max(1, round(longer * times))
    height, width = drawn(image.shape[1:], side)
    page = Page(width + 2 * MARGIN, 2 * height + GAP + 2 * MARGIN)
    page.as_is = as_is
    for ink, top in ((image, MARGIN), (reconstruction, MARGIN + height + GAP)):
        page.tile(ink, MARGIN, top, side).slots(boxes)
    write_bytes(target, png(page.rendered(), Software=_DRAWN_BY))


def _target(folder: Path, image: Place) -> Path:
    return folder / f"{image.name}.png"


def _is_ours(target: Path) -> bool:
    with suppress(OSError):
        return _MARK in start_of(target, 512)
    return False
