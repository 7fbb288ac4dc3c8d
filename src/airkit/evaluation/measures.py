"""Measures of a trained model: those of ``airkit eval``, and the base class of your own.

Legend: N canvases of the split, B of a batch, C channels, H x W pixels of a canvas, T slots, M most
true objects.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from airkit.config.registry import Registry
from airkit.config.schema import Config
from airkit.config.settings import spelled
from airkit.errors import AirkitError
from airkit.evaluation.calibration import calibration, confidences
from airkit.evaluation.counting import confusion, count_shares, interval_for_new_digits
from airkit.evaluation.detection import box_scores
from airkit.model.scene import Scene
from airkit.runs.trained import TrainedRun
from airkit.system.boxes import pairwise_iou


@dataclass(frozen=True)
class Batch:
    """Some canvases, what the model finds on them, and the truth where the data has it."""

    indices: Tensor
    """Places in the split, int64 [B]."""
    images: Tensor
    """Levels in 0..1, [B, C, H, W]."""
    scene: Scene
    """What all ``eval.looks`` looks say together."""
    one_look: Scene
    """The explanation of one look per slot, the best of ``eval.candidates``."""
    counts: Tensor | None
    """True counts, int64 [B]; None where the data has none."""
    boxes: Tensor | None
    """True boxes of ink (x, y, width, height) in pixels, -1 pads, [B, M, 4]; None likewise."""
    masks: Tensor | None = None
    """True object of each pixel, from 1, 0 for the background, uint8 [B, H, W]; None likewise."""
    bounds: Tensor | None = None
    """The ELBO and the IWAE bound of each canvas in nats, [2, B]; None unless ``likelihood`` is
    among ``eval.measures``, and ``eval.likelihood_samples`` more than 0."""

    @cached_property
    def squared_error(self) -> Tensor:
        """Mean squared error of each reconstruction, over pixels and channels, [B]."""
        return (self.images - self.scene.canvas).square().mean((1, 2, 3))


class Measure(ABC):
    """A measure of a trained model on the canvases of a split.

    For each class in ``eval.measures`` an evaluation makes one object, passes it every batch of
    canvases in order, without gradients, and asks it for the result at the end. A class of your
    own is named as ``package.module:Class``; its result has that name in ``airkit eval --json``.

    This one is the share of the canvases' ink that the reconstructions lack::

        from airkit.evaluation.measures import Batch, Measure

        class MissingInk(Measure):
            missing = total = 0.0

            def add(self, batch: Batch) -> None:
                self.missing += (batch.images - batch.scene.canvas).clamp(min=0).sum().item()
                self.total += batch.images.sum().item()

            def result(self) -> float | None:
                return self.missing / self.total if self.total else None
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """The truth it needs, of ``counts``, ``boxes`` and ``masks``. Where the data lacks some, no
    object of the class is made, and the result is None."""

    def __init__(self, trained: TrainedRun) -> None:
        """Take note of what is measured.

        Args:
            trained: the model as ``trained.air``, with all settings as ``trained.config``.
                Random numbers come from ``trained.generator(NAME)``, a stream for each name,
                so that no measure changes another's.
        """
        self.trained = trained

    @abstractmethod
    def add(self, batch: Batch) -> None:
        """Measure a batch of canvases."""

    @abstractmethod
    def result(self) -> Any:
        """Return the measure of all batches, or None where it is undefined.

        Numbers, text, lists and mappings of them are reported as they are, arrays and tensors as
        lists, and numbers that are not finite as null.
        """


class Counts(Measure):
    """Share of canvases counted right, in all and by true count; confusion matrix; calibration.

    Intervals are Wilson's (1927, "Probable inference"), at 95 %.
    """

    needs = frozenset({"counts"})

    def __init__(self, trained: TrainedRun) -> None:
        super().__init__(trained)
        self._parts: list[np.ndarray] = []
        self._confidences: list[np.ndarray] = []

    def add(self, batch: Batch) -> None:
        """See ``Measure.add``."""
        assert batch.counts is not None
        rows = batch.counts, batch.scene.count, batch.one_look.count
        self._parts.append(torch.stack([row.cpu() for row in rows]).numpy())
        scenes = batch.scene, batch.one_look
        self._confidences.append(np.stack([confidences(scene) for scene in scenes]))

    @property
    def table(self) -> np.ndarray:
        """True counts, those of all looks together, and those of one look, int64 [3, N]."""
        return np.concatenate(self._parts, axis=1)

    def result(self) -> dict[str, Any]:
        """Return the fields of ``Measures`` that are about counts."""
        true, found, one_look = self.table
        together, single = np.concatenate(self._confidences, axis=2)
        sources = self.trained.canvases.sources
        digits = None if sources is None else sources.numpy()
        new = "interval_new_digits"
        return {
            **count_shares(true, found),
            f"count_accuracy_{new}": interval_for_new_digits(found == true, digits),
            f"count_accuracy_one_look_{new}": interval_for_new_digits(one_look == true, digits),
            **count_shares(true, one_look, "_one_look"),
            "confusion": confusion(true, found, self.trained.air.slots),
            "calibration": calibration(together, found == true),
            "calibration_one_look": calibration(single, one_look == true),
        }


class Boxes(Measure):
    """Mean IoU and average precision of the boxes found; see ``airkit.evaluation.detection``."""

    needs = frozenset({"boxes"})

    def __init__(self, trained: TrainedRun) -> None:
        super().__init__(trained)
        self.total = 0
        self.iou: list[np.ndarray] = []
        self.confidence: list[np.ndarray] = []

    def add(self, batch: Batch) -> None:
        """See ``Measure.add``."""
        assert batch.boxes is not None
        true = batch.boxes.cpu().numpy()
        self.total += int((true[..., 2] > 0).sum())
        self.iou.append(pairwise_iou(true, batch.scene.box.cpu().numpy()))
        self.confidence.append(batch.scene.presence.cpu().numpy())

    def result(self) -> dict[str, Any]:
        """Return the fields of ``Measures`` that are about boxes."""
        iou, confidence = np.concatenate(self.iou), np.concatenate(self.confidence)
        return box_scores(iou, confidence, self.total)


class Likelihood(Measure):
    """Two lower bounds on the log-likelihood of a canvas, in nats.

    The one-draw ELBO (Eslami et al., arXiv 1603.08575, section 2.2), the count summed out, with
    looks at the peaks; and the IWAE bound (Burda et al., arXiv 1509.00519, equation 8) with
    ``eval.likelihood_samples`` samples, looks drawn as well. With 0 samples neither is measured.
    """

    def __init__(self, trained: TrainedRun) -> None:
        super().__init__(trained)
        self.bounds: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        """See ``Measure.add``."""
        if batch.bounds is not None:
            self.bounds.append(batch.bounds.cpu())

    def result(self) -> dict[str, Any]:
        """Return the fields of ``Measures`` that are bounds."""
        if not self.bounds:
            return {}
        elbo, iwae = torch.cat(self.bounds, 1).numpy().mean(1, dtype=np.float64).tolist()
        return {"elbo": elbo, "log_likelihood_bound": iwae}


class Reconstruction(Measure):
    """Mean squared error per pixel of the canvas of as many objects as were counted."""

    def __init__(self, trained: TrainedRun) -> None:
        super().__init__(trained)
        self.errors: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        """See ``Measure.add``."""
        self.errors.append(batch.squared_error.cpu())

    def result(self) -> dict[str, Any]:
        """Return the field of ``Measures`` that is about reconstructions."""
        return {"mse": _mean(self.errors)}


MEASURES: Registry[Measure] = Registry(
    "eval.measures",
    {
        "counts": "airkit.evaluation.measures:Counts",
        "boxes": "airkit.evaluation.measures:Boxes",
        "likelihood": "airkit.evaluation.measures:Likelihood",
        "reconstruction": "airkit.evaluation.measures:Reconstruction",
        "segmentation": "airkit.evaluation.segmentation:Segmentation",
    },
    base="airkit.evaluation.measures:Measure",
)


def check_counts(config: Config) -> None:
    """Refuse settings that leave out the counts, for work that rests on them.

    Raises:
        AirkitError: ``eval.measures`` is without ``counts``.
    """
    if "counts" not in config.eval.measures:
        raise AirkitError(
            "Counts are needed here, but are not measured",
            where="eval.measures",
            expected="counts among the measures",
            got=spelled(config.eval.measures),
            hint="add it, or leave eval.measures out",
        )


def _mean(parts: list[Tensor]) -> float:
    return float(torch.cat(parts).numpy().mean(dtype=np.float64))
