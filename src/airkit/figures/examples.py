"""Example canvases: the truth beside what the model inferred, and choices among them.

Legend: B batch, H height and W width of a canvas, w window side in pixels, T slots, N true objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from airkit.data.canvases import Canvases
from airkit.model.scene import Scene, explain_by_looks
from airkit.runs.trained import TrainedRun, count_generator, look_seed
from airkit.system.callbacks import SILENT, Listener

FIRST = 100
"""Canvases of a split, its first ones, among which those to show are chosen, at least."""


@dataclass(frozen=True)
class Example:
    """One canvas, the truth about it, and the inferred scene; levels are in 0..1."""

    image: np.ndarray
    """The canvas, [C, H, W]."""
    true_count: int | None
    """N; None where it is not known."""
    true_boxes: np.ndarray
    """Boxes of ink (x, y, width, height) in pixels, [N, 4]; [0, 4] where they are not known."""
    count: int
    """Inferred objects."""
    boxes: np.ndarray
    """Their boxes of ink, as ``true_boxes``, [count, 4]."""
    presence: np.ndarray
    """Probability that slots 1..t are on, [T]."""
    windows: np.ndarray
    """What each slot paints, before it is placed, [T, C, w, w]."""
    canvases: np.ndarray
    """Reconstructions from the first n objects, n = 0..T, [T + 1, C, H, W]."""

    @property
    def reconstruction(self) -> np.ndarray:
        """Reconstruction from the inferred objects, [C, H, W]."""
        reconstruction: np.ndarray = self.canvases[self.count]
        return reconstruction

    @property
    def right(self) -> bool:
        """Whether the inferred count is the true one, as far as that is known."""
        return self.true_count in (None, self.count)

    @property
    def known_count(self) -> int:
        """The true count; the inferred one where that is not known."""
        return self.count if self.true_count is None else self.true_count

    @property
    def squared_error(self) -> float:
        """Mean squared error of the reconstruction, over pixels and channels."""
        return float(np.square(self.image - self.reconstruction).mean(dtype=np.float64))


def explained(
    run: TrainedRun, listener: Listener, places: Tensor | None = None
) -> Iterator[Example]:
    """Yield the split's canvases in order, each explained as ``airkit eval`` does.

    Looks and counts are drawn for ``eval.batch_size`` canvases at a time, from the same random
    streams as in evaluation, so that the same canvases are miscounted here and there.

    Args:
        run: the model and the canvases.
        listener: hears progress.
        places: those to explain alone, in the order of the split.
    """
    draws = look_seed(run.config), count_generator(run.config, run.device)
    total = len(run.canvases)
    for indices in run.batches(places):
        images = run.images(indices)
        with torch.inference_mode():
            scene = explain_by_looks(run.air, images, run.looks, *draws)
        listener.progress("explaining", int(indices[-1]) + 1, total)
        yield from unbatched(run, indices, images, scene)


def explained_at(run: TrainedRun, places: Iterable[int], listener: Listener) -> dict[int, Example]:
    """Return some of the split's canvases by their places, each explained as in ``explained``."""
    wanted = set(places)
    if run.config.eval.counts == "sampled":  # a draw depends on how many were drawn before
        every = enumerate(explained(run, listener))
        return {place: canvas for place, canvas in every if place in wanted}
    some = sorted(wanted)
    return dict(zip(some, explained(run, SILENT, torch.tensor(some)), strict=True))


def unbatched(run: TrainedRun, indices: Tensor, images: Tensor, scene: Scene) -> Iterator[Example]:
    """Yield the canvases of a batch one by one.

    Args:
        run: holds the truth.
        indices: places of the canvases in the split, [B].
        images: levels in 0..1, [B, C, H, W].
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
        yield Example(image, true_count, true_boxes[there], int(count), inferred[:count], *rest)


def miscounted(canvases: Iterable[Example], most: int) -> tuple[list[Example], int]:
    """Return the first ``most`` miscounted canvases, and how many canvases were searched."""
    found: list[Example] = []
    searched = 0
    for canvas in canvases:
        searched += 1
        if not canvas.right:
            found.append(canvas)
        if len(found) == most:
            break
    return found, searched


@dataclass(frozen=True)
class Choice:
    """Canvases chosen to be shown, and those that they were chosen from."""

    shown: list[Example]
    hard: int
    """How many of those shown, the last ones, are the hardest."""
    pool: list[Example]

    def note(self, split: str, total: int) -> str:
        """Return how they were chosen from a split of ``total`` canvases, in words."""
        looked_at, shown = len(self.pool), len(self.shown)
        those = f"{shown:,} of" if shown < looked_at else "all of"
        whole = "" if looked_at == total else f" of {total:,}"
        last = f"then the {self.hard:,} hardest" if self.hard > 1 else "then the hardest"
        hard = f", {last}" if self.hard else ""
        right = sum(canvas.right for canvas in self.pool)
        counts, end = "counts", f"of the {looked_at:,}, {right:,} are counted right"
        if self.pool[0].true_count is None:
            counts, end = "counts found", "true counts are not known"
        return (
            f"{split} split, {those} the first {looked_at:,}{whole} canvases: "
            f"{counts} in turn{hard}; {end}"
        )


def chosen(canvases: Iterable[Example], many: int) -> Choice:
    """Choose canvases to show from the first ones: counts in turn, then the hardest.

    A quarter are the hardest, which are those miscounted, then those of the greatest squared error.
    Of the others, counts take turns, the greatest first, and few are blank.

    Args:
        canvases: canvases in order, one or more.
        many: how many to choose, at most; three times as many are looked at, and at least 100.
    """
    pool = list(islice(canvases, max(FIRST, 3 * many)))
    busy = [canvas for canvas in pool if canvas.known_count or canvas.count]
    ranked = sorted(busy, key=lambda it: (it.right, -it.squared_error))
    hard = ranked[: many // 4] if len(busy) > many else []
    taken = {id(canvas) for canvas in hard}
    others = [canvas for canvas in pool if id(canvas) not in taken]
    turns = by_turns([canvas.known_count for canvas in others], many - len(hard))
    return Choice([others[place] for place in turns] + hard, len(hard), pool)


def by_turns(counts: Sequence[int], many: int) -> list[int]:
    """Return the places of up to ``many`` counts that take turns, the greatest first.

    Few of them, one in 16, are of blank canvases, whose count is 0, unless all are.
    """
    turns: Counter[int] = Counter()
    ranked = []
    for place, count in enumerate(counts):
        ranked.append((turns[count], -count, place))
        turns[count] += 1
    spare = 1 if len(counts) - turns[0] < many else 0
    blank = max(many // 16, spare) if turns[0] < len(counts) else many
    kept = [place for turn, count, place in sorted(ranked) if count or turn < blank]
    return kept[:many]


def shown_first(canvases: Canvases, many: int) -> Canvases:
    """Return up to ``many`` of the canvases: counts in turn where they are known."""
    places = list(range(len(canvases.image)))[:many]
    if canvases.count is not None:
        places = by_turns(canvases.count.tolist(), many)
    return Canvases(**{name: array[places] for name, array in canvases.known.items()})
