"""Grey images from elsewhere, PNG files and NumPy arrays, as ink in 0..1.

A file is what its first bytes say, whatever its name. Sizes are checked before memory is
allocated for pixels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from airkit.errors import ImageError
from airkit.system.files import start_of
from airkit.system.text import quoted

Array = np.ndarray[Any, Any]

SMALLEST, LARGEST = 8, 1024
"""Least and greatest side of an image, in pixels."""

MOST_PIXELS = 2**28
"""Most pixels of all images together: they are held in memory, 4 bytes each."""

_PNG, _NPY = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"
_DEPTH = 24
"""Offset in a PNG file of the bits of a grey level or a colour."""
_ARRAY = "an array [H, W] or [N, H, W] of uint8, of bool, or of floats in 0..1"


@dataclass(frozen=True)
class Grey:
    """One image."""

    path: Path
    """The file it is from."""
    index: int | None
    """Its place in a stack, from 0; None if the file is one image."""
    ink: Array
    """Ink in 0..1, bright on dark, float32 [height, width]."""

    @property
    def name(self) -> str:
        """The file's name without its ending, and the place in its stack."""
        return self.path.stem if self.index is None else f"{self.path.stem}-{self.index}"

    @property
    def side(self) -> int:
        """Side of the smallest square that holds the image, in pixels."""
        return int(max(self.ink.shape))

    @property
    def bright_border(self) -> bool:
        """Whether most of the outermost pixels are bright, as on paper."""
        ink = self.ink
        border = np.concatenate([ink[0], ink[-1], ink[1:-1, 0], ink[1:-1, -1]])
        return bool(np.median(border) > 0.5)

    def square(self) -> Array:
        """The image with blank to its right or below, [side, side]."""
        height, width = self.ink.shape
        square: Array = np.pad(self.ink, ((0, self.side - height), (0, self.side - width)))
        return square


def read_all(paths: Iterable[Path], *, invert: bool = False) -> list[Grey]:
    """Read the images of several files, as ``read`` does one.

    Raises:
        ImageError: as ``read`` does, or there are more images than memory is meant to hold.
    """
    images: list[Grey] = []
    for path in paths:
        images += read(path, invert=invert)
        _check_pixels(path, sum(grey.ink.size for grey in images))
    return images


def read(path: Path, *, invert: bool = False) -> list[Grey]:
    """Read the image of a PNG file, or the images of a .npy file, [H, W] or [N, H, W].

    Args:
        path: the file.
        invert: take dark for ink.

    Raises:
        ImageError: no such file, one of another kind, a damaged one, or one whose images are
            too small, too large, too many, or not grey levels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = start_of(path, len(_PNG))
            if first == _PNG:
                images = [Grey(path, None, _png(path, blank=255 if invert else 0))]
            elif first.startswith(_NPY):
                images = _npy(path)
            else:
                expected = "a PNG file, or a NumPy array as numpy.save writes it (.npy)"
                raise _unusable(path, expected, "a file of another kind")
    except ImageError:
        raise
    except Exception as error:  # both libraries raise all sorts at files that lie
        got = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        hint = "name PNG files, or arrays saved by numpy.save"
        if os.path.isdir(path):
            hint = f"name its files: {quoted(path)}/*.png"
        what = "Cannot read an image"
        raise ImageError(what, where=path, got=got or type(error).__name__, hint=hint) from error
    return [Grey(it.path, it.index, 1 - it.ink) for it in images] if invert else images


def _png(path: Path, *, blank: int) -> Array:
    """Ink of a PNG of any mode, float32 [H, W]; transparent pixels are ``blank``, 0 or 255."""
    content = path.read_bytes()  # in memory, a chunk of forged length reads no more than there is
    with Image.open(BytesIO(content), formats=["PNG"]) as image:
        _check_size(path, *image.size)
        bits = content[_DEPTH]
        clear = image.info.get("transparency")
        if image.mode.startswith("I"):
            levels = np.asarray(image)
            return np.where(levels == clear, blank / 255, levels / 65535).astype(np.float32)
        if isinstance(clear, tuple) and bits == 16:  # Pillow reads the upper 8 bits of pixels
            image.info["transparency"] = tuple(level >> 8 for level in clear)
        elif isinstance(clear, int) and image.mode in ("1", "L"):  # Pillow scales pixels alone
            most = 2**bits - 1
            image.info["transparency"] = min(clear, most) * 255 // most
        behind = Image.new("RGBA", image.size, (blank, blank, blank, 255))
        flat = Image.alpha_composite(behind, image.convert("RGBA"))
        return np.asarray(flat.convert("L"), np.float32) / 255


def _npy(path: Path) -> list[Grey]:
    """The images of an array, memory-mapped so that a forged shape costs no memory."""
    stack = np.load(path, mmap_mode="r", allow_pickle=False)
    if stack.ndim not in (2, 3) or not (
        stack.dtype in (np.uint8, np.bool_) or stack.dtype.kind == "f"
    ):
        raise _unusable(path, _ARRAY, f"{stack.dtype} {list(stack.shape)}")
    _check_size(path, *reversed(stack.shape[-2:]))
    _check_pixels(path, stack.size)
    if stack.ndim == 2:
        return [Grey(path, None, _scaled(path, stack))]
    return [Grey(path, index, _scaled(path, image)) for index, image in enumerate(stack)]


def _scaled(path: Path, values: Array) -> Array:
    """Grey levels [H, W], uint8, bool or floats in 0..1, as float32."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255
    if not np.all((values >= 0) & (values <= 1)):  # NaN is neither
        raise _unusable(path, _ARRAY, f"values of {values.min():g} to {values.max():g}")
    return np.array(values, np.float32)


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST or max(width, height) > LARGEST:
        got = f"{width:,} x {height:,} px"
        raise _unusable(path, f"sides of {SMALLEST} to {LARGEST:,} px", got)


def _check_pixels(path: Path, pixels: int) -> None:
    """Refuse no image at all, and more than are held at a time."""
    if not 0 < pixels <= MOST_PIXELS:
        got = f"{pixels:,} up to this file"
        raise _unusable(path, f"1 to {MOST_PIXELS:,} pixels in all images", got)


def _unusable(path: Path, expected: str, got: str) -> ImageError:
    return ImageError(
        "airkit cannot use the image",
        where=path,
        expected=expected,
        got=got,
        hint="convert, scale or split it, and save it as PNG or with numpy.save",
    )
