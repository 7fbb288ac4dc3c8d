"""A user's own images, checked before a model looks at them, and judged after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config.schema import Config
from airkit.config.sections import MOST_SLOTS, PICTURES
from airkit.data.imports.images import Given, Images, Place
from airkit.data.imports.pictures import Bad
from airkit.data.look.ink import Fault
from airkit.errors import ImageError
from airkit.evaluation.doubts import Doubts, note
from airkit.evaluation.pieces import Piece, least_tile, pieces_of
from airkit.evaluation.reasons import POLARITY, TEXTS, Reasons
from airkit.model.spatial_transformer import Shape
from airkit.runs.trained import TrainedModel
from airkit.system.callbacks import Listener

_MOST_TILES = 16
"""Most tiles of an image that are looked at for the reason why nothing was found."""


class Screening:
    """Two walks through all images: to check them, and to look at them."""

    def __init__(
        self,
        images: Any,
        model: TrainedModel,
        *,
        invert: bool = False,
        tile: int | None = None,
        skip_bad: bool = False,
        sub_folders: bool = False,
    ) -> None:
        """Take what a person names, and how; see ``airkit.infer``."""
        self.model, trained, self._given_tile = model, model.state.config, tile
        self.imported = trained.data.source == PICTURES
        self.source = Images(
            images,
            invert=invert,
            pictures=trained.pictures if self.imported else None,
            colour=trained.data.channels == 3,
            tiled=tile is not None,
            inside=sub_folders,
        )
        self.tile = None if tile is None else max(1, round(trained.pictures.scale * tile))
        """Side of tiles, once images are resized."""
        self.places: list[Place] = []
        self.bad, self._doubts = Bad(skip_bad), Doubts(trained, invert=invert)
        self._reasons, self._slots = Reasons(model.config), model.config.slots
        self._largest_full = 0, 0
        self._faults: dict[int, Fault] = {}

    def check(self, listener: Listener) -> Iterator[Given]:
        """Yield all images in the first walk; each is checked before, all of them at the end."""
        for given in self.source.walk(self.bad):
            self.model.check_canvas_size(self.shape_of(given), given.path)
            self._doubts.add(given)
            self.places.append(Place(given.path, given.index))
            yield given
            if self.source.done:
                listener.progress("reading", self.source.done, len(self.source.given))
        self._doubts.end()

    def note(self, listener: Listener) -> None:
        """Say what is off with the images, after the first walk."""
        self.source.note(listener)
        note(zip(self.places, self._doubts.faults, strict=True), listener)

    def walk(self) -> Iterator[Given]:
        """Yield all images in the second walk; raises ImageError if they changed."""
        many = 0
        for given in self.source.walk(self.bad):
            if self.places[many : many + 1] != [Place(given.path, given.index)]:
                raise _changed(given.path)
            yield given
            many += 1
        if many < len(self.places):
            raise _changed(self.places[many].path)

    def pieces(self, place: int, given: Given, overlap: int = 0) -> list[Piece]:
        """The pieces of the image at ``place``; tiles overlap by so many pixels."""
        shape, edge = self.shape_of(given), self.imported
        return pieces_of(given, place, self.tile, overlap, shape=shape, edge=edge)

    def shape_of(self, given: Given) -> tuple[int, int]:
        """Height and width of an image's pieces.

        A guide that reads whole canvases gets images that are as long, and smaller across, padded
        to these.
        """
        height, width = (min(side, self.tile or side) for side in given.shape)
        own = self.model.state.config.data.shape
        fits = height <= own[0] and width <= own[1] and max(height, width) == max(own)
        return own if fits and not self.model.any_canvas else (height, width)

    def status(
        self, place: int, given: Given, pixels: Sequence[np.ndarray], *, full: int, most: int,
        unsure: bool,
    ) -> str:  # fmt: skip
        """What is off with an image, or ok.

        Args:
            place: the image's place.
            given: the image.
            pixels: its pieces, [C, H, W] each.
            full: slots of a piece on which all are on; 0 where there is none.
            most: most objects found on a piece.
            unsure: whether several counts are likely.
        """
        none = not most
        fault = self._doubts.faults[place]
        if fault is not None and fault.cause != "0 and 1":  # which are read as they should be
            return fault.cause
        reason = ""
        if full or none or unsure:
            reason = self._reasons.common(pixels[:: -(-len(pixels) // _MOST_TILES)])
        if reason == POLARITY or (none and reason in TEXTS):
            self._faults[place] = Fault(reason, "nothing was found: " * none + TEXTS[reason])
            return reason
        beyond = most > self.model.state.config.data.max_digits
        if beyond and (size := self._doubts.larger([given.ink])):
            self._faults[place] = size
            return size.cause
        if full:
            self._slots = full
            self._largest_full = max(self._largest_full, given.shape, key=prod)
            self._doubts.add_full(given)
            self._faults[place] = Fault("slots", "")
        return "slots full" if full else reason if none else self.model.status

    def note_found(self, listener: Listener, *, tiles: bool) -> None:
        """Say on which images nothing was found, or all slots are in use.

        Args:
            listener: hears it.
            tiles: whether the command cuts images into tiles if it is asked to.
        """
        config, largest = self.model.config, self._largest_full
        more = full_slots(config, self._slots, largest, self._given_tile, tiles=tiles)
        full = self._doubts.of_full(more)
        faults = sorted(self._faults.items())
        told = [(self.places[it], full if one.cause == "slots" else one) for it, one in faults]
        note(told, listener)


def full_slots(config: Config, slots: int, shape: Shape, tile: int | None, *, tiles: bool) -> str:
    """Return what is said of images on which all slots are in use.

    Args:
        config: the settings of the run, overridden by those of the call.
        slots: slots on an image, or on a tile of it.
        shape: height and width of the largest of the images, in pixels once they are resized.
        tile: side of the tiles that images were cut into, in their own pixels; None for none.
        tiles: whether the command cuts images into tiles.
    """
    full = f"as many objects as there are slots, {slots}; there may be more"
    if tile is not None:
        smaller = f"smaller tiles than {tile} px, or " * (
            tile > least_tile(config.object_size, config.pictures.scale)
        )
        return f"on a tile, {full}, try {smaller}more --slots"
    height, width = config.data.shape
    if prod(shape) <= height * width:
        return f"{full}, try more --slots"
    trained = f"{width}x{height} px" + " once resized" * (config.pictures.scale != 1)
    larger = f"{full}, as the image is larger than the {trained} of the training: try "
    side, many = training_tile(config), ceil(slots * prod(shape) / (height * width))
    ways = [f"--slots {min(many, MOST_SLOTS)}"] if slots < MOST_SLOTS else []
    if max(shape) > config.pictures.scale * side:
        with_tiles = f"--tile {side}, which cuts it into tiles"
        ways = [with_tiles, *ways] if tiles else [*ways, f"airkit infer --tile {side}"]
    return larger + (", or ".join(ways) or "smaller images")


def training_tile(config: Config) -> int:
    """Return the side of tiles as large as the canvases of the training, or the least allowed.

    Args:
        config: the settings of the run.

    Returns:
        The side in pixels of images as they come, before they are resized.
    """
    scale, side = config.pictures.scale, max(config.data.shape)
    tile = round(side / scale)
    return max(tile + (round(scale * tile) < side), least_tile(config.object_size, scale))


def repeat_verdict(model: TrainedModel, listener: Listener) -> None:
    """Say again what was in doubt at the end of the training."""
    if model.trouble:
        listener.note(
            f"this run was in doubt at the end of its training, and so is what it finds: "
            f"{'; '.join(model.trouble)}; airkit eval says what to try"
        )


def _changed(path: Path) -> ImageError:
    return ImageError(
        "The images changed while they were read",
        where=path,
        hint="repeat the command when nothing writes to them any more",
    )
