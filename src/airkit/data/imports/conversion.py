"""Pictures as canvases: cut or padded, scaled to 0..255, with what is known of them.

Shapes: H x W pixels of a canvas, M most objects on one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from airkit.config.schema import Config
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.format import Arrays, rows_of
from airkit.data.imports.pictures import Array, Bad, Picture, Pictures, Truth
from airkit.data.imports.survey import Survey
from airkit.data.imports.tiles import cut
from airkit.data.imports.truth import all_checked
from airkit.errors import ImageError
from airkit.system.callbacks import Listener


@dataclass(frozen=True)
class Walk:
    """The second walk through all pictures."""

    sources: Mapping[str, Pictures]
    survey: Survey
    bad: Bad
    listener: Listener

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Yield all pictures and their splits, but for those left out."""
        for source, pictures in self.sources.items():
            for place, picture in enumerate(all_checked(pictures, self.bad)):
                split = self.survey.split_of(source, picture, place)
                if split is not None:
                    yield split, picture


def canvases_of(walk: Walk, config: Config, arrays: Arrays) -> Iterator[tuple[str, Canvases]]:
    """Yield canvases of a split and its name, a chunk of the data file at a time.

    Raises:
        ImageError: there are not as many pictures as were surveyed.
    """
    shape, done = config.data.shape, dict.fromkeys(SPLITS, 0)
    limits = config.pictures
    waiting: dict[str, list[tuple[Array, Truth]]] = {split: [] for split in SPLITS}
    for split, picture in walk.pictures():
        for levels, truth in cut(picture, shape):
            waiting[split].append((scaled(levels, limits.low, limits.high), truth))
            done[split] += 1
            if len(waiting[split]) == rows_of(config.data, split):
                yield split, _stacked(waiting[split], config, arrays[split])
                waiting[split].clear()
        total = sum(walk.survey.canvases.values())
        walk.listener.progress("importing", min(sum(done.values()), total), total)
    for split in SPLITS:
        if waiting[split]:
            yield split, _stacked(waiting[split], config, arrays[split])
    if any(done[split] != getattr(config.data, split) for split in SPLITS):
        raise ImageError(
            "The pictures changed while they were imported",
            where=walk.sources["train"].name,
            expected=dict(walk.survey.canvases),
            got=done,
            hint="repeat the command when nothing writes to them any more",
        )


def scaled(levels: Array, low: float, high: float) -> Array:
    """Levels [H, W] or [H, W, 3] in their own unit as uint8; ``low`` becomes 0, ``high`` 255."""
    if levels.dtype == np.uint8 and (low, high) == (0, 255):
        return levels
    ink = (levels.astype(np.float64) - low) / (high - low)
    return (255 * ink.clip(0, 1)).round().astype(np.uint8)


def _stacked(
    waiting: Sequence[tuple[Array, Truth]], config: Config, names: Sequence[str]
) -> Canvases:
    """Canvases of some images, each with its truth."""
    many, places = len(waiting), max(config.data.max_digits, 1)
    label = np.full((many, places), -1, np.int8)
    box = np.full((many, places, 4), -1, np.float32)
    for row, (_, truth) in enumerate(waiting):
        if truth.labels is not None:
            label[row, : len(truth.labels)] = truth.labels
        if truth.boxes is not None:
            box[row, : len(truth.boxes)] = truth.boxes
    every = {
        "image": np.stack([image for image, _ in waiting]),
        "count": np.array([truth.count or 0 for _, truth in waiting], np.uint8),
        "label": label,
        "box": box,
    }
    if "mask" in names:
        every["mask"] = np.stack([truth.mask for _, truth in waiting if truth.mask is not None])
    return Canvases(**{name: every[name] for name in names})
