"""One pass of a trained model over held-out canvases, and what ``airkit eval`` reports of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from airkit.config.registry import is_outside
from airkit.config.settings import Settings
from airkit.data.look.findings import SAMPLE
from airkit.data.stream import Streamed
from airkit.evaluation import kept
from airkit.evaluation.calibration import Calibration
from airkit.evaluation.kept import Seen
from airkit.evaluation.measures import MEASURES, Batch, Counts, Measure
from airkit.evaluation.tables import measures_table
from airkit.model.scene import explain_both
from airkit.runs.records import restored
from airkit.runs.signs import Watch
from airkit.runs.trained import TrainedRun, count_generator, look_seed, open_run
from airkit.runs.trust import Trust, judge
from airkit.system import threads
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import to_path
from airkit.system.tables import Table

NAN = math.nan
REHEARSED = 250
"""Canvases to find out with how many CPU threads pay."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What ``airkit eval`` prints, under the same names.

    What was not measured, or is undefined, is NaN or empty here and null in JSON.
    """

    canvases: int
    """Canvases measured."""
    count_accuracy: float = NAN
    """Share of canvases counted right with ``looks`` looks together."""
    count_accuracy_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson), for other canvases of the same digits."""
    count_accuracy_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    count_accuracy_one_look: float = NAN
    """Share of canvases counted right from one look at the saliency's peak."""
    count_accuracy_one_look_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson)."""
    count_accuracy_one_look_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    per_count_accuracy: dict[str, float] = field(default_factory=dict)
    """``count_accuracy`` among the canvases of each true count."""
    per_count_accuracy_interval: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Their 95 % intervals (Wilson)."""
    per_count_accuracy_one_look: dict[str, float] = field(default_factory=dict)
    """``count_accuracy_one_look`` among the canvases of each true count."""
    per_count_accuracy_one_look_interval: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )
    """Their 95 % intervals (Wilson)."""
    confusion: list[list[int]] = field(default_factory=list)
    """Canvases by true count (rows) and inferred count (columns), both from 0."""
    calibration: Calibration | None = None
    """Whether ``count_probability`` says how often the count is right."""
    calibration_one_look: Calibration | None = None
    """The same of q(n) at one look."""
    mean_iou: float = NAN
    """Mean IoU of true boxes of ink with the boxes found; a missed box counts as 0."""
    ap: float = NAN
    """COCO's average precision of the boxes found, mean over IoU 0.5, 0.55 ... 0.95."""
    ap50: float = NAN
    """The same at IoU 0.5 alone."""
    ap75: float = NAN
    """The same at IoU 0.75 alone."""
    ap50_voc: float = NAN
    """The whole area under the precision-recall curve at IoU 0.5, as PASCAL VOC has it."""
    elbo: float = NAN
    """Mean one-draw ELBO, in nats per canvas."""
    log_likelihood_bound: float = NAN
    """Mean IWAE bound with ``likelihood_samples`` samples, in nats per canvas."""
    mse: float = NAN
    """Mean squared error of the reconstructions, per pixel, ink being 0 to 1."""
    ari: float = NAN
    """Mean adjusted Rand index of the masks, over all pixels of a canvas."""
    foreground_ari: float = NAN
    """The same over the pixels of true objects, of the canvases that have some; each pixel is given
    to the object that paints it most."""
    covering: float = NAN
    """Mean segmentation covering of the true objects of a canvas, each weighted by its pixels, of
    the canvases that have some."""
    mean_covering: float = NAN
    """The same with every object of a canvas weighted alike."""
    mask_ap: float = NAN
    """COCO's average precision of the masks found, mean over IoU 0.5, 0.55 ... 0.95."""
    mask_ap50: float = NAN
    """The same at IoU 0.5 alone."""
    mask_ap75: float = NAN
    """The same at IoU 0.75 alone."""
    trust: Trust | None = None
    """Whether the results are to be trusted, judged without any truth."""
    looks: int
    """How often a canvas is looked at, at most; all looks together give its count."""
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
    outside: dict[str, Any] = field(default_factory=dict)
    """Results of your own measures, by name; in JSON each has a key of its own."""

    def table(self, against: Measures | None = None) -> Table:
        """Return a table of the measures with their intervals, beside those of another run.

        It has ``csv``, ``markdown``, ``latex`` (with booktabs) and ``write``.
        """
        return measures_table(self.to_dict(), against.to_dict() if against else None)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values, for JSON."""
        names = [each.name for each in fields(self) if each.name != "outside"]
        return {**plain({name: getattr(self, name) for name in names}), **self.outside}


def evaluate(
    run: str | Path = "runs/air",
    data: str | Path | None = None,
    *,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Measures:
    """Measure a trained model on held-out canvases.

    What it finds is kept in the run folder, where that can be written, for ``report``.

    Args:
        run: the run folder.
        data: the data file; by default the one that the run was trained on. Its canvases may be
            larger and hold more digits than those of the training: the model then gets more
            slots.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        settings: dotted keys and values, or layers; those of ``eval`` matter here.
        listener: hears notes and progress.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        DataFileError: no such data file, a damaged one, an empty split, or the run's own file
            where it was replaced.
        ConfigError: the settings are not valid.
        DeviceError: there is no such device.
        ExtensionError: a class from outside that was not named in this call, or cannot be used.
    """
    trained = open_run(run, data, checkpoint, settings, listener)
    unknown = [name for name in ("counts", "boxes") if getattr(trained.canvases, name) is None]
    if unknown:
        split = trained.config.eval.split
        listener.note(f"the {split} canvases have no true {' and '.join(unknown)}: not measured")
    return measure(trained, run, listener).measures


class Outcome(NamedTuple):
    """What a pass over a split found."""

    measures: Measures
    seen: Seen
    """What it found on each canvas."""


def measure(trained: TrainedRun, run: str | Path, listener: Listener) -> Outcome:
    """Look at all canvases of the split, and keep what is found in the run folder."""
    evaluation, path = Evaluation(trained).all(listener), to_path(run)
    found = Outcome(evaluation.measures(path), Seen.joined(evaluation.seen))
    kept.write(path, trained, asdict(found.measures), found.seen)
    return found


def measured_before(trained: TrainedRun, run: str | Path, listener: Listener) -> Outcome:
    """Return what ``measure`` kept of the same model, canvases and settings, or measure now."""
    path = to_path(run)
    if (found := kept.read(path, trained)) is not None:
        with suppress(ValueError):
            measures = restored(Measures, found[0])
            data, checkpoint = str(trained.data), str(trained.checkpoint)
            named = replace(measures, run=str(path), data=data, checkpoint=checkpoint)
            return Outcome(named, found[1])
    return measure(trained, path, listener)


class Evaluation:
    """A pass of a trained model over the canvases of a split, measured batch by batch."""

    def __init__(self, trained: TrainedRun) -> None:
        """Prepare the measures that ``eval.measures`` names.

        Raises:
            ExtensionError: a class from outside that was not named in this call, or cannot be
                used.
        """
        self.trained, self.began = trained, time.perf_counter()
        canvases = trained.canvases
        images = canvases.rows["image"]
        some = images if isinstance(images, Tensor) else images[:SAMPLE]
        self.watch = Watch(trained.air, trained.config, some, trained.looks)
        self.truth: dict[str, Tensor | Streamed | None] = {
            "counts": canvases.counts,
            "boxes": canvases.boxes,
            "masks": canvases.rows.get("mask"),
        }
        known = {name for name, values in self.truth.items() if values is not None}
        self.taken: dict[str, Measure] = {}
        self.seen: list[Seen] = []
        for name, kind in MEASURES.several(trained.config.eval.measures).items():
            if kind.needs <= known:
                with MEASURES.running(name):
                    self.taken[name] = kind(trained)

    @property
    def counts(self) -> Counts:
        """The measure of counts; raises KeyError where it is not taken."""
        counts = self.taken["counts"]
        assert isinstance(counts, Counts)
        return counts

    def all(self, listener: Listener) -> Self:
        """Measure all canvases."""
        for _ in self.batches(listener):
            pass
        return self

    def batches(self, listener: Listener) -> Iterator[Batch]:
        """Look at all canvases in order, and yield each batch once it is measured.

        Every random quantity has a stream of its own, so that no setting moves another's. While
        it lasts, PyTorch computes on as many CPU threads as pay.
        """
        trained = self.trained
        counts = count_generator(trained.config, trained.device)
        with threads.restored():
            if trained.device.type == "cpu" and not threads.fixed():
                threads.settle(self._rehearse, listener.note)
            for indices in trained.batches():
                yield self._batch(indices, counts)
                listener.progress("evaluating", int(indices[-1]) + 1, len(trained.canvases))

    @torch.no_grad()
    def _batch(self, indices: Tensor, counts: torch.Generator | None) -> Batch:
        """Look at some canvases and measure them."""
        trained = self.trained
        images, seed = trained.images(indices), look_seed(trained.config)
        one, best = explain_both(trained.air, images, trained.looks, seed, counts)
        batch = Batch(
            indices=indices,
            images=images,
            scene=one if trained.looks == 1 else best,
            one_look=one,
            **{name: self._rows(values, indices) for name, values in self.truth.items()},
        )
        self.watch.add(images, batch.scene, one)
        self.seen.append(Seen.on(batch))
        for name, taken in self.taken.items():
            with MEASURES.running(name):
                taken.add(batch)
        return batch

    def _rehearse(self) -> None:
        """Look once at some canvases, and use up no random number."""
        trained = self.trained
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            images = trained.images(trained.batches()[0][:REHEARSED])
            explain_both(trained.air, images, 1, 0)

    def measures(self, run: str | Path) -> Measures:
        """Return the measures of all batches, which name the run folder as ``run``.

        Raises:
            ExtensionError: a class from outside fails, or returns what JSON does not have.
        """
        trained, config = self.trained, self.trained.config.eval
        results: dict[str, Any] = {}
        for name, taken in self.taken.items():
            with MEASURES.running(name):
                result = taken.result()
                results[name] = _plain(result) if is_outside(name) else result
        own = [result for name, result in results.items() if name in MEASURES.own]
        return Measures(
            canvases=len(trained.canvases),
            **{key: value for result in own for key, value in result.items()},
            trust=judge(self.watch.signs(), self.watch.found, trained.config),
            looks=trained.looks,
            likelihood_samples=config.likelihood_samples,
            seconds=round(time.perf_counter() - self.began, 2),
            run=str(to_path(run)),
            data=str(trained.data),
            data_digest=trained.digest,
            split=config.split,
            checkpoint=str(trained.checkpoint),
            outside={name: results.get(name) for name in config.measures if is_outside(name)},
        )

    def _rows(self, values: Tensor | Streamed | None, indices: Tensor) -> Tensor | None:
        return None if values is None else values[indices].to(self.trained.device)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as JSON has it; what is empty or NaN is None."""
    empty: tuple[Any, ...] = ([], {}, [None, None])
    found = {name: _plain(value) for name, value in values.items()}
    return {name: None if value in empty else value for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, numbers that are not finite as None."""
    return json.loads(json.dumps(value, default=_as_list), parse_constant=lambda _: None)


def _as_list(value: Any) -> Any:
    """Return an array, a tensor or a number of NumPy's as Python's, and a result as a mapping."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a result of type {type(value).__name__}, which JSON does not have")
