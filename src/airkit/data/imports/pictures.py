"""Pictures of a user's own, one after the other: folders, files, arrays, HDF5.

A source can be walked through again and again and holds one picture at a time, so that memory
does not grow with their number. Nothing in a file is trusted: sizes are checked before memory is
allocated for pixels, and nothing is unpickled.

Shapes: N pictures of H x W pixels; C channels: grey or three colours, then opacity if at all.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from airkit.config.pictures import Edges
from airkit.data.imports.levels import (
    become_grey,
    greatest,
    kind_of,
    luminance,
    mend_transparency,
    opaque,
    with_opacity,
)
from airkit.data.look.ink import Kind
from airkit.errors import ImageError
from airkit.system.files import check_regular
from airkit.system.text import argument

Array = np.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
CHANNELS = {"red": 0, "green": 1, "blue": 2}
SMALLEST, LARGEST = 8, 1024
"""Least and greatest side of a picture that is not cut into tiles."""
MOST_PIXELS = 2**28
"""Most pixels of a picture that is."""
SCALES = 0.01, 10.0
"""Least and greatest factor to resize pictures by."""
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
"""EXIF's tag."""


@dataclass(frozen=True)
class Truth:
    """What is known of a picture; None is what is not."""

    count: int | None = None
    boxes: Array | None = None
    """x, y, width, height in pixels, [k, 4]."""
    labels: Array | None = None
    """Classes of the objects, [k]."""
    mask: Array | None = None
    """0 for the background, k for the object in place k - 1, [H, W]."""


UNKNOWN = Truth()


@dataclass(frozen=True)
class Picture:
    """One picture."""

    name: str
    """Where it is from, for messages; of a file, its name comes first."""
    levels: Array
    """Grey levels in their own unit, [H, W], or colours [H, W, 3]."""
    channels: int = 1
    """Channels that it had."""
    truth: Truth = UNKNOWN
    kind: Kind = "grey"
    """How it was stored."""
    path: Path = Path()
    """The file that it is from."""
    index: int | None = None
    """Its place in a stack, from 0; None where the file is one picture."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.levels.shape[:2]
        return height, width


@dataclass
class Reading:
    """How pictures are read, and what was noticed while they were."""

    channel: str = "grey"
    """grey, the luminance, or red, green, blue."""
    behind: float = 0.0
    """Grey behind transparent pixels: 0 is black, 1 white."""
    tiled: bool = False
    """Whether pictures are cut into tiles, so that larger ones are allowed."""
    colour: bool = False
    """Whether levels are of red, green and blue, [H, W, 3], rather than grey."""
    crop: Edges = (0, 0, 0, 0)
    """What is cut off at the edges, once a picture is checked."""
    scale: float = 1.0
    """Factor by which sides are multiplied after that."""
    single: bool = False
    """Whether an array [H, W] or [H, W, C] is one picture."""
    noticed: Counter[str] = field(default_factory=Counter)
    """How many pictures had colour, transparency, a turn by EXIF."""

    def __post_init__(self) -> None:
        """Refuse a channel that there is not, and edges and scales that cannot be used."""
        channels, edges = ("grey", *CHANNELS), self.crop
        cropped = "pixels to cut off at the left, top, right and bottom, such as 0,0,0,60"
        scaled = "0.01 to 10, about 14 px divided by the side of an object"
        is_crop = len(edges) == 4 and all(isinstance(edge, int) and edge >= 0 for edge in edges)
        is_scale = SCALES[0] <= self.scale <= SCALES[1]
        for right, name, expected, got in (
            (self.channel in channels, "channel", " or ".join(channels), self.channel),
            (is_crop, "crop", cropped, ",".join(map(str, edges))),
            (is_scale, "scale", scaled, self.scale),
        ):
            if not right:
                what, where = "Pictures cannot be read like this", argument(name)
                hint = f"leave out {where}"
                raise ImageError(what, where=where, expected=expected, got=got, hint=hint)

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """Leave ``noticed`` as it is in an extra walk, so that no picture is counted twice."""
        before = Counter(self.noticed)
        try:
            yield
        finally:
            self.noticed.clear()
            self.noticed.update(before)

    def check_size(self, name: str, width: int, height: int) -> None:
        """Refuse sides that cannot be used, once cropped and resized; raises ImageError."""
        fault, cropped = self._size_fault(width, height), any(self.crop)
        if fault is None:
            return
        cuts = f"{argument('tile', 'S')} cuts large pictures into S x S tiles"
        large = f"crop more, or {argument('scale', 0.5)}" if self.tiled else cuts
        small = f"{'crop less' if cropped else 'scale it'}, or leave it out"
        most = (
            f"{MOST_PIXELS:,} pixels at most" if self.tiled else f"sides of at most {LARGEST:,} px"
        )
        width, height = self._left_of(width, height)
        became = " once cropped" * cropped + f", times {self.scale:g}" * (self.scale != 1)
        raise ImageError(
            f"A picture is too {fault}",
            where=name,
            expected=f"{most}, and of at least {SMALLEST} px",
            got=f"{width:,} x {height:,} px{became}",
            hint=large if fault == "large" else small,
        )

    def _size_fault(self, width: int, height: int) -> str | None:
        """Whether a picture is too small or too large, once cropped and resized."""
        (width, height), factor = self._left_of(width, height), self.scale
        large = not self.tiled and factor * max(width, height) > LARGEST
        if large or max(1, factor**2) * width * height > MOST_PIXELS:
            return "large"
        return "small" if factor * min(width, height) < SMALLEST else None

    def _left_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height once cropped."""
        left, top, right, bottom = self.crop
        return width - left - right, height - top - bottom

    def picture(
        self, name: str, values: Array, path: Path, index: int | None, truth: Truth = UNKNOWN
    ) -> Picture:
        """The picture of values [H, W, C]."""
        kind, channels = kind_of(values), values.shape[2]
        values = self._opaque(values) if channels in (2, 4) else values
        levels = self.colours(values) if self.colour else self.grey(values)
        return Picture(name, levels, channels, truth, kind, path, index)

    def colours(self, values: Array) -> Array:
        """Levels of red, green and blue [H, W, 3] of opaque values; grey has three alike."""
        if values.shape[2] == 1:
            self.noticed["grey"] += 1
            values = np.repeat(values, 3, 2)
        return values

    def grey(self, values: Array) -> Array:
        """Grey levels [H, W] of opaque values [H, W, 1] or [H, W, 3]."""
        if values.shape[2] == 1:
            return np.ascontiguousarray(values[..., 0])
        self.noticed["colour"] += become_grey(values)
        if self.channel in CHANNELS:
            return np.ascontiguousarray(values[..., CHANNELS[self.channel]])
        return luminance(values)

    def values(self, name: str, page: Image.Image) -> Array:
        """Values [H, W, C] of a page of any mode, turned as its EXIF says; opacity comes last."""
        width, height = page.size
        if self._size_fault(height, width):  # as EXIF may turn it; ``framed`` checks what it does
            self.check_size(name, width, height)
        mend_transparency(page)  # before the pixels are read, as for getexif
        turn = page.getexif().get(_ORIENTATION, 1)
        self.noticed["turn"] += turn != 1
        packed = [tile[0] for tile in getattr(page, "tile", ())]  # empty once pixels are read
        if turn > 4 and page.format == "TIFF" and packed[:1] == ["raw"]:
            raise ValueError("an uncompressed TIFF to turn by EXIF, which Pillow garbles")
        turned = page if turn == 1 else ImageOps.exif_transpose(page)
        clear = turned.info.get("transparency")
        if turned.mode.startswith("I") or turned.mode == "F":
            levels = np.asarray(turned)
            return levels[..., None] if clear is None else with_opacity(levels, clear)
        grey, opacity = turned.mode in ("1", "L", "LA"), "A" in turned.mode or clear is not None
        wanted = "RGBA" if opacity else "L" if grey else "RGB"
        values = np.asarray(turned if turned.mode == wanted else turned.convert(wanted))
        return np.atleast_3d(values[..., ::3] if grey and opacity else values)

    def _opaque(self, values: Array) -> Array:
        """Values [H, W, C + 1] without their opacity, over ``behind``."""
        if values[..., -1].min() == greatest(values.dtype):
            return values[..., :-1]
        self.noticed["transparency"] += 1
        return opaque(values, self.behind)


@dataclass
class Bad:
    """What becomes of files that cannot be read: the first ends the work, or all are skipped."""

    skip: bool
    skipped: dict[str, str] = field(default_factory=dict)
    """Their names, in order, and what is wrong with them."""

    def __call__(self, path: Path, error: ImageError) -> None:
        """Raise the error, or take note of its file."""
        if not self.skip:
            raise error
        self.skipped[str(path)] = error.got or error.what


class Pictures:
    """Pictures of one source, read anew each time that they are walked through."""

    def __init__(self, name: str, many: int, reading: Reading) -> None:
        self.name, self.many, self.reading = name, many, reading

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """Yield the pictures in order.

        Args:
            bad: hears of files that cannot be read, and may raise.
        """
        raise NotImplementedError


class Files(Pictures):
    """Picture files, each of one picture or, a TIFF, of several pages."""

    def __init__(
        self,
        name: str,
        paths: Collection[Path],
        reading: Reading,
        truths: Callable[[Path, int], Sequence[Truth]] = lambda _, pages: [UNKNOWN] * pages,
    ) -> None:
        """Take files, and what is known of each page, by a file and the number of its pages."""
        super().__init__(name, len(paths), reading)
        self.paths, self.truths = paths, truths

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """See ``Pictures.walk``."""
        for path in self.paths:
            try:
                yield from self._read(path)
            except ImageError as error:
                bad(path, error)

    def _read(self, path: Path) -> Iterator[Picture]:
        with reading_of(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_regular(path)
            with Image.open(_source(path), formats=FORMATS) as image:
                pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
                truths = self.truths(path, pages)
                for place, page in enumerate(ImageSequence.Iterator(image)):
                    name = str(path) if pages == 1 else f"{path}, page {place + 1}"
                    index = None if pages == 1 else place
                    values = self.reading.values(name, page)
                    yield self.reading.picture(name, values, path, index, truths[place])
                    if image.format != "TIFF":
                        break


def _source(path: Path) -> Path | BytesIO:
    """A file for Pillow; a PNG in memory, so that a chunk of forged length ends with the file."""
    with path.open("rb") as file:
        start = file.read(len(_PNG))
        return BytesIO(start + file.read()) if start == _PNG else path


class InMemory(Pictures):
    """A picture of Pillow's."""

    def __init__(self, name: str, image: Image.Image, reading: Reading) -> None:
        super().__init__(name, 1, reading)
        self.image = image

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """See ``Pictures.walk``."""
        path = Path(self.name)
        try:
            with reading_of(path):
                values = self.reading.values(self.name, self.image)
                yield self.reading.picture(self.name, values, path, None)
        except ImageError as error:
            bad(path, error)


@contextmanager
def reading_of(path: Path, expected: str = "") -> Iterator[None]:
    """Turn whatever the libraries raise at a file into one ImageError.

    Args:
        path: the file.
        expected: what it should be, where that is no single picture.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # they raise all sorts at files that lie
        got = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        missing = isinstance(error, FileNotFoundError)
        another = f"{'check its name' if missing else 'mend it'}, or name another"
        skip = f"mend or remove it; {argument('skip_bad', True)} leaves such files out"
        raise ImageError(
            "Cannot read " + ("the pictures" if expected else "a picture"),
            where=path,
            expected=expected or "PNG, JPEG, TIFF, BMP or WebP",
            got=got or type(error).__name__,
            hint=another if expected else skip,
        ) from error
