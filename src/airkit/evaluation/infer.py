"""What a trained model finds on a user's own images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config.settings import Settings
from airkit.data.images import Grey, ImageLike, Images, Place
from airkit.data.ink import Fault
from airkit.data.pictures import Bad
from airkit.data.sources import PICTURES
from airkit.evaluation.doubts import Doubts, note
from airkit.evaluation.found import Inferred, InferredObject, Parts, found_on, stitched
from airkit.evaluation.pieces import Explainer, Piece, overlap_of, pieces_of
from airkit.evaluation.reasons import TEXTS, Reasons
from airkit.evaluation.tables import check_table, write_counts, write_objects
from airkit.runs.trained import TrainedModel, open_model
from airkit.system.callbacks import Listener

__all__ = ["Asked", "Found", "Inferred", "InferredObject", "infer"]

Array = np.ndarray[Any, Any]
Draw = Callable[[Grey, Array, Array], None]
"""Draws an image with its reconstruction [H, H] and the boxes found [N, 4]."""
Drawing = Callable[[Sequence[Place], float], Draw]
"""Makes a ``Draw`` for all images at a scale, once it has checked that they can be drawn."""
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
    csv: Path | None = None
    objects: Path | None = None
    drawing: Drawing | None = None
    """Draws each image with what was found on it: evaluation knows nothing of figures."""


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
    trained = model.state.config
    low_high = trained.pictures.low, trained.pictures.high
    limits = low_high if trained.data.source == PICTURES else None  # as airkit import scaled
    source = Images(images, invert=asked.invert, limits=limits, tiled=asked.tile is not None)
    bad, doubts = Bad(asked.skip_bad), Doubts(trained, invert=asked.invert)
    places = []
    for each in _survey(source.walk(bad), model, asked.tile, doubts):
        places.append(each)
        if source.done:
            listener.progress("reading", source.done, len(source.given))
    draw = None if asked.drawing is None else asked.drawing(places, model.config.render.scale)
    source.note(listener)
    note(zip(places, doubts.faults, strict=True), listener)
    found: dict[int, Inferred] = {}
    inference = _Inference(model, asked, doubts, draw)
    for place, result in inference.walk(source, bad):
        found[place] = result
        listener.progress("inferring", len(found), len(places))
    note(inference.told(places), listener)
    results = Found([found[place] for place in range(len(places))], bad.skipped)
    if asked.csv is not None:
        write_counts(asked.csv, results, results.bad)
    if asked.objects is not None:
        write_objects(asked.objects, results)
    return results


def _survey(
    greys: Iterable[Grey], model: TrainedModel, tile: int | None, doubts: Doubts
) -> Iterator[Place]:
    """Check all images for the first time, one after the other."""
    for grey in greys:
        side = grey.side if tile is None else min(grey.side, tile)
        model.check_canvas_size(side, grey.path)
        doubts.add(grey)
        yield Place(grey.path, grey.index)
    doubts.end()


class _Inference:
    """The second walk through all images."""

    def __init__(
        self, model: TrainedModel, asked: Asked, doubts: Doubts, draw: Draw | None
    ) -> None:
        self.model, self.asked, self.doubts, self.draw = model, asked, doubts, draw
        config = model.state.config
        self.edge = config.data.source == PICTURES
        self.size = model.config.object_size
        self.overlap = 0 if asked.tile is None else overlap_of(asked.tile, self.size)
        self.reasons = Reasons(model.config)
        self._greys: dict[int, Grey] = {}
        self._missing: dict[int, int] = {}
        self._faults: dict[int, Fault] = {}

    def walk(self, source: Images, bad: Bad) -> Iterator[tuple[int, Inferred]]:
        """Yield each image's place and what was found on it, as it is ready."""
        parts: dict[int, list[Any]] = defaultdict(list)
        tiled, drawn = self.asked.tile is not None, self.draw is not None
        explainer = Explainer(self.model, tiled=tiled, canvases=drawn)
        for piece, seen in explainer.explain(self._pieces(source, bad)):
            parts[piece.image].append((piece, seen))
            if len(parts[piece.image]) == self._missing[piece.image]:
                yield piece.image, self._finish(piece.image, parts.pop(piece.image))

    def told(self, places: Sequence[Place]) -> Iterator[tuple[Place, Fault | None]]:
        """What to say of images: of what is off, and of those whose slots are full."""
        full = self.doubts.of_full(self.model.config.slots)
        for place in sorted(self._faults):
            fault = self._faults[place]
            yield places[place], full if fault.cause == "slots" else fault

    def _pieces(self, source: Images, bad: Bad) -> Iterator[Piece]:
        for place, grey in enumerate(source.walk(bad)):
            pieces = pieces_of(grey, place, self.asked.tile, self.overlap, edge=self.edge)
            self._greys[place], self._missing[place] = grey, len(pieces)
            yield from pieces

    def _finish(self, place: int, parts: Parts) -> Inferred:
        grey = self._greys.pop(place)
        status = self._status(place, grey, parts)
        excluded = self.asked.exclude_edges
        found = found_on(grey, parts, status, self.size, exclude_edges=excluded)
        if self.draw is not None:
            boxes = np.array([each.box for each in found.objects]).reshape(-1, 4)
            self.draw(grey, stitched(grey, parts), boxes)
        return found

    def _status(self, place: int, grey: Grey, parts: Parts) -> str:
        fine, fault = self.doubts.fine(place), self.doubts.faults[place]
        if any(seen.full for _, seen in parts):
            if fine:
                self.doubts.add_full(grey)
                self._faults[place] = Fault("slots", "")
            return "slots full"
        if fault is not None and not fine:
            return fault.cause
        return "ok" if any(seen.count for _, seen in parts) else self._reason(place, parts)

    def _reason(self, place: int, parts: Parts) -> str:
        """Why nothing was found."""
        some = [piece.pixels for piece, _ in parts[:: -(-len(parts) // _MOST_TILES)]]
        reason = self.reasons.common(some)
        if reason in TEXTS:
            self._faults[place] = Fault(reason, f"nothing was found: {TEXTS[reason]}")
        return reason
