"""Images to infer on: whatever ``airkit import`` reads, as ink in 0..1, one after the other.

Shapes: H x W pixels of an image; C channels, 1 or 3.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from airkit.config.pictures import Edges, PicturesConfig
from airkit.data.imports.folders import files_of
from airkit.data.imports.geometry import framed, nearest, padded
from airkit.data.imports.given import pictures_of
from airkit.data.imports.levels import greatest, scaled
from airkit.data.imports.notes import NOTES
from airkit.data.imports.pictures import (
    UNKNOWN,
    Array,
    Bad,
    InMemory,
    Picture,
    Pictures,
    Reading,
    reading_of,
)
from airkit.data.imports.stacks import Rows
from airkit.data.imports.truth import checked
from airkit.data.look.ink import Kind, is_binary
from airkit.errors import ImageError
from airkit.system.callbacks import Listener
from airkit.system.paths import to_path
from airkit.system.text import numbered

if TYPE_CHECKING:
    from torch import Tensor

ImageLike: TypeAlias = "str | Path | Array | Tensor | Image.Image"
"""A file, an array, a tensor or a PIL image."""
_SAME = "companions", "heic", "no pictures", "folders", "pickled", "turn"
"""What is told as at import."""
_TOLD = {
    **{name: NOTES[name] for name in _SAME},
    "transparency": "{n} {image is|images are} transparent in part, over {behind} as at import",
    "grey": "{n} {image is|images are} grey, while the run was trained on colours: read as white",
}
_OVERSHOOT = 0.3
"""How far floats may be outside of 0..1: cubic and Lanczos filters overshoot where they resize."""


@dataclass(frozen=True)
class Place:
    """Where an image is from."""

    path: Path
    """The file; ``image-I`` for one in memory, place I of those given."""
    index: int | None
    """Its place in a stack, from 0; None if the file is one image."""

    @property
    def name(self) -> str:
        """The file's name without its ending, and the place in its stack."""
        return self.path.stem if self.index is None else f"{self.path.stem}-{self.index}"


@dataclass(frozen=True)
class Given(Place):
    """One image."""

    pixels: Array
    """Ink in 0..1, bright on dark, or its colours, float32 [C, H, W]."""
    kind: Kind = "grey"
    """How it was stored."""
    levels: tuple[float, float] = (0.0, 1.0)
    """Least and greatest grey level, in its own unit; of a stack of 0 and 1, times 255."""
    most: float = 1.0
    """Greatest level that its type holds, 1 for floats."""
    came: tuple[int, int] = (0, 0)
    """Height and width as it came, before it was cropped and resized."""
    crop: Edges = (0, 0, 0, 0)
    """What was cut off at its edges, in pixels of it as it came."""

    @property
    def ink(self) -> Array:
        """Ink of the channel where it is most, [H, W]."""
        return np.asarray(self.pixels.max(0))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width = self.pixels.shape
        return height, width

    @property
    def _left(self) -> tuple[int, int]:
        """Height and width of what was left of it as it came."""
        left, top, right, bottom = self.crop
        return self.came[0] - top - bottom, self.came[1] - left - right

    def boxes_as_it_came(self, boxes: Array) -> Array:
        """Boxes x, y, width, height [k, 4] in pixels of the image as it came."""
        factors = np.array(self._left[::-1]) / np.array(self.shape[::-1])
        corner = np.array([*self.crop[:2], 0, 0], boxes.dtype)
        came: Array = (boxes * np.array([*factors, *factors]) + corner).astype(boxes.dtype)
        return came

    def mask_as_it_came(self, mask: Array) -> Array:
        """A mask [H, W] of the image as it came, 0 where it was cut off."""
        left, top, right, bottom = self.crop
        return np.pad(nearest(mask, *self._left), ((top, bottom), (left, right)))

    def padded(self, shape: tuple[int, int], *, edge: bool) -> Array:
        """The image padded on the right and below, [C, ...].

        Args:
            shape: least height and width; what is larger stays as it is.
            edge: pad by the median of the outermost pixels, as imported pictures are; else blank.
        """
        fill = None if edge else 0
        return np.moveaxis(padded(np.moveaxis(self.pixels, 0, -1), shape, fill), -1, 0)


class Images:
    """Images of a user's own, read anew each time that they are walked through."""

    def __init__(
        self,
        given: ImageLike | Iterable[ImageLike],
        *,
        invert: bool = False,
        pictures: PicturesConfig | None = None,
        colour: bool = False,
        tiled: bool = False,
        inside: bool = False,
    ) -> None:
        """Take what a person names.

        Args:
            given: one or several of: a folder; what ``airkit import`` reads; an array or a tensor
                [H, W] or [H, W, C], or a stack of these; a PIL image.
            invert: take dark for ink.
            pictures: how those of the training were imported: the grey levels that became black
                and white, the channel, the grey behind transparent pixels, edges cut off, the
                scale; without, all that the type can hold, or 0..1 of floats, and ink that is
                blank behind.
            colour: whether to keep colours, rather than their luminance.
            tiled: whether images are cut into tiles, so that larger ones are allowed.
            inside: take the pictures of folders inside of a folder too, one level down.

        Raises:
            ImageError: a folder without pictures.
        """
        self.invert, self.limits = invert, pictures and (pictures.low, pictures.high)
        how = pictures or PicturesConfig(behind=float(invert))
        self.reading = Reading(
            how.channel,
            how.behind,
            tiled=tiled,
            colour=colour,
            crop=how.crop,
            scale=how.scale,
            single=True,
        )
        several = not isinstance(given, str | Path | Image.Image) and not hasattr(given, "shape")
        each = given if several and isinstance(given, Iterable) else [given]
        self._behind = f"a grey of {how.behind:g} (0 is black, 1 white)"
        self.given = [item for one in each for item in self._expanded(one, inside)]
        self.done = 0
        """How many of these were walked through."""

    def walk(self, bad: Bad) -> Iterator[Given]:
        """Yield the images in their order.

        Args:
            bad: hears of what cannot be read, and may raise.
        """
        for place, given in enumerate(self.given):
            self.done = place
            path = to_path(given) if isinstance(given, str | Path) else Path(f"image-{place}")
            try:
                yield from self._inks(path, given, bad)
            except ImageError as error:
                bad(path, error)
        self.done = len(self.given)

    def note(self, listener: Listener) -> None:
        """Say what was passed over, and what became of the images."""
        for name, words in _TOLD.items():
            if name == "transparency" and self.limits is None:  # ``Doubts`` tells of digits
                continue
            if many := self.reading.noticed[name]:
                listener.note(numbered(words, many, behind=self._behind))

    def _expanded(self, given: Any, inside: bool) -> list[Any]:
        """The files of a folder; all else as it is."""
        if isinstance(given, str | Path) and os.path.isdir(path := to_path(given)):
            return [*files_of(path, self.reading.noticed, inside=inside)]
        return [given]

    def _inks(self, path: Path, given: Any, bad: Bad) -> Iterator[Given]:
        with reading_of(path):
            source = self._source(path, given)
            binary = self.limits is None and _is_binary(source)
            for picture in source.walk(bad):
                try:
                    grey = self._grey(checked(replace(picture, truth=UNKNOWN)), binary)
                except ImageError as error:
                    bad(path if picture.path == Path() else picture.path, error)
                else:
                    yield grey

    def _source(self, path: Path, given: Any) -> Pictures:
        if isinstance(given, Image.Image):
            return InMemory(str(path), given, self.reading)
        if isinstance(given, str | Path):
            return pictures_of(path, {}, self.reading)
        return pictures_of(given, {}, self.reading, str(path))

    def _grey(self, picture: Picture, binary: bool) -> Given:
        came = picture.levels.shape[0], picture.levels.shape[1]
        levels = framed(picture, self.reading).levels
        levels = levels * np.uint8(255) if binary else levels
        if self.limits is None:
            ink = _ink(picture, levels)
        else:
            ink = np.asarray(_scaled(levels, *self.limits), np.float32) / 255
        coloured = self.reading.colour and picture.kind == "colours"
        kind: Kind = "0 and 1" if binary else "grey" if coloured else picture.kind
        ink, range_ = 1 - ink if self.invert else ink, (float(levels.min()), float(levels.max()))
        pixels = np.ascontiguousarray(np.moveaxis(np.atleast_3d(ink), -1, 0))
        most = greatest(picture.levels.dtype)
        return Given(
            picture.path, picture.index, pixels, kind, range_, most, came, self.reading.crop
        )


def _is_binary(source: Pictures) -> bool:
    """Whether a stack of 8 bits holds 0 and 1 alone, which are taken for blank and full ink."""
    if not isinstance(source, Rows) or source.many < 2 or source.stack.dtype != np.uint8:
        return False
    return is_binary(source.stack.read())


def _scaled(levels: Array, low: float, high: float) -> Array:
    """Levels of 0..255; floats in 0..1 are a share of white where pictures had 8 bits."""
    if levels.dtype.kind == "f" and (low, high) == (0, 255) and _is_share(levels):
        low, high = 0.0, 1.0
    return scaled(levels, low, high)


def _is_share(levels: Array) -> bool:
    return bool(levels.min() >= -_OVERSHOOT and levels.max() <= 1 + _OVERSHOOT)


def _ink(picture: Picture, levels: Array) -> Array:
    """Ink of levels of 8 or 16 bits or of floats in about 0..1, float32 [H, W]."""
    kind, size = levels.dtype.kind, levels.dtype.itemsize
    if kind == "u" and size <= 2:
        return levels.astype(np.float32) / np.float32(255 if size == 1 else 65535)
    if kind == "f" and _is_share(levels):
        return np.clip(levels.astype(np.float32), 0, 1)
    values = f"values of {levels.min():g} to {levels.max():g}"
    raise ImageError(
        "airkit cannot use the image",
        where=picture.name,
        expected="8 or 16 bits, or floats in 0..1",
        got=values if kind == "f" else f"{levels.dtype}, {values}",
        hint="train on such pictures, by airkit import; or convert it, as by .astype(numpy.uint8)",
    )
