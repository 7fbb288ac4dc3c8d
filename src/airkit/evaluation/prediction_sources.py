"""Predictions on the canvases of a data file, and on pictures, a part at a time.

Legend: B batch, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.data import reader
from airkit.data.dataset import channels_first, to_float
from airkit.data.imports.images import Given
from airkit.errors import ImageError
from airkit.evaluation.explaining import Task, best_scene, explained
from airkit.evaluation.found import clipped, interval
from airkit.evaluation.pieces import Explainer, Piece
from airkit.evaluation.predictions import Predictions, joined
from airkit.evaluation.screening import Screening
from airkit.evaluation.segmentation import found_mask
from airkit.model.air import AIR
from airkit.model.samples import sample
from airkit.model.scene import Scene, possible_looks
from airkit.runs.memory_needs import batch_size_of
from airkit.runs.trained import TrainedModel, count_generator, look_seed
from airkit.system.callbacks import Listener

TOGETHER = 1000
"""Most pictures of one part of the predictions."""
_PIXELS = 2**23
"""Most pixels of its masks, which are all as large as its largest picture."""
_TRUTH = {"count": "true_count", "box": "true_box", "label": "true_label"}
"""Truth of a data file, and what predictions call it."""


class CanvasesSource:
    """The canvases of a split of a data file.

    Attributes:
        many: how many there are.
        files: files that are read.
        bad: files that cannot be read, and why: none.
    """

    def __init__(
        self, model: TrainedModel, data: str | Path | None, samples: int, listener: Listener
    ) -> None:
        self.model, self.config, self.samples = model, model.config, samples
        self.listener = listener
        self.info, self.air = model.on(data)
        self.many, self.files = self.info.splits[self.config.eval.split], [self.info.path]
        self.bad: Mapping[str, str] = {}

    def batches(self) -> Iterator[Predictions]:
        """Explain the canvases as ``airkit eval`` does, and yield a batch at a time."""
        generator, done = count_generator(self.config, self.model.device), 0
        parts = ((part, self._task(part)) for part in self._parts())
        with closing(explained(parts, self.many)) as jobs:
            for part, task, found in jobs:
                scene = best_scene(task, found, generator)
                arrays = _arrays(self.air, task.images, scene, self.samples, self.config.eval.seed)
                full = arrays["count"] == self.air.slots
                arrays["status"] = np.where(full, "slots full", self.model.status)
                yield Predictions(**self._about(part, done), **arrays)
                done += len(task.images)
                self.listener.progress("predicting", done, self.many)

    def _parts(self) -> Iterator[dict[str, Any]]:
        """The arrays of the split, a batch at a time."""
        waiting, size = dict[str, Any](), batch_size_of(self.air, self.config)
        for part in reader.read_parts(self.info.path, self.config.eval.split):
            known = part.known.items()
            waiting = {
                name: np.concatenate([waiting.get(name, new[:0]), new]) for name, new in known
            }
            while len(waiting["image"]) >= size:
                yield {name: array[:size] for name, array in waiting.items()}
                waiting = {name: array[size:] for name, array in waiting.items()}
        if len(waiting["image"]):
            yield waiting

    def _task(self, part: Mapping[str, np.ndarray]) -> Task:
        levels = to_float(channels_first(part["image"])).to(self.model.device)
        looks = possible_looks(self.air, self.config.eval.looks)
        return Task(self.air, levels, looks, look_seed(self.config))

    def _about(self, part: Mapping[str, np.ndarray], start: int) -> dict[str, Any]:
        """What is known of canvases without a look at them."""
        many, (height, width) = len(part["image"]), self.info.config.data.shape
        truth = {_TRUTH[name]: array for name, array in part.items() if name in _TRUTH}
        wide = {name: it if it.dtype.kind == "f" else it.astype(int) for name, it in truth.items()}
        place = {"image": str(self.info.path), "width": width, "height": height}
        return {
            **{name: np.full(many, value) for name, value in place.items()},
            "index": np.arange(start, start + many),
            **wide,
        }


class PicturesSource:
    """Pictures of a user's own, explained as by ``airkit infer``.

    Attributes:
        many: how many can be read.
        files: files that are read.
        bad: files that cannot be read and are left out, and why.
    """

    def __init__(
        self,
        model: TrainedModel,
        images: Any,
        samples: int,
        how: Mapping[str, bool],
        listener: Listener,
    ) -> None:
        self.model, self.samples, self.listener = model, samples, listener
        self.screening = Screening(images, model, **how)
        for _ in self.screening.check(self.listener):
            pass
        self.screening.note(self.listener)
        self._given: dict[int, Given] = {}
        self.bad, self.many = self.screening.bad.skipped, len(self.screening.places)
        self.files = [*dict.fromkeys(place.path for place in self.screening.places)]
        if not self.many:
            raise ImageError(
                "No picture could be read",
                where=next(iter(self.bad), "the pictures named"),
                expected="at least one",
                hint="name others",
            )

    def batches(self) -> Iterator[Predictions]:
        """Explain the pictures, and yield what is ready in order."""
        explainer = Explainer(self.model, tiled=False, canvases=False, owners=False)
        ready, done = dict[int, Predictions](), 0
        for pieces, scene, air, levels in explainer.scenes(self._parts(), self.many):
            arrays = _arrays(air, levels, scene, self.samples, self.model.config.eval.seed)
            for row, piece in enumerate(pieces):
                own = {name: array[row : row + 1] for name, array in arrays.items()}
                ready[piece.image] = self._of_picture(piece, own)
            following = list(takewhile(ready.__contains__, count(done)))
            if following:
                yield joined([ready.pop(place) for place in following], {})
                done += len(following)
                self.listener.progress("predicting", done, self.many)
        self.screening.note_found(self.listener, tiles=False)

    def _parts(self) -> Iterator[list[Piece]]:
        """The pictures as pieces, some at a time; raises ImageError if they changed."""
        for part in _in_parts(enumerate(self.screening.walk())):
            self._given |= part
            pieces = (self.screening.pieces(*each) for each in part.items())
            yield [piece for (piece,) in pieces]

    def _of_picture(self, piece: Piece, arrays: dict[str, Any]) -> Predictions:
        """The predictions of one picture, in pixels of it as it came."""
        given = self._given.pop(piece.image)
        (height, width), (found,) = given.came, arrays["count"].tolist()
        box = arrays["box"].copy()
        box[:, :found] = given.boxes_as_it_came(clipped(box[0, :found], given.shape))
        mask = given.mask_as_it_came(arrays["mask"][0, : given.shape[0], : given.shape[1]])
        (posterior,), (slots,) = arrays["count_probability"], arrays["confidence"].shape[1:]
        low, high = interval(posterior, found)
        status = self.screening.status(
            piece.image,
            given,
            [piece.pixels],
            full=slots if found == slots else 0,
            most=found,
            unsure=low < high,
        )
        about = {"image": str(given.path), "index": -1 if given.index is None else given.index}
        about |= {"width": width, "height": height, "status": status}
        own = {name: np.array([value]) for name, value in about.items()}
        return Predictions(**{**arrays, **own, "box": box, "mask": mask[None]})


def _arrays(air: AIR, levels: Tensor, scene: Scene, samples: int, seed: int) -> dict[str, Any]:
    """The arrays of a scene, and of samples if asked for."""
    found = {
        "count": scene.count,
        "count_probability": scene.count_probability,
        "confidence": scene.presence,
        "box": scene.box,
        "z_where": scene.where,
        "z_what": scene.what,
        "score": scene.score,
        "mask": found_mask(scene.masks).to(torch.uint16),
    }
    if samples:
        with torch.no_grad():
            drawn = sample(air, levels, samples, seed)
        found |= {
            "sample_count": drawn.count,
            "sample_weight": drawn.log_weight.softmax(1),
            "sample_z_where": drawn.where,
            "sample_z_what": drawn.what,
        }
    return {name: values.cpu().numpy() for name, values in found.items()}


def _in_parts(walk: Iterable[tuple[int, Given]]) -> Iterator[dict[int, Given]]:
    """Pictures by place, in parts of at most ``TOGETHER`` pictures and ``_PIXELS`` of masks."""
    part: dict[int, Given] = {}
    largest = 0
    for place, given in walk:
        pixels = max(given.came[0] * given.came[1], given.pixels[0].size)
        if part and (len(part) == TOGETHER or max(largest, pixels) * (len(part) + 1) > _PIXELS):
            yield part
            part, largest = {}, 0
        part[place] = given
        largest = max(largest, pixels)
    if part:
        yield part
