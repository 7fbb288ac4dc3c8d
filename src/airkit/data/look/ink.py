"""A look at ink before a model sees it: is it weak, inverted, not on blank, or of another scale?

A model counts such images wrongly, and without a word. What is off shows in a few statistics of a
sample of images: how bright their borders and their brightest pixels are, and how large the pieces
of their ink.

Shapes: N images of H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from airkit.data.look.blobs import Array, connected, extent

Kind = Literal["grey", "0 and 1", "16 bits", "colours", "transparent"]
"""How images were stored, which tells the likely cause of what is off."""

SAMPLE = 1000
"""Most images that are looked at."""
_BLANK = 0.015
"""Most that the border of images may have of full ink; at 0.02 most counts are wrong."""
_FAINT = 0.4
"""Least that the brightest pixels of images should have of full ink; at 0.2 counts are wrong."""
_COMMON = 0.01
"""Least share of all pixels that 0 and 1 must have to be taken for blank and full ink."""
_FILLED = 20 / 28
"""Side of a digit's ink as a share of its image's, in MNIST."""
_SMALLEST, _LARGEST = 0.25, 1.7
"""Usual sizes of pieces of ink relative to digits: those of broken and of touching digits."""
TOUCHING = 1.2
"""The largest usual size where there is other reason for doubt."""


class Fault(NamedTuple):
    """What is off with images."""

    cause: str
    """The kind of fault, in a word or two."""
    text: str
    """What is seen, and what helps."""


def level_fault(
    images: Array, kind: Kind = "grey", *, inverted: bool | None = None
) -> Fault | None:
    """Return what is off with the grey levels of the images of a source, if anything is.

    Args:
        images: uint8, or floats in 0..1, [N, H, W].
        kind: how they were stored.
        inverted: whether dark was taken for ink; None where that is no choice.
    """
    if not images.size:
        return None
    border, peak = _levels(thinned(images))
    if border > 0.5:
        return _dark(inverted)
    if border < peak / 4 < _FAINT / 4:
        return _faint(peak, kind, inverted)
    if peak == 0 and (kind == "transparent" or len(images) > 1):  # a single one may well be blank
        blank = Fault("blank", "no ink on any image; 0 is blank, bright is ink")
        return _on_transparent(inverted) if kind == "transparent" else blank
    if border > _BLANK:
        seen = f"a background of {border:.0%} of full ink, where 0 is blank, is counted as ink"
        return Fault("background", f"{seen}; subtract it")
    binary = Fault("0 and 1", "values of 0 and 1 only, read as blank and full ink")
    return binary if kind == "0 and 1" else None


def _levels(ink: Array) -> tuple[float, float]:
    """Usual levels in 0..1 of the border of images, and of the brightest pixel of those inked."""
    most = 255 if ink.dtype == np.uint8 else 1
    outermost = np.concatenate([ink[:, [0, -1]].ravel(), ink[:, :, [0, -1]].ravel()])
    border, peaks = float(np.quantile(outermost, 2 / 3)), ink.max((1, 2)).astype(float)
    inked = peaks[peaks > 2 * border]
    peak = np.median(inked if inked.size else peaks)
    return border / most, float(peak) / most


def canvas_fault(images: Array, boxes: Array | None, side: float) -> Fault | None:
    """Return what is off with the canvases of a data file, if anything is.

    Tiles that are not blank behind their digits leave the canvas's border blank. Their boxes of
    ink give them away: they are square, and as large as the tile.

    Args:
        images: uint8, [N, H, W].
        boxes: of ink (x, y, width, height), in pixels, padded with -1, [N, M, 4]; None if unknown.
        side: mean side of the digits' images, in pixels, ``data.digit_size``.
    """
    fault = level_fault(images)
    drawn = np.zeros((0, 2)) if boxes is None else boxes[boxes[..., 2] > 0][:, 2:]
    square = drawn[drawn[:, 0] == drawn[:, 1]]
    filled = len(square) > 0.9 * len(drawn) and np.median(square) > side - 0.5
    if filled and not (fault and fault.cause == "faint"):
        seen = (
            "most digits are filled to all four edges, like dark ink on a bright or grey background"
        )
        fault = Fault("background", f"{seen}; invert them, or subtract their background")
    return fault and fault._replace(text=f"{fault.text}, and make the data again")


def size_fault(images: Sequence[Array], side: float, most: float = _LARGEST) -> Fault | None:
    """Return whether pieces of ink are far larger or smaller than the digits of a training.

    Args:
        images: ink in 0..1, each [H, W].
        side: mean side of the digits' images, in pixels, as ``data.digit_size``.
        most: largest usual size of a piece by that side.
    """
    sizes = [sizes_of_pieces(image) for image in thinned(images, SAMPLE // 10)]
    if not any(each.size for each in sizes):
        return None
    size = float(np.median(np.concatenate(sizes)))
    if _SMALLEST * side <= size <= most * side:
        return None
    usual = _FILLED * side
    seen = f"pieces of ink are about {size:.0f} px large, digits of the training {usual:.0f} px"
    return Fault("size", f"{seen}; scale the images by about {usual / size:.2g}")


def thinned(images: Any, most: int = SAMPLE) -> Any:
    """Return at most ``most`` images of a sequence or an array, evenly spaced."""
    return images[:: math.ceil(len(images) / most) or 1]


def is_binary(pools: Iterable[Array]) -> bool:
    """Return whether integers hold 0 and 1 alone, and both are common.

    Args:
        pools: all images of a source: a single one may be blank, or hold little ink.
    """
    ones = total = 0
    for pool in pools:
        if pool.max(initial=0) > 1:
            return False
        ones, total = ones + int(np.count_nonzero(pool)), total + pool.size
    return _COMMON * total <= ones <= (1 - _COMMON) * total and total > 0


def sizes_of_pieces(image: Array) -> Array:
    """Return for each pixel of ink, at least half as bright as any, the size of its piece.

    Args:
        image: ink in 0..1, [H, W].

    Returns:
        The longer side of the bounding box of the pixels that hang together with it, in pixels.
    """
    mask = image >= max(float(image.max()), _FAINT) / 2  # what is fainter may be a blank image's
    piece = connected(mask[None], corners=False)
    count = int(piece.max(initial=-1)) + 1
    sides = [extent(piece, place, count)[1] for place in np.nonzero(mask)]
    sizes: Array = np.maximum(*sides)[piece]
    return sizes


def _dark(inverted: bool | None) -> Fault:
    if inverted:
        text = "bright at the border once inverted; if ink is bright on dark, leave --invert out"
    else:
        remedy = "invert the grey levels" if inverted is None else "add --invert"
        text = f"bright at the border, where no ink should be; if ink is dark, {remedy}"
    return Fault("inverted", text)


def _faint(peak: float, kind: Kind, inverted: bool | None) -> Fault:
    if kind == "transparent":
        return _on_transparent(inverted)
    if kind == "16 bits":
        bits = max(1, math.ceil(math.log2(peak * 65535 + 1)))
        seen = f"16-bit grey levels hold {bits}-bit values, of at most {peak * 65535:.0f}"
        return Fault("faint", f"{seen}; multiply them by {2 ** (16 - bits)}, for up to 65535")
    if kind == "colours":
        seen = f"coloured ink is converted to its luminance, {peak:.0%} of full ink"
        return Fault("faint", f"{seen}; save it as white on black")
    if peak < 1.5 / 255:
        return Fault("faint", "values of 0 and 1, where 255 is full ink; multiply them by 255")
    seen = f"faint, with ink of at most {peak:.0%} of full ink"
    return Fault("faint", f"{seen}; scale it so that the brightest pixels are white")


def _on_transparent(inverted: bool | None) -> Fault:
    shade, remedy = ("bright", "leave --invert out") if inverted else ("dark", "add --invert")
    text = f"{shade} ink on a transparent background is read as blank; {remedy}"
    return Fault("inverted", text)
