"""Canvases beside what the model makes of them, one by one, and choices among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.model.scene import Scene, explain_by_looks
from airkit.runs.trained import TrainedRun, count_generator
from airkit.system.callbacks import Listener

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Explained:
    """One canvas, the truth about it, and the scene inferred.

    Shapes: H canvas side, W window side, T slots, N true objects; ink is in 0..1.
    """

    image: Array
    """The canvas, [H, H]."""
    true_count: int
    """N."""
    true_boxes: Array
    """Boxes of ink (x, y, width, height) in pixels, [N, 4]."""
    count: int
    """Objects inferred."""
    boxes: Array
    """Their boxes of ink, [count, 4]."""
    presence: Array
    """Probability that slots 1..t are on, [T]."""
    windows: Array
    """What each slot paints, before it is placed, [T, W, W]."""
    canvases: Array
    """The canvas of the first n objects, n = 0..T, [T + 1, H, H]."""

    @property
    def reconstruction(self) -> Array:
        """The canvas of the objects inferred, [H, H]."""
        reconstruction: Array = self.canvases[self.count]
        return reconstruction

    @property
    def right(self) -> bool:
        """Whether the count is."""
        return self.count == self.true_count

    @property
    def squared_error(self) -> float:
        """Mean squared error of the reconstruction, per pixel."""
        return float(np.square(self.image - self.reconstruction).mean(dtype=np.float64))


def explained(opened: TrainedRun, listener: Listener) -> Iterator[Explained]:
    """The split's canvases in order, each explained as ``airkit eval`` does.

    Looks and counts are drawn for ``eval.batch_size`` canvases at a time, from the same streams
    as in evaluation, so that what is miscounted there is miscounted here.
    """
    draws = opened.generator("looks"), count_generator(opened.config, opened.device)
    total = len(opened.canvases)
    for indices in opened.batches():
        images = opened.images(indices)
        with torch.inference_mode():
            scene = explain_by_looks(opened.air, images, opened.looks, *draws)
        listener.progress("explaining", int(indices[-1]) + 1, total)
        yield from unbatched(opened, indices, images, scene)


def unbatched(
    opened: TrainedRun, indices: Tensor, images: Tensor, scene: Scene
) -> Iterator[Explained]:
    """The canvases at ``indices`` [B], their ink [B, H, H] and the scene found, one by one."""
    counts, boxes = opened.canvases.counts[indices], opened.canvases.boxes[indices]
    found = (scene.count, scene.box, scene.presence, scene.windows, scene.canvases)
    arrays = [part.cpu().numpy() for part in (images, counts, boxes, *found)]
    for row in zip(*arrays, strict=True):
        image, true_count, true_boxes, count, inferred, presence, windows, canvases = row
        yield Explained(
            image=image,
            true_count=int(true_count),
            true_boxes=true_boxes[: int(true_count)],
            count=int(count),
            boxes=inferred[: int(count)],
            presence=presence,
            windows=windows,
            canvases=canvases,
        )


def miscounted(canvases: Iterable[Explained], most: int) -> tuple[list[Explained], int]:
    """The first ``most`` canvases whose count is wrong, and how many were looked at for them."""
    found: list[Explained] = []
    looked_at = 0
    for canvas in canvases:
        looked_at += 1
        if not canvas.right:
            found.append(canvas)
        if len(found) == most:
            break
    return found, looked_at


def varied(canvases: Iterable[Explained], many: int, among: int) -> list[Explained]:
    """Up to ``many`` of the first ``among`` canvases, their true counts as varied as can be.

    Counts take turns, the greatest first: a sheet of a few rows shows the busiest scenes.
    """
    waiting: dict[int, list[Explained]] = {}
    for canvas in islice(canvases, max(many, among)):
        waiting.setdefault(canvas.true_count, []).append(canvas)
    turns = sorted(waiting.items(), reverse=True)
    ranked = [(turn, -count, canvas) for count, each in turns for turn, canvas in enumerate(each)]
    ranked.sort(key=lambda item: item[:2])
    return [canvas for _, _, canvas in ranked[:many]]
