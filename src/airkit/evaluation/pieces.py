"""Images as pieces, and what a model sees on each: batches of one shape go together.

Legend: C channels, H height and W width of a piece, T slots, Z length of z_what.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

import numpy as np
import torch
from torch import Tensor

from airkit.data.imports.geometry import cores
from airkit.data.imports.images import Given
from airkit.errors import ImageError
from airkit.evaluation.explaining import Task, best_scene, explained
from airkit.evaluation.segmentation import found_mask
from airkit.model.air import AIR
from airkit.model.batch_sizes import batch_size
from airkit.model.scene import Scene, possible_looks
from airkit.model.spatial_transformer import Shape
from airkit.runs.trained import TrainedModel, count_generator, look_seed

WAITING_PIXELS = 2**24
"""Most pixels that wait for a batch, over all sizes."""
OVERLAP, LEAST_OVERLAP = 2.0, 1.5
"""Usual and least overlap of tiles, in typical sizes of an object, so that it holds an object as a
whole; the usual one is at most half a tile."""


@dataclass(frozen=True)
class Piece:
    """A part of an image: all of it, or a tile."""

    image: int
    """The image's place."""
    pixels: np.ndarray
    """Levels in 0..1, float32 [C, H, W]."""
    corner: tuple[int, int] = (0, 0)
    """Where it is on the image, (x, y) of its upper left."""
    core: tuple[float, float, float, float] = (-np.inf, -np.inf, np.inf, np.inf)
    """Where it decides on objects, by their centres: (left, top, right, bottom) on the image."""
    of: int = 1
    """How many pieces the image makes."""

    @property
    def shape(self) -> Shape:
        """Height and width."""
        _, height, width = self.pixels.shape
        return height, width


@dataclass(frozen=True)
class PieceScene:
    """What a model sees on a piece, places as on the piece; see ``Scene``."""

    count: int
    count_probability: np.ndarray
    presence: np.ndarray
    box: np.ndarray
    centre: np.ndarray
    where: np.ndarray
    what: np.ndarray
    score: float
    canvas: np.ndarray | None
    """The reconstruction, [C, H, W]; None where it is not asked for."""
    owner: np.ndarray | None
    """The slot that each pixel belongs to, counted from 1, uint16 [H, W]; None likewise."""

    @property
    def full(self) -> bool:
        """Whether all slots are on."""
        return self.count == len(self.presence)


def pieces_of(
    given: Given, image: int, tile: int | None, overlap: int, *, shape: Shape, edge: bool
) -> list[Piece]:
    """The pieces of an image: itself, or tiles of a larger one, which overlap.

    Args:
        given: the image.
        image: its place.
        tile: side of a tile, None for none.
        overlap: of tiles, in pixels.
        shape: least height and width of a piece; what is missing is added to the image.
        edge: whether that is the median of the outermost pixels, rather than blank.
    """
    many, pixels = pieces_in(given.shape, tile, overlap), given.padded(shape, edge=edge)
    if tile is None or many == 1:
        return [Piece(image, pixels)]
    height, width = given.shape
    return [
        Piece(
            image, pixels[:, y : y + tile, x : x + tile], (x, y), (left, top, right, bottom), many
        )
        for y, top, bottom in cores(height, tile, overlap)
        for x, left, right in cores(width, tile, overlap)
    ]


def pieces_in(shape: tuple[int, ...], tile: int | None, overlap: int) -> int:
    """How many pieces an image [H, W] makes; see ``pieces_of``."""
    if tile is None or max(shape) <= tile:
        return 1
    return len(cores(shape[0], tile, overlap)) * len(cores(shape[1], tile, overlap))


def overlap_of(tile: int, size: float, scale: float = 1.0) -> int:
    """Overlap of tiles for objects of a typical ``size``, in pixels of images that were resized.

    Args:
        tile: side of a tile.
        size: of objects.
        scale: factor by which sides of images were multiplied, for the message.

    Raises:
        ImageError: tiles are too small.
    """
    overlap = min(ceil(OVERLAP * size), tile // 2)
    if tile < least_tile(size):
        raise ImageError(
            "Tiles are too small for the objects",
            where="--tile",
            expected=f"at least {least_tile(size, scale)} px, for objects of "
            f"about {size / scale:.0f} px",
            got=f"{round(tile / scale)} px",
            hint="larger tiles, or none",
        )
    return overlap


def least_tile(size: float, scale: float = 1.0) -> int:
    """Return the least side of tiles, in pixels of images before they were resized.

    Args:
        size: typical size of objects, in pixels of images that were resized.
        scale: factor by which sides of images were multiplied.
    """
    return ceil(2 * ceil(LEAST_OVERLAP * size) / scale)


class Explainer:
    """Explains pieces in batches of one shape."""

    def __init__(self, model: TrainedModel, *, tiled: bool, canvases: bool, owners: bool) -> None:
        """Take the model.

        Args:
            model: the model.
            tiled: whether large pieces are tiles, which hold as many more objects.
            canvases: whether reconstructions are kept.
            owners: whether it is kept which slot each pixel belongs to.
        """
        self.model, self.tiled, self.canvases, self.owners = model, tiled, canvases, owners
        self._air = lru_cache(4)(self._build)
        self._generators: dict[Shape, torch.Generator | None] = defaultdict(
            lambda: count_generator(model.config, model.device)
        )

    def explain(self, pieces: Iterable[Piece], many: int) -> Iterator[tuple[Piece, PieceScene]]:
        """Yield what is seen on each piece, as batches become full; ``many`` is how many come."""
        for batch, scene, *_ in self.scenes([pieces], many):
            yield from zip(batch, self._seen(scene), strict=True)

    def scenes(
        self, parts: Iterable[Iterable[Piece]], many: int
    ) -> Iterator[tuple[list[Piece], Scene, AIR, Tensor]]:
        """Yield batches of pieces of one shape: their scene, the model and levels [B, C, H, W].

        A part's pieces are all explained before those of the next.
        """
        batches = ((batch, self._task(batch)) for part in parts for batch in self._batches(part))
        with closing(explained(batches, many)) as jobs:
            for batch, task, found in jobs:
                scene = best_scene(task, found, self._generators[batch[0].shape])
                yield batch, scene, task.air, task.images

    def _batches(self, pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
        waiting: dict[Shape, list[Piece]] = defaultdict(list)
        pixels = 0
        for piece in pieces:
            shape = piece.shape
            waiting[shape].append(piece)
            pixels += prod(shape)
            if pixels > WAITING_PIXELS:
                shape = max(waiting, key=lambda each: prod(each) * len(waiting[each]))
            if pixels > WAITING_PIXELS or len(waiting[shape]) == self._batch_size(shape):
                pixels -= prod(shape) * len(waiting[shape])
                yield waiting.pop(shape)
        for shape in sorted(waiting):
            yield waiting[shape]

    def _batch_size(self, shape: Shape) -> int:
        config = self.model.config
        return batch_size(shape, config.data.channels, self._slots(shape), config.eval.batch_size)

    def _build(self, shape: Shape) -> AIR:
        return self.model.build(canvas_size=shape, slots=self._slots(shape))

    def _slots(self, shape: Shape) -> int:
        config, slots = self.model.config, self.model.config.slots
        if self.tiled and config.model.slots == "auto":
            return ceil(slots * max(1, prod(shape) / prod(config.data.shape)))
        return slots

    def _task(self, pieces: Sequence[Piece]) -> Task:
        config, air = self.model.config, self._air(pieces[0].shape)
        images = torch.from_numpy(np.stack([piece.pixels for piece in pieces]))
        looks = possible_looks(air, config.eval.looks)
        return Task(air, images.to(self.model.device), looks, look_seed(config))

    def _seen(self, scene: Scene) -> Iterator[PieceScene]:
        names = ("count_probability", "presence", "box", "centre", "where", "what")
        parts = {name: getattr(scene, name).cpu().numpy() for name in names}
        canvases = scene.canvas.cpu().numpy() if self.canvases else None
        owners = found_mask(scene.masks).to(torch.uint16).cpu().numpy() if self.owners else None
        counts, scores = scene.count.tolist(), scene.score.tolist()
        for row, (count, score) in enumerate(zip(counts, scores, strict=True)):
            each = {name: part[row] for name, part in parts.items()}
            canvas = None if canvases is None else canvases[row]
            owner = None if owners is None else owners[row]
            yield PieceScene(count, **each, score=score, canvas=canvas, owner=owner)
