"""Grey images from elsewhere, PNG files and NumPy arrays, as ink in 0..1.

A file is what its first bytes say, whatever its name. Nothing is believed before it is checked:
sizes are known, and refused, before memory is taken for pixels. The only home of Pillow.
"""

from __future__ import annotations

import os
import struct
import tokenize
import warnings
import zlib
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
"""Where a PNG file says how many bits a grey level or a colour has."""
_STEP = {1: 255, 2: 85, 4: 17}
"""How far apart grey levels of few bits are once read; the transparent one is told unread."""
_ARRAY = "an array of uint8, of bool, or of floats in 0..1"
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError),
    *(MemoryError, RecursionError, struct.error, tokenize.TokenError, zlib.error),
)
"""What Pillow and NumPy raise at files that are not what they say they are."""


@dataclass(frozen=True)
class Grey:
    """One image."""

    path: Path
    """The file it is from."""
    index: int | None
    """Its place in a stack, from 0; None where the file is one image."""
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
        images += (found := read(path, invert=invert))
        pixels += sum(grey.ink.size for grey in found)
        _check_pixels(path, pixels)
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
        raise ImageError(
            "Cannot read an image",
            where=path,
            got=error.strerror or str(error),
            hint="airkit infer FILES, each a PNG or .npy file"
            if not os.path.isdir(path)
            else f"name its files: {quoted(path)}/*.png",
        ) from error


def _png(path: Path, *, blank: int) -> Array:
    """Ink of a PNG of any mode, float32 [H, W]: colours as grey, what is transparent ``blank``."""
    try:
        with _readable(path, "PNG file"), Image.open(path, formats=["PNG"]) as image:
            _check_size(path, *image.size)
            return _grey(image, start_of(path, _DEPTH + 1)[_DEPTH], blank)
    except Image.DecompressionBombError as error:
        raise _wrong_size(path, "far more pixels") from error


def _grey(image: Image.Image, bits: int, blank: int) -> Array:
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return _levels(image, bits, blank)
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and bits == 16:  # pixels are read as the upper 8
        image.info["transparency"] = tuple(level >> 8 for level in clear)
    if image.mode in ("LA", "RGBA") or clear is not None:
        behind = Image.new("RGBA", image.size, (blank, blank, blank, 255))
        image = Image.alpha_composite(behind, image.convert("RGBA"))
    return np.asarray(image.convert("L")).astype(np.float32) / 255


def _levels(image: Image.Image, bits: int, blank: int) -> Array:
    """Ink of an image of grey levels alone, one of which may be transparent."""
    deep = image.mode.startswith("I")
    levels = np.asarray(image if deep else image.convert("L"))
    ink: Array = levels.astype(np.float32) / (65535 if deep else 255)
    clear = image.info.get("transparency")
    if clear is not None:
        clear = min(clear, 1) if bits == 1 else clear  # some versions of Pillow tell 255
        ink[levels == clear * _STEP.get(bits, 1)] = blank / 255
    return ink


def _npy(path: Path) -> list[Grey]:
    """The images of an array; mapped, so that a shape that is no more than said costs nothing."""
    with _readable(path, "NumPy array", _ARRAY):
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    if stack.dtype not in (np.uint8, np.bool_) and stack.dtype.kind != "f":
        raise _not_grey(path, _ARRAY, stack.dtype)
    if stack.ndim not in (2, 3):
        raise _not_grey(path, "an array [H, W] or [N, H, W]", f"shape {list(stack.shape)}")
    _check_size(path, *reversed(stack.shape[-2:]))
    _check_pixels(path, stack.size)
    if stack.ndim == 2:
        return [Grey(path, None, _ink(path, stack))]
    return [Grey(path, index, _ink(path, each, index)) for index, each in enumerate(stack)]


def _ink(path: Path, values: Array, index: int | None = None) -> Array:
    """Grey levels [H, W], uint8, bool or floats in 0..1, as float32."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255
    if not np.all((values >= 0) & (values <= 1)):  # NaN is neither
        nan = bool(np.isnan(values).any())
        got = "NaN" if nan else f"values of {values.min():g} to {values.max():g}"
        place = "" if index is None else f" in image {index}"
        raise _not_grey(path, _ARRAY, got + place)
    return np.array(values, np.float32)


@contextmanager
def _readable(path: Path, kind: str, expected: str | None = None) -> Iterator[None]:
    """Tell whatever a reader raises at a file as one ImageError; its warnings are not for users."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _DAMAGE as error:
        got = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"Cannot read the {kind}"
        hint = "save it anew, as PNG or with numpy.save"
        raise ImageError(what, where=path, expected=expected, got=got, hint=hint) from error


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST or max(width, height) > LARGEST:
        raise _wrong_size(path, f"{width:,} x {height:,} px")


def _check_pixels(path: Path, pixels: int) -> None:
    """Refuse no image at all, and more than are held at a time."""
    if not 0 < pixels <= MOST_PIXELS:
        raise ImageError(
            "There are too many images" if pixels else "The array holds no images",
            where=path,
            expected=f"at most {MOST_PIXELS:,} pixels in all" if pixels else "at least one",
            got=f"{pixels:,} up to this file" if pixels else None,
            hint="airkit infer some of them at a time" if pixels else "save one with numpy.save",
        )


def _wrong_size(path: Path, got: str) -> ImageError:
    return ImageError(
        "The image is too small or too large",
        where=path,
        expected=f"sides of {SMALLEST} to {LARGEST:,} px",
        got=got,
        hint="cut or scale it so that digits are as large as those the run was trained on",
    )


def _not_grey(path: Path, expected: str, got: object) -> ImageError:
    return ImageError(
        "The array holds no grey images",
        where=path,
        expected=expected,
        got=got,
        hint="convert it, and save it with numpy.save",
    )
