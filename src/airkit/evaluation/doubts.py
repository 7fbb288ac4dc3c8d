"""What is off with images before a model sees them, in a sample of bounded size.

Shapes: H x W pixels of an image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from airkit.config.pictures import PicturesConfig
from airkit.config.schema import Config
from airkit.config.sections import PICTURES
from airkit.data.imports.images import Given, Place
from airkit.data.look.findings import look
from airkit.data.look.ink import SAMPLE, TOUCHING, Fault, level_fault, size_fault
from airkit.system.callbacks import Listener

T = TypeVar("T")
_PIXELS = 2**24
"""Most pixels in a sample."""
_SPAN, _BEYOND = 0.05, 0.25
"""Least range of grey levels, and how far they may be off, as shares of the range imported."""
_APART = 1.35
"""Ratio of two sizes from which on they are taken for different ones."""
_FEW = 24
"""Least pictures of one size that tell the size of their objects."""


class Sample(Generic[T]):
    """Some items of a stream of unknown length, evenly spaced."""

    def __init__(self, most: int) -> None:
        self.most, self.step, self.seen = most, 1, 0
        self.items: list[T] = []

    def add(self, item: T, pixels: int) -> None:
        """Keep the item if it is its turn."""
        if self.seen % self.step == 0:
            self.items.append(item)
        self.seen += 1
        while len(self.items) > min(self.most, max(1, _PIXELS // pixels)):
            self.items, self.step = self.items[::2], 2 * self.step


class Doubts:
    """What is off with each image: of digits, grey levels file by file, sizes of all together."""

    def __init__(self, trained: Config, *, invert: bool) -> None:
        self.invert = invert
        digits = trained.pictures == PicturesConfig()
        self.side = trained.data.digit_size if digits else None
        imported = trained.data.source == PICTURES
        self.limits = (trained.pictures.low, trained.pictures.high) if imported else None
        self.faults: list[Fault | None] = []
        self._of_file: Sample[Given] = Sample(SAMPLE)
        self._fine: Sample[np.ndarray] = Sample(SAMPLE // 10)
        self._full: Sample[np.ndarray] = Sample(SAMPLE // 10)
        self._pictures: Sample[np.ndarray] = Sample(SAMPLE // 10)
        self._object_size = trained.pictures.object_size if imported else 0.0
        self._range = np.inf, -np.inf

    def add(self, image: Given) -> None:
        """Take note of the next image."""
        self._range = min(self._range[0], image.levels[0]), max(self._range[1], image.levels[1])
        same = [(it.path, it.shape) for it in self._of_file.items[:1]]
        if same and same[0] != (image.path, image.shape):
            self._end_file()
        self._of_file.add(image, image.pixels.size)
        if self._object_size:
            self._pictures.add(image.pixels, image.pixels.size)

    def end(self) -> None:
        """All images were added."""
        if self._of_file.seen:
            self._end_file()
        if self.side is not None:
            size = size_fault(self._fine.items, self.side)
            self.faults = [fault or size for fault in self.faults]
        elif self.limits is not None and (levels := self._range_of_all()):
            self.faults = [levels] * len(self.faults)
        elif other := _other_size(self._pictures.items, self._object_size):
            self.faults = [fault or other for fault in self.faults]

    def larger(self, inks: Sequence[np.ndarray]) -> Fault | None:
        """What to say where more digits are found than there may be, and their ink is large."""
        return size_fault(inks, self.side, TOUCHING) if self.side else None

    def add_full(self, image: Given) -> None:
        """Take note of an image on which all slots are on."""
        self._full.add(image.ink, image.ink.size)

    def of_full(self, more: str) -> Fault:
        """What is off with those: ``more`` says that there may be more objects; or larger ones."""
        return self.larger(self._full.items) or Fault("slots", more)

    def _end_file(self) -> None:
        sample, self._of_file = self._of_file, Sample(SAMPLE)
        fault = None
        if self.side is not None:
            inks = np.stack([image.ink for image in sample.items])
            fault = level_fault(inks, sample.items[0].kind, inverted=self.invert)
        else:
            faults = [_other_levels(each, self.limits) for each in sample.items]
            fault = faults[0] if all(faults) else None
        if fault is None:
            for image in sample.items:
                self._fine.add(image.ink, image.ink.size)
        self.faults += [fault] * sample.seen

    def _range_of_all(self) -> Fault | None:
        """Whether the levels of all images are of another range than those imported."""
        assert self.limits is not None
        (low, high), (least, most) = self.limits, self._range
        if least >= 0 and most <= 1.3 and (low, high) == (0, 255):
            low, high = 0.0, 1.0  # floats, a share of white
        narrow = min(most, high) - max(least, low) < _SPAN * (high - low)
        return _of_levels(self._range, (low, high)) if narrow else None


def _other_levels(given: Given, limits: tuple[float, float] | None) -> Fault | None:
    """Whether an image has another unit than the pictures of the training."""
    least, most = given.levels
    if limits is None:
        if given.most < 2**16 - 1 or most >= _SPAN * given.most:
            return None
        text = f"{given.most:,.0f} is full ink, and grey levels are at most {most:g}; multiply them"
        return Fault("levels", text)
    low, high = limits
    beyond = _BEYOND * (high - low)
    other = given.most == 255 < high or least > high + beyond
    other = other or (given.most > 1 and most < low - beyond)
    return _of_levels(given.levels, limits) if other else None


def _other_size(pictures: list[np.ndarray], usual: float) -> Fault | None:
    """Whether objects look far larger or smaller than those of the training.

    Args:
        pictures: levels in 0..1, [C, H, W] each; those of the most common size are looked at.
        usual: what a look at the pictures of the training found, in pixels.
    """
    shapes = Counter(picture.shape for picture in pictures)
    shape = max(shapes, key=shapes.__getitem__, default=None)
    same = [picture for picture in pictures if picture.shape == shape]
    if len(same) < _FEW:
        return None
    levels = np.rint(255 * np.moveaxis(np.stack(same), 1, -1).clip(0, 1)).astype(np.uint8)
    seen = look(levels if levels.shape[-1] == 3 else levels[..., 0]).object_size
    if not seen or max(seen / usual, usual / seen) < _APART:
        return None
    sizes = f"objects look about {seen:.0f} px large, those of the training {usual:.0f} px"
    return Fault("size", f"{sizes}; scale the images by about {usual / seen:.2g}")


def _of_levels(found: tuple[float, float], limits: tuple[float, float]) -> Fault:
    (least, most), (low, high) = found, limits
    seen = f"grey levels are {least:g} to {most:g}, where {low:g} to {high:g} became black to"
    return Fault("levels", f"{seen} white at import; are these pictures of the same kind?")


def note(told: Iterable[tuple[Place, Fault | None]], listener: Listener) -> None:
    """Say what is off with images, once for each cause."""
    causes: dict[str, list[tuple[Place, Fault]]] = {}
    for place, fault in told:
        if fault:
            causes.setdefault(fault.cause, []).append((place, fault))
    for (place, fault), *others in causes.values():
        more = f" and {len(others):,} more" if others else ""
        listener.note(f"{place.path}{more}: {fault.text}")
