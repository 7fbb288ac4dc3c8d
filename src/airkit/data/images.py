"""Grey images from elsewhere, PNG files and NumPy arrays, as ink in 0..1.

A file is what its first bytes say, whatever its name. Sizes are checked before memory is
allocated for pixels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
_STEP = {1: 255, 2: 85, 4: 17}
"""Step between grey levels of few bits; Pillow scales pixels so, but not the transparent level."""
_ARRAY = "an array of uint8, of bool, or of floats in 0..1"


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
    pixels = 0
    for path in paths:
        found = read(path, invert=invert)
        pixels += sum(grey.ink.size for grey in found)
        _check_pixels(path, pixels)
        images += found
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
    first = _first_bytes(path)
    if first == _PNG:
        images = [Grey(path, None, _png(path, blank=255 if invert else 0))]
    elif first.startswith(_NPY):
        images = _npy(path)
    else:
        raise ImageError(
            "Not an image that airkit reads",
            where=path,
            expected="a PNG file, or a NumPy array as numpy.save writes it (.npy)",
            got="a file of another kind" if first else "an empty file",
            hint="save it as PNG, or with numpy.save",
        )
    return [Grey(it.path, it.index, 1 - it.ink) for it in images] if invert else images


def _first_bytes(path: Path) -> bytes:
    try:
        return start_of(path, len(_PNG))
    except OSError as error:
        hint = "airkit infer FILES, each a PNG or .npy file"
        if os.path.isdir(path):
            hint = f"name its files: {quoted(path)}/*.png"
        got = error.strerror or error
        raise ImageError("Cannot read an image", where=path, got=got, hint=hint) from error


def _png(path: Path, *, blank: int) -> Array:
    """Ink of a PNG of any mode, float32 [H, W]; transparent pixels are ``blank``, 0 or 255."""
    with _reading(path, "PNG file"), Image.open(path, formats=["PNG"]) as image:
        _check_size(path, *image.size)
        bits = start_of(path, _DEPTH + 1)[_DEPTH]
        if image.mode in ("1", "L") or image.mode.startswith("I"):
            return _from_levels(image, bits, blank)
        return _from_colours(image, bits, blank)


def _from_colours(image: Image.Image, bits: int, blank: int) -> Array:
    """Ink of an image with colours or an alpha channel: its luminance."""
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and bits == 16:  # Pillow reads the upper 8 bits of pixels
        image.info["transparency"] = tuple(level >> 8 for level in clear)
    if image.has_transparency_data:
        behind = Image.new("RGBA", image.size, (blank, blank, blank, 255))
        image = Image.alpha_composite(behind, image.convert("RGBA"))
    return np.asarray(image.convert("L")).astype(np.float32) / 255


def _from_levels(image: Image.Image, bits: int, blank: int) -> Array:
    """Ink of an image of grey levels, one of which may be transparent."""
    deep = image.mode.startswith("I")
    levels = np.asarray(image if deep else image.convert("L"))
    ink: Array = levels.astype(np.float32) / (65535 if deep else 255)
    clear = image.info.get("transparency")
    if clear is not None:
        clear = min(clear, 1) if bits == 1 else clear  # 255 in some versions of Pillow
        ink[levels == clear * _STEP.get(bits, 1)] = blank / 255
    return ink


def _npy(path: Path) -> list[Grey]:
    """The images of an array, memory-mapped so that a forged shape costs no memory."""
    with _reading(path, "NumPy array", _ARRAY):
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    if stack.dtype not in (np.uint8, np.bool_) and stack.dtype.kind != "f":
        raise _not_grey(path, _ARRAY, stack.dtype)
    if stack.ndim not in (2, 3):
        raise _not_grey(path, "an array [H, W] or [N, H, W]", f"shape {list(stack.shape)}")
    _check_size(path, *reversed(stack.shape[-2:]))
    _check_pixels(path, stack.size)
    if stack.ndim == 2:
        return [Grey(path, None, _scaled(path, stack))]
    return [Grey(path, index, _scaled(path, image, index)) for index, image in enumerate(stack)]


def _scaled(path: Path, values: Array, index: int = 0) -> Array:
    """Grey levels [H, W], uint8, bool or floats in 0..1, as float32."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255
    if not np.all((values >= 0) & (values <= 1)):  # NaN is neither
        got = f"values of {values.min():g} to {values.max():g} in image {index}"
        raise _not_grey(path, _ARRAY, got)
    return np.array(values, np.float32)


@contextmanager
def _reading(path: Path, kind: str, expected: str | None = None) -> Iterator[None]:
    """Make one ImageError of whatever a reader raises at a file, and silence its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as error:  # both libraries raise all sorts at files that lie
        got = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "save it again, as PNG or with numpy.save"
        raise ImageError(
            f"Cannot read the {kind}", where=path, expected=expected, got=got, hint=hint
        ) from error


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST or max(width, height) > LARGEST:
        raise ImageError(
            "The image is too small or too large",
            where=path,
            expected=f"sides of {SMALLEST} to {LARGEST:,} px",
            got=f"{width:,} x {height:,} px",
            hint="cut or scale it so that digits are as large as those the run was trained on",
        )


def _check_pixels(path: Path, pixels: int) -> None:
    """Refuse no image at all, and more than are held at a time."""
    if not pixels:
        hint = "save some with numpy.save"
        raise ImageError("The array holds no images", where=path, hint=hint)
    if pixels > MOST_PIXELS:
        raise ImageError(
            "There are too many images",
            where=path,
            expected=f"at most {MOST_PIXELS:,} pixels in all",
            got=f"{pixels:,} up to this file",
            hint="airkit infer some of them at a time",
        )


def _not_grey(path: Path, expected: str, got: object) -> ImageError:
    return ImageError(
        "The array holds no grey images",
        where=path,
        expected=expected,
        got=got,
        hint="convert it, and save it with numpy.save",
    )
