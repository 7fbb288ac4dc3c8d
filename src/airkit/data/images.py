"""Grey images from elsewhere, in files or in memory, as ink in 0..1.

A file is what its first bytes say, whatever its name. Sizes are checked before memory is
allocated for pixels.

Shapes: N images of H x W pixels; C channels: a grey level or three colours, then opacity if at all.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from airkit.data.ink import Kind, is_binary
from airkit.errors import ImageError
from airkit.system.files import start_of
from airkit.system.paths import to_path
from airkit.system.text import quoted

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]

SMALLEST, LARGEST = 8, 1024
"""Least and greatest side of an image, in pixels."""

MOST_PIXELS = 2**28
"""Most pixels of all images together: they are held in memory, 4 bytes each."""

_PNG, _NPY = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"
_DEPTH = 24
"""Offset in a PNG file of the bits of a grey level or a colour."""
_ARRAY = "an array [H, W], [N, H, W] or [..., C] of uint8, of bool, or of floats in 0..1"
_CHANNELS = (1, 2, 3, 4)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""What red, green and blue add to the luminance, as in Pillow."""
_OVERSHOOT = 0.3
"""How far floats may be outside of 0..1: cubic and Lanczos filters overshoot where they resize."""
_ROWS = 256
"""Rows that are compared to tell flattened images."""

ImageLike: TypeAlias = "str | Path | Array | Tensor | Image.Image"
"""A file, an array, a tensor or a PIL image."""


@dataclass(frozen=True)
class Grey:
    """One image."""

    path: Path
    """The file it is from; ``image-I`` for one in memory, place I of those given."""
    index: int | None
    """Its place in a stack, from 0; None if the file is one image."""
    ink: Array
    """Ink in 0..1, bright on dark, float32 [height, width]."""
    kind: Kind = "grey"
    """How it was stored."""

    @property
    def name(self) -> str:
        """The file's name without its ending, and the place in its stack."""
        return self.path.stem if self.index is None else f"{self.path.stem}-{self.index}"

    @property
    def side(self) -> int:
        """Side of the smallest square that holds the image, in pixels."""
        return int(max(self.ink.shape))

    def square(self, *, edge: bool = False) -> Array:
        """The image with blank, or with its edge repeated, to its right or below, [side, side]."""
        height, width = self.ink.shape
        missing = (0, self.side - height), (0, self.side - width)
        square: Array = np.pad(self.ink, missing, "edge") if edge else np.pad(self.ink, missing)
        return square

    def rescaled(self, low: float, high: float, *, inverted: bool) -> Grey:
        """The image with ``low`` as black and ``high`` as white, in the levels it was stored in.

        Those are 0 to 65,535 for 16 bits, else 0 to 255; of floats 0 to 1, where ``high`` is no
        more. ``inverted`` says whether ink is darkness.
        """
        white = 1 if high <= 1 else 65535 if self.kind == "16 bits" else 255
        levels = white * (1 - self.ink if inverted else self.ink)
        ink = ((levels - low) / (high - low)).clip(0, 1).astype(np.float32)
        return replace(self, ink=1 - ink if inverted else ink)


def read_all(given: ImageLike | Iterable[ImageLike], *, invert: bool = False) -> list[Grey]:
    """Read one image or several, as ``read`` does each of them.

    Raises:
        ImageError: as ``read`` does, or there are more images than memory is meant to hold.
    """
    several = not isinstance(given, str | Image.Image) and not hasattr(given, "shape")
    images: list[Grey] = []
    for place, each in enumerate(given if several and isinstance(given, Iterable) else [given]):
        images += (found := read(each, place, invert=invert))
        _check_pixels(found[0].path, sum(grey.ink.size for grey in images))
    return images


def read(given: ImageLike, place: int = 0, *, invert: bool = False) -> list[Grey]:
    """Read an image or a stack of images.

    Args:
        given: a PNG file; a .npy file, an array or a tensor, [H, W], [N, H, W], or one of these
            with channels, [..., C] or [N, C, H, W]; or a PIL image.
        place: the place of one in memory among those given, which names it.
        invert: take dark for ink.

    Raises:
        ImageError: no such file, one of another kind, a damaged one, or one whose images are
            too small, too large, too many, or not grey levels.
    """
    path = to_path(given) if isinstance(given, str | Path) else Path(f"image-{place}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = _read(path, given, blank=255 if invert else 0)
    except ImageError:
        raise
    except Exception as error:  # both libraries raise all sorts at files that lie
        got = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        hint = "name PNG files, or arrays saved by numpy.save"
        if os.path.isdir(path):
            hint = f"name its files: {quoted(path)}/*.png"
        what = "Cannot read an image"
        raise ImageError(what, where=path, got=got or type(error).__name__, hint=hint) from error
    return [replace(it, ink=1 - it.ink) for it in images] if invert else images


def _read(path: Path, given: ImageLike, *, blank: int) -> list[Grey]:
    """The images of a file or in memory; transparent pixels are ``blank``, 0 or 255."""
    if isinstance(given, Image.Image):
        _check_size(path, *given.size)
        if given.mode == "F":
            return _from_array(path, np.asarray(given), blank=blank)
        return [Grey(path, None, *_png(path, _png_bytes(given), blank=blank))]
    if not isinstance(given, str | Path):
        return _from_array(path, _as_array(given), blank=blank)
    first = start_of(path, len(_PNG))
    if first == _PNG:  # in memory, a chunk of forged length reads no more than there is
        return [Grey(path, None, *_png(path, path.read_bytes(), blank=blank))]
    if first.startswith(_NPY):  # memory-mapped, so that a forged shape costs no memory
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
        return _from_array(path, stack, blank=blank)
    expected = "a PNG file, or a NumPy array as numpy.save writes it (.npy)"
    raise _unusable(path, expected, "a file of another kind")


def _png_bytes(image: Image.Image) -> bytes:
    """A PIL image of any mode but F as a PNG file."""
    file = BytesIO()
    own = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA") or image.mode.startswith("I")
    (image if own else image.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _as_array(given: Any) -> Array:
    """An array of an array or a tensor, which may be on a GPU or need gradients."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given  # NumPy has no bfloat16
    return np.asarray(given)


def _png(path: Path, content: bytes, *, blank: int) -> tuple[Array, Kind]:
    """Ink of a PNG of any mode, float32 [H, W], and how it was stored.

    Transparent pixels are ``blank``, 0 or 255.
    """
    with Image.open(BytesIO(content), formats=["PNG"]) as image:
        _check_size(path, *image.size)
        bits = content[_DEPTH]
        clear = image.info.get("transparency")
        if image.mode.startswith("I"):
            levels = np.asarray(image)
            ink = np.where(levels == clear, blank / 255, levels / 65535).astype(np.float32)
            return ink, "16 bits"
        if isinstance(clear, tuple) and bits == 16:  # Pillow reads the upper 8 bits of pixels
            image.info["transparency"] = tuple(level >> 8 for level in clear)
        elif isinstance(clear, int) and image.mode in ("1", "L"):  # Pillow scales pixels alone
            most = 2**bits - 1
            image.info["transparency"] = min(clear, most) * 255 // most
        behind = Image.new("RGBA", image.size, (blank, blank, blank, 255))
        colours = image.convert("RGBA")
        flat = Image.alpha_composite(behind, colours)
        kind = _kind(np.asarray(colours, np.float32) / 255)
        return np.asarray(flat.convert("L"), np.float32) / 255, kind


def _kind(values: Array) -> Kind:
    """How an image was stored, by its values in 0..1, [H, W, C]."""
    channels = values.shape[2]
    if channels in (2, 4) and values[..., -1].min() < 1 and values[..., -1].max() > 0.5:
        return "transparent"  # around ink that is not
    return "colours" if channels > 2 and np.ptp(values[..., :3], axis=-1).max() > 0.1 else "grey"


def _from_array(path: Path, array: Array, *, blank: int) -> list[Grey]:
    """The images of an array."""
    got = f"{array.dtype} {list(array.shape)}"
    stack, single = _as_stack(array)
    if stack.ndim != 4 or not (array.dtype in (np.uint8, np.bool_) or array.dtype.kind == "f"):
        raise _unusable(path, _ARRAY, got)
    if single and (side := _side_in_rows(array)):
        hint = f"give each image its rows: array.reshape(-1, {side}, {side})"
        raise _unusable(path, _ARRAY, f"{got}, which looks like an image a row", hint)
    _check_size(path, stack.shape[2], stack.shape[1])
    _check_pixels(path, stack.size)
    binary = len(stack) > 1 and stack.dtype == np.uint8 and is_binary([stack])
    images = []
    for index, image in enumerate(stack):
        values = _scaled(path, image) * (255 if binary else 1)
        kind: Kind = "0 and 1" if binary else _kind(values)
        images.append(Grey(path, None if single else index, _luminance(values, blank / 255), kind))
    return images


def _as_stack(array: Array) -> tuple[Array, bool]:
    """An array as [N, H, W, C], where it can be that, and whether it is one image."""
    coloured = array.ndim > 2 and array.shape[-1] in _CHANNELS
    if array.ndim == 4 and array.shape[1] in (1, 3) and not coloured:  # as in PyTorch
        array, coloured = np.moveaxis(array, 1, -1), True
    stack = array if coloured else array[..., None]
    return (stack[None], True) if stack.ndim == 3 else (stack, False)


def _side_in_rows(array: Array) -> int | None:
    """The side of square images that are flattened to the rows of an array [N, side * side].

    Of these, pixels are more like those a side further on than like those below, which are no more
    like them than those of other rows are.
    """
    side = math.isqrt(array.shape[1])
    if array.ndim != 2 or side < SMALLEST or side**2 != array.shape[1] or len(array) < 2:
        return None
    rows = array[:_ROWS].astype(np.float32)
    below = np.abs(np.diff(rows, axis=0)).mean()
    further = np.abs(rows[:, side:] - rows[:, :-side]).mean()
    elsewhere = np.abs(rows - np.roll(rows, len(rows) // 2, axis=0)).mean()
    return side if below > max(1.2 * further, 0.7 * elsewhere) else None


def _luminance(values: Array, blank: float) -> Array:
    """The luminance [H, W] of values [H, W, C]; what is transparent is ``blank``."""
    colours = values.shape[2] // 3 * 2 + 1
    grey = values[..., 0] if colours == 1 else values[..., :3] @ _LUMINANCE
    if values.shape[2] == colours:
        return np.ascontiguousarray(grey)
    opacity = values[..., -1]
    return np.asarray(grey * opacity + blank * (1 - opacity))


def _scaled(path: Path, values: Array) -> Array:
    """Grey levels, uint8, bool or floats in about 0..1, as float32 in 0..1."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255
    low, high = values.min(), values.max()
    if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):  # NaN is neither
        raise _unusable(path, _ARRAY, f"values of {low:g} to {high:g}")
    return np.clip(values.astype(np.float32), 0, 1)


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST or max(width, height) > LARGEST:
        got = f"{width:,} x {height:,} px"
        raise _unusable(path, f"sides of {SMALLEST} to {LARGEST:,} px", got)


def _check_pixels(path: Path, pixels: int) -> None:
    """Refuse no image at all, and more than are held at a time."""
    if not 0 < pixels <= MOST_PIXELS:
        got = f"{pixels:,} up to this file"
        raise _unusable(path, f"1 to {MOST_PIXELS:,} pixels in all images", got)


def _unusable(path: Path, expected: str, got: str, hint: str = "") -> ImageError:
    return ImageError(
        "airkit cannot use the image",
        where=path,
        expected=expected,
        got=got,
        hint=hint or "convert, scale or split it, and save it as PNG or with numpy.save",
    )
