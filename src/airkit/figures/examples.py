"""Explained canvases: the truth beside what the model inferred, and choices among them.

Legend: B batch, H canvas side and W window side in pixels, T slots, N true objects.
"""

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
    """One canvas, the truth about it, and the inferred scene; ink is in 0..1."""

    image: Array
    """The canvas, [C, H, H]."""
    true_count: int | None
    """N; None where it is not known."""
    true_boxes: Array
    """Boxes of ink (x, y, width, height) in pixels, [N, 4]; [0, 4] where they are not known."""
    count: int
    """Inferred objects."""
    boxes: Array
    """Their boxes of ink, as ``true_boxes``, [count, 4]."""
    presence: Array
    """Probability that slots 1..t are on, [T]."""
    windows: Array
    """What each slot paints, before it is placed, [T, C, W, W]."""
    canvases: Array
    """Reconstructions from the first n objects, n = 0..T, [T + 1, C, H, H]."""

    @property
    def reconstruction(self) -> Array:
        """Reconstruction from the inferred objects, [C, H, H]."""
        reconstruction: Array = self.canvases[self.count]
        return reconstruction

    @property
    def right(self) -> bool:
        """Whether the inferred count is the true one, as far as that is known."""
        return self.true_count in (None, self.count)

    @property
    def counts(self) -> str:
        """The true count, where it is known, and the inferred one, in words."""
        known = "" if self.true_count is None else f"{self.true_count} → "
        return f"{known}{self.count}"

    @property
    def squared_error(self) -> float:
        """Mean squared error of the reconstruction, per pixel."""
        return float(np.square(self.image - self.reconstruction).mean(dtype=np.float64))


def explained(run: TrainedRun, listener: Listener) -> Iterator[Explained]:
    """Yield the split's canvases in order, each explained as ``airkit eval`` does.

    Looks and counts are drawn for ``eval.batch_size`` canvases at a time, from the same random
    streams as in evaluation, so that the same canvases are miscounted here and there.
    """
    draws = run.generator("looks"), count_generator(run.config, run.device)
    total = len(run.canvases)
    for indices in run.batches():
        images = run.images(indices)
        with torch.inference_mode():
            scene = explain_by_looks(run.air, images, run.looks, *draws)
        listener.progress("explaining", int(indices[-1]) + 1, total)
        yield from unbatched(run, indices, images, scene)


def unbatched(
    run: TrainedRun, indices: Tensor, images: Tensor, scene: Scene
) -> Iterator[Explained]:
    """Yield the canvases of a batch one by one.

    Args:
        run: holds the truth.
        indices: places of the canvases in the split, [B].
        images: their ink, [B, C, H, H].
        scene: what was inferred for them.
    """
    counts, boxes = run.canvases.counts, run.canvases.boxes
    found = (scene.count, scene.box, scene.presence, scene.windows, scene.canvases)
    arrays = [part.cpu().numpy() for part in (images, *found)]
    for index, (image, count, inferred, *rest) in zip(
        indices.tolist(), zip(*arrays, strict=True), strict=True
    ):
        true_count = None if counts is None else int(counts[index])
        true_boxes = np.zeros((0, 4)) if boxes is None else boxes[index].numpy()
        there = true_boxes[:, 2] > 0
        yield Explained(image, true_count, true_boxes[there], int(count), inferred[:count], *rest)


def miscounted(canvases: Iterable[Explained], most: int) -> tuple[list[Explained], int]:
    """Return the first ``most`` miscounted canvases, and how many canvases were searched."""
    found: list[Explained] = []
    searched = 0
    for canvas in canvases:
        searched += 1
        if not canvas.right:
            found.append(canvas)
        if len(found) == most:
            break
    return found, searched


def varied(canvases: Iterable[Explained], many: int, among: int) -> list[Explained]:
    """Return up to ``many`` of the first ``among`` canvases, with true counts as varied as can be.

    Where true counts are not known, inferred ones stand in. The counts take turns, the greatest
    first, so that a sheet of a few rows shows busy scenes.
    """
    by_count: dict[int, list[Explained]] = {}
    for canvas in islice(canvases, max(many, among)):
        count = canvas.count if canvas.true_count is None else canvas.true_count
        by_count.setdefault(count, []).append(canvas)
    turns = sorted(by_count.items(), reverse=True)
    ranked = [(turn, -count, canvas) for count, each in turns for turn, canvas in enumerate(each)]
    ranked.sort(key=lambda item: item[:2])
    return [canvas for _, _, canvas in ranked[:many]]
