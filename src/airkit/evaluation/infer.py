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
from airkit.data.imports.images import Given, ImageLike, Place
from airkit.evaluation.found import Inferred, InferredObject, Parts, found_on, labelled, stitched
from airkit.evaluation.found_files import (
    ROIS,
    SHAPES,
    BoxFormat,
    check_labels,
    check_tables,
    label_file,
    write_counts,
    write_labels,
    write_objects,
)
from airkit.evaluation.pieces import Explainer, Piece, PieceScene, overlap_of, pieces_in
from airkit.evaluation.screening import Screening, repeat_verdict
from airkit.runs.trained import TrainedModel, open_model
from airkit.system.callbacks import Listener

__all__ = ["Found", "InferOptions", "Inferred", "InferredObject", "infer"]

DrawOverlay = Callable[[Given, np.ndarray, np.ndarray], None]
"""Draws an image with its reconstruction [C, H, W] and the boxes found [N, 4]."""
Overlays = Callable[[Sequence[Place], Config], DrawOverlay]
"""Makes a ``DrawOverlay`` for all images, once it has checked that they can be drawn."""


class Found(list[Inferred]):
    """A list of what was found on each image, in their order."""

    bad: dict[str, str]
    """Files that could not be read and were left out, and why."""

    def __init__(self, found: Iterable[Inferred], bad: dict[str, str]) -> None:
        super().__init__(found)
        self.bad = bad


@dataclass(frozen=True, kw_only=True)
class InferOptions:
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
    overlays: Overlays | None = None
    """Draws each image with what was found on it: evaluation knows nothing of figures."""

    def box_files(self) -> Iterator[tuple[BoxFormat, Path]]:
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
    options: InferOptions,
    listener: Listener,
) -> Found:
    """Count and locate the objects of images, as ``airkit.infer`` does."""
    check_tables(options.csv, options.objects, options.shapes)
    model = open_model(run, checkpoint, settings, listener)
    repeat_verdict(model, listener)
    inference = _Inference(images, model, options, listener)
    inference.check()
    found = dict(inference.walk())
    bad = inference.screening.bad.skipped
    results = Found((found[place] for place in range(len(found))), bad)
    if options.csv is not None:
        write_counts(options.csv, results, results.bad)
    if options.objects is not None:
        write_objects(options.objects, results)
    for kind, path in options.box_files():
        kind.write(path, results)
    return results


class _Inference:
    """What a model finds on all images, and the files that are asked for."""

    def __init__(
        self, images: Any, model: TrainedModel, options: InferOptions, listener: Listener
    ) -> None:
        self.model, self.options, self.listener = model, options, listener
        self.screening = Screening(
            images,
            model,
            invert=options.invert,
            tile=options.tile,
            skip_bad=options.skip_bad,
            sub_folders=options.sub_folders,
        )
        self.size, self.tile = model.config.object_size, self.screening.tile
        scale = model.state.config.pictures.scale
        self.overlap = 0 if self.tile is None else overlap_of(self.tile, self.size, scale)
        self.draw: DrawOverlay | None = None
        self._pieces = 0
        self._given: dict[int, Given] = {}

    def check(self) -> None:
        """Walk through all images for the first time, and say what is off with them."""
        for given in self.screening.check(self.listener):
            self._pieces += pieces_in(given.shape, self.tile, self.overlap)
        places = self.screening.places
        if self.options.overlays is not None:
            self.draw = self.options.overlays(places, self.model.config)
        if self.options.labels is not None:
            check_labels(self.options.labels, places)
        for kind, path in self.options.box_files():
            kind.check(path, places)
        self.screening.note(self.listener)

    def walk(self) -> Iterator[tuple[int, Inferred]]:
        """Yield each image's place and what was found on it, as it is ready."""
        parts: dict[int, list[tuple[Piece, PieceScene]]] = defaultdict(list)
        tiled, drawn = self.options.tile is not None, self.draw is not None
        owners = self.options.labels is not None
        explainer = Explainer(self.model, tiled=tiled, canvases=drawn, owners=owners)
        scenes = explainer.explain(self._all_pieces(), self._pieces)
        for done, (piece, seen) in enumerate(scenes, 1):
            self.listener.progress("inferring", min(done, self._pieces), self._pieces)
            same = parts[piece.image]
            same.append((piece, seen))
            if len(same) == piece.of:
                yield piece.image, self._finish(piece.image, parts.pop(piece.image))
        self.screening.note_found(self.listener, tiles=True)

    def _all_pieces(self) -> Iterator[Piece]:
        """Yield the pieces of all images in the second walk; raises ImageError if they changed."""
        for place, given in enumerate(self.screening.walk()):
            self._given[place] = given
            yield from self.screening.pieces(place, given, self.overlap)

    def _finish(self, place: int, parts: Parts) -> Inferred:
        given = self._given.pop(place)
        excluded = self.options.exclude_edges
        found, slots = found_on(given, parts, self.size, exclude_edges=excluded)
        if self.draw is not None:
            boxes = np.array([each.box for each in found.objects]).reshape(-1, 4)
            self.draw(given, stitched(given, parts), boxes)
        if self.options.labels is not None:
            target = label_file(self.options.labels, self.screening.places[place])
            write_labels(target, given.mask_as_it_came(labelled(given, parts, slots)))
        status = self.screening.status(
            place,
            given,
            [piece.pixels for piece, _ in parts],
            full=max((len(seen.presence) for _, seen in parts if seen.full), default=0),
            most=max(seen.count for _, seen in parts),
            unsure=found.interval[0] < found.interval[1],
        )
        return replace(found, status=status).as_it_came(given)
