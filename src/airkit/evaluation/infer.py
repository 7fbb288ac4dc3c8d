"""What a trained model finds on a user's own images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config.schema import Config
from airkit.config.settings import Settings
from airkit.data.imports.images import Given, ImageLike, Images, Place
from airkit.data.imports.pictures import Bad
from airkit.data.imports.resizing import nearest
from airkit.data.labels import check_labels, label_file, write_labels
from airkit.data.look.ink import Fault
from airkit.data.sources import PICTURES
from airkit.errors import ImageError
from airkit.evaluation.doubts import Doubts, note
from airkit.evaluation.found import Inferred, InferredObject, Parts, found_on, labelled, stitched
from airkit.evaluation.handover import ROIS, SHAPES, Handover
from airkit.evaluation.pieces import Explainer, Piece, Seen, overlap_of, pieces_in, pieces_of
from airkit.evaluation.reasons import POLARITY, TEXTS, Reasons
from airkit.evaluation.tables import check_table, write_counts, write_objects
from airkit.runs.folder import RunFolder
from airkit.runs.trained import TrainedModel, open_model
from airkit.system.callbacks import Listener
from airkit.system.paths import to_path

__all__ = ["Asked", "Found", "Inferred", "InferredObject", "infer"]

Array = np.ndarray[Any, Any]
Draw = Callable[[Given, Array, Array], None]
"""Draws an image with its reconstruction [C, H, W] and the boxes found [N, 4]."""
Drawing = Callable[[Sequence[Place], Config], Draw]
"""Makes a ``Draw`` for all images, once it has checked that they can be drawn."""
_MOST_TILES = 16
"""Most tiles of an image that are looked at for the reason why nothing was found."""


class Found(list[Inferred]):
    """A list of what was found on each image, in their order."""

    bad: dict[str, str]
    """Files that could not be read and were left out, and why."""

    def __init__(self, found: Iterable[Inferred], bad: dict[str, str]) -> None:
        super().__init__(found)
        self.bad = bad


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How images are to be inferred on, and what to write; see ``airkit.infer``."""

    invert: bool = False
    tile: int | None = None
    exclude_edges: bool = False
    skip_bad: bool = False
    sub_folders: bool = False
    csv: Path | None = None
    objects: Path | None = None
    labels: Path | None = None
    rois: Path | None = None
    shapes: Path | None = None
    drawing: Drawing | None = None
    """Draws each image with what was found on it: evaluation knows nothing of figures."""

    def handovers(self) -> Iterator[tuple[Handover, Path]]:
        """Yield the files for other programs that are wanted."""
        for kind, path in ((ROIS, self.rois), (SHAPES, self.shapes)):
            if path is not None:
                yield kind, path


def infer(
    images: ImageLike | Iterable[ImageLike],
    run: str | Path,
    *,
    checkpoint: str,
    settings: Settings,
    asked: Asked,
    listener: Listener,
) -> Found:
    """Count and locate the objects of images, as ``airkit.infer`` does."""
    for path, option in ((asked.csv, "--csv"), (asked.objects, "--objects")):
        if path is not None:
            check_table(path, option)
    model = open_model(run, checkpoint, settings, listener)
    _repeat_verdict(RunFolder(to_path(run)), listener)
    inference = _Inference(images, model, asked, listener)
    inference.survey()
    found = dict(inference.walk())
    results = Found((found[place] for place in range(len(found))), inference.bad.skipped)
    if asked.csv is not None:
        write_counts(asked.csv, results, results.bad)
    if asked.objects is not None:
        write_objects(asked.objects, results)
    for kind, path in asked.handovers():
        kind.write(path, results)
    return results


class _Inference:
    """Two walks through all images: to check them, and to infer."""

    def __init__(self, images: Any, model: TrainedModel, asked: Asked, listener: Listener) -> None:
        self.model, self.asked, self.listener = model, asked, listener
        trained = model.state.config
        self.imported = trained.data.source == PICTURES
        self.source = Images(
            images,
            invert=asked.invert,
            pictures=trained.pictures if self.imported else None,
            colour=trained.data.channels == 3,
            tiled=asked.tile is not None,
            inside=asked.sub_folders,
        )
        self.bad, self.doubts = Bad(asked.skip_bad), Doubts(trained, invert=asked.invert)
        self.size, self.reasons = model.config.object_size, Reasons(model.config)
        scale = trained.pictures.scale
        self.tile = None if asked.tile is None else max(1, round(scale * asked.tile))
        """Side of tiles, once images are resized."""
        self.overlap = 0 if self.tile is None else overlap_of(self.tile, self.size, scale)
        self.places: list[Place] = []
        self.draw: Draw | None = None
        self.slots = self.model.config.slots
        """Of a piece on which all are in use."""
        self._pieces = 0
        self._given: dict[int, Given] = {}
        self._faults: dict[int, Fault] = {}

    def survey(self) -> None:
        """Walk through all images for the first time, and say what is off with them."""
        for grey in self.source.walk(self.bad):
            self.model.check_canvas_size(self._shape(grey), grey.path)
            self.doubts.add(grey)
            self.places.append(Place(grey.path, grey.index))
            self._pieces += pieces_in(grey.shape, self.tile, self.overlap)
            if self.source.done:
                self.listener.progress("reading", self.source.done, len(self.source.given))
        self.doubts.end()
        if self.asked.drawing is not None:
            self.draw = self.asked.drawing(self.places, self.model.config)
        if self.asked.labels is not None:
            check_labels(self.asked.labels, self.places)
        for kind, path in self.asked.handovers():
            kind.check(path, self.places)
        self.source.note(self.listener)
        note(zip(self.places, self.doubts.faults, strict=True), self.listener)

    def walk(self) -> Iterator[tuple[int, Inferred]]:
        """Yield each image's place and what was found on it, as it is ready."""
        parts: dict[int, list[tuple[Piece, Seen]]] = defaultdict(list)
        tiled, drawn = self.asked.tile is not None, self.draw is not None
        owners = self.asked.labels is not None
        explainer = Explainer(self.model, tiled=tiled, canvases=drawn, owners=owners)
        for done, (piece, seen) in enumerate(explainer.explain(self._all_pieces()), 1):
            self.listener.progress("inferring", min(done, self._pieces), self._pieces)
            same = parts[piece.image]
            same.append((piece, seen))
            if len(same) == piece.of:
                yield piece.image, self._finish(piece.image, parts.pop(piece.image))
        note(self._told(), self.listener)

    def _all_pieces(self) -> Iterator[Piece]:
        """Yield the pieces of all images in the second walk; raises ImageError if they changed."""
        many = 0
        for grey in self.source.walk(self.bad):
            if self.places[many : many + 1] != [Place(grey.path, grey.index)]:
                raise _changed(grey.path)
            self._given[many] = grey
            shape = self._shape(grey)
            yield from pieces_of(
                grey, many, self.tile, self.overlap, shape=shape, edge=self.imported
            )
            many += 1
        if many < len(self.places):
            raise _changed(self.places[many].path)

    def _shape(self, given: Given) -> tuple[int, int]:
        """Height and width of an image's pieces.

        A guide that reads whole canvases gets images that are as long, and smaller across, padded
        to these.
        """
        height, width = (min(side, self.tile or side) for side in given.shape)
        own = self.model.state.config.data.shape
        fits = height <= own[0] and width <= own[1] and max(height, width) == max(own)
        return own if fits and not self.model.any_canvas else (height, width)

    def _told(self) -> Iterator[tuple[Place, Fault | None]]:
        """What to say of images on which nothing was found, or whose slots are full."""
        full = self.doubts.of_full(self.slots, self.asked.tile)
        for place in sorted(self._faults):
            fault = self._faults[place]
            yield self.places[place], full if fault.cause == "slots" else fault

    def _finish(self, place: int, parts: Parts) -> Inferred:
        given = self._given.pop(place)
        excluded = self.asked.exclude_edges
        found, slots = found_on(given, parts, self.size, exclude_edges=excluded)
        if self.draw is not None:
            boxes = np.array([each.box for each in found.objects]).reshape(-1, 4)
            self.draw(given, stitched(given, parts), boxes)
        if self.asked.labels is not None:
            target = label_file(self.asked.labels, self.places[place])
            write_labels(target, nearest(labelled(given, parts, slots), *given.came))
        unsure = found.interval[0] < found.interval[1]
        status = self._status(place, given, parts, unsure)
        return replace(found, status=status).enlarged(*given.came)

    def _status(self, place: int, given: Given, parts: Parts, unsure: bool) -> str:
        """What is off with an image, or ok."""
        fault, fine = self.doubts.faults[place], self.doubts.fine(place)
        full = any(seen.full for _, seen in parts)
        none = not any(seen.count for _, seen in parts)
        if fault is not None and not fine:
            return fault.cause
        reason = self._reason(parts) if full or none or unsure else ""
        if reason == POLARITY or (none and reason in TEXTS):
            self._faults[place] = Fault(reason, "nothing was found: " * none + TEXTS[reason])
            return reason
        if full:
            self.slots = max(len(seen.presence) for _, seen in parts if seen.full)
            self.doubts.add_full(given)
            self._faults[place] = Fault("slots", "")
        return "slots full" if full else reason if none else "ok"

    def _reason(self, parts: Parts) -> str:
        """Why nothing was found, by a look at some of the pieces."""
        some = parts[:: -(-len(parts) // _MOST_TILES)]
        return self.reasons.common([piece.pixels for piece, _ in some])


def _repeat_verdict(run: RunFolder, listener: Listener) -> None:
    """Say again what was in doubt at the end of the training."""
    if trouble := run.trouble():
        listener.note(
            f"this run was in doubt at the end of its training, and so is what it finds: "
            f"{'; '.join(trouble)}; airkit eval says what to try"
        )


def _changed(path: Path) -> ImageError:
    return ImageError(
        "The images changed while they were inferred on",
        where=path,
        hint="the same command again, once nothing writes to them",
    )
