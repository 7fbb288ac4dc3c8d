"""The measures of a trained model on held-out canvases."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.config.settings import Settings
from airkit.evaluation.detection import average_precision, mean_iou, pairwise_iou
from airkit.model.guides import Noise
from airkit.model.objectives import elbo, iwae
from airkit.model.scene import Scene, explain_both
from airkit.runs.trained import (
    TrainedRun,
    count_generator,
    open_run,
)
from airkit.system.callbacks import SILENT, Listener
from airkit.system.statistics import wilson

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Measures:
    """What ``airkit eval`` prints, under the same names."""

    canvases: int
    """Canvases measured."""
    count_accuracy: float
    """Share of canvases counted right with ``looks`` looks."""
    count_accuracy_interval: tuple[float, float]
    """Its 95 % interval (Wilson)."""
    count_accuracy_one_look: float
    """Share of canvases counted right from one look at the saliency's peak."""
    count_accuracy_one_look_interval: tuple[float, float]
    """Its 95 % interval (Wilson)."""
    per_count_accuracy: dict[str, float]
    """``count_accuracy`` among the canvases of each true count."""
    per_count_accuracy_interval: dict[str, tuple[float, float]]
    """Their 95 % intervals (Wilson)."""
    confusion: list[list[int]]
    """Canvases by true count (rows) and inferred count (columns), both from 0."""
    mean_iou: float
    """Mean IoU of true boxes of ink with the boxes found; a missed box counts as 0."""
    ap50: float
    """Average precision of the boxes found at IoU 0.5."""
    elbo: float
    """Mean one-draw ELBO, in nats per canvas."""
    log_likelihood_bound: float
    """Mean IWAE bound with ``likelihood_samples`` samples, in nats per canvas."""
    mse: float
    """Mean squared error of the reconstructions, per pixel, ink being 0 to 1."""
    looks: int
    """Explanations compared per canvas."""
    likelihood_samples: int
    """Samples of the IWAE bound."""
    seconds: float
    """Time taken."""
    run: str
    """The run folder."""
    data: str
    """The data file."""
    data_digest: str
    """Its content digest."""
    split: str
    """Its split."""
    checkpoint: str
    """The checkpoint file."""

    def to_dict(self) -> dict[str, Any]:
        """The measures as plain values, for JSON; what is undefined is None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def evaluate(
    run: str | Path = "runs/air",
    data: str | Path | None = None,
    *,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Measures:
    """Measure a trained model on held-out canvases.

    Args:
        run: the run folder.
        data: the data file; by default the one the run was trained on, and no other in its
            place. Its canvases may be larger and hold more digits than those: the model then
            gets more slots.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        settings: dotted keys and values, or layers; those of ``eval`` matter here.
        listener: hears notes and progress.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        DataFileError: no such data file, a damaged one, an empty split, or the run's own file
            where it was replaced.
        ConfigError: settings that make no configuration.
        DeviceError: there is no such device.
    """
    return measure(open_run(run, data, checkpoint, settings, listener), str(run), listener)[0]


def measure(opened: TrainedRun, run: str, listener: Listener) -> tuple[Measures, Array]:
    """The measures of an opened run, and which canvases it counts right, bool [N]."""
    began, tally = time.perf_counter(), Tally(opened)
    with torch.no_grad():
        for _ in tally.every(listener):
            pass
    return tally.measures(run, time.perf_counter() - began), tally.right("count")


class Tally:
    """What is gathered batch by batch, and the measures of it."""

    def __init__(self, opened: TrainedRun) -> None:
        """Each random quantity has a stream of its own, so that no setting moves another's."""
        self.opened, self.config = opened, opened.config.eval
        self.generators = {name: opened.generator(name) for name in ("looks", "elbo", "iwae")}
        self.counts = count_generator(opened.config, opened.device)
        self.parts: dict[str, list[Tensor]] = {}

    def every(self, listener: Listener) -> Iterator[tuple[Tensor, Scene, Scene]]:
        """Look at all canvases: the indices of each batch, and what ``add`` returns of it."""
        for indices in self.opened.batches():
            yield indices, *self.add(indices)
            listener.progress("evaluating", int(indices[-1]) + 1, len(self.opened.canvases))

    def add(self, indices: Tensor) -> tuple[Scene, Scene]:
        """Look at one batch of canvases: what one look finds in each, and the best of all looks."""
        air, images = self.opened.air, self.opened.images(indices)
        looks = self.opened.looks
        one, best = explain_both(air, images, looks, self.generators["looks"], self.counts)
        best = one if looks == 1 else best
        found = {
            "one_count": one.count,
            "one_mode": one.mode,
            "one_confidence": one.count_probability.amax(1),
            "count": best.count,
            "box": best.box,
            "presence": best.presence,
            "mse": (images - best.canvas).square().mean((1, 2)),
            "elbo": elbo.elbo(air, images, self._noise("elbo", len(images), looks=False)),
            "bound": self._bound(images),
        }
        for name, values in found.items():
            self.parts.setdefault(name, []).append(values.cpu())
        return one, best

    def right(self, name: str) -> Array:
        """Where a count (``count``, ``one_count``, ``one_mode``) is right, bool [N]."""
        right: Array = (torch.cat(self.parts[name]) == self.opened.canvases.counts).numpy()
        return right

    def confidence(self) -> Array:
        """Greatest probability of q(n) from one look at each canvas, that of its mode, [N]."""
        confidence: Array = torch.cat(self.parts["one_confidence"]).numpy()
        return confidence

    def measures(self, run: str, seconds: float) -> Measures:
        """The measures of all batches so far."""
        opened = self.opened
        every = {name: torch.cat(parts).numpy() for name, parts in self.parts.items()}
        truth = opened.canvases.counts.numpy()
        right, one_right = self.right("count"), self.right("one_count")
        by_count = {str(n): right[truth == n] for n in np.unique(truth)}
        boxes = int(truth.sum())
        iou = pairwise_iou(opened.canvases.boxes.numpy(), every["box"])
        return Measures(
            canvases=len(truth),
            count_accuracy=float(right.mean()),
            count_accuracy_interval=_interval(right),
            count_accuracy_one_look=float(one_right.mean()),
            count_accuracy_one_look_interval=_interval(one_right),
            per_count_accuracy={n: float(part.mean()) for n, part in by_count.items()},
            per_count_accuracy_interval={n: _interval(part) for n, part in by_count.items()},
            confusion=_confusion(truth, every["count"], opened.air.slots),
            mean_iou=mean_iou(iou, boxes),
            ap50=average_precision(iou, every["presence"], boxes, 0.5),
            elbo=float(every["elbo"].mean(dtype=np.float64)),
            log_likelihood_bound=float(every["bound"].mean(dtype=np.float64)),
            mse=float(every["mse"].mean(dtype=np.float64)),
            looks=opened.looks,
            likelihood_samples=self.config.likelihood_samples,
            seconds=round(seconds, 2),
            run=run,
            data=str(opened.data),
            data_digest=opened.digest,
            split=self.config.split,
            checkpoint=str(opened.checkpoint),
        )

    def _bound(self, images: Tensor) -> Tensor:
        """The IWAE bound of each image in nats, looks drawn as well, [B]."""
        air = self.opened.air
        weights = [
            iwae.log_weight(air, air(images, self._noise("iwae", len(images), looks=True)))
            for _ in range(self.config.likelihood_samples)
        ]
        return iwae.iwae(torch.stack(weights))

    def _noise(self, stream: str, batch: int, *, looks: bool) -> Noise:
        air = self.opened.air
        return Noise.draw(self.generators[stream], batch, air.slots, air.code, looks=looks)


def _interval(right: Array) -> tuple[float, float]:
    return wilson(int(right.sum()), len(right))


def _confusion(truth: Array, count: Array, slots: int) -> list[list[int]]:
    table = np.zeros((int(truth.max()) + 1, slots + 1), int)
    np.add.at(table, (truth, count), 1)
    return [[int(cell) for cell in row] for row in table]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
