"""One pass of a trained model over held-out canvases, and what ``airkit eval`` reports of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from airkit.config.registry import is_outside
from airkit.config.settings import Settings
from airkit.data.look.findings import SAMPLE
from airkit.data.stream import Streamed
from airkit.evaluation import result_cache
from airkit.evaluation.explaining import Result, Task, explained
from airkit.evaluation.measures import MEASURES, Batch, Counts, Measure
from airkit.evaluation.miscounts import with_truth
from airkit.evaluation.result_cache import PerCanvas
from airkit.evaluation.results import Measures, as_json
from airkit.model.guides import Noise
from airkit.model.scene import scene_of
from airkit.runs.records import restorer
from airkit.runs.signs import Watch
from airkit.runs.trained import TrainedRun, count_generator, look_seed, open_run
from airkit.runs.trust import Trust, judge
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import to_path


def evaluate(
    run: str | Path = "runs/air",
    data: str | Path | None = None,
    *,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Measures:
    """Measure a trained model on held-out canvases.

    Its results are cached in the run folder, where that can be written, for ``report``.

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
        what = " and ".join(unknown)
        listener.note(f"the {split} canvases have no true {what}, which are not measured")
    return measure(trained, run, listener).measures


class Outcome(NamedTuple):
    """What a pass over a split found."""

    measures: Measures
    per_canvas: PerCanvas


def measure(trained: TrainedRun, run: str | Path, listener: Listener) -> Outcome:
    """Evaluate all canvases of the split, and cache the results in the run folder."""
    evaluation, path = Evaluation(trained).all(listener), to_path(run)
    found = Outcome(evaluation.measures(path), PerCanvas.joined(evaluation.per_canvas))
    result_cache.write(path, trained, asdict(found.measures), found.per_canvas)
    return found


def measure_cached(trained: TrainedRun, run: str | Path, listener: Listener) -> Outcome:
    """``measure``, or what it cached of the same model, canvases and settings."""
    path = to_path(run)
    if (found := result_cache.read(path, trained)) is not None:
        with suppress(ValueError):
            measures = restorer(Measures)(found[0])
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
        self.per_canvas: list[PerCanvas] = []
        for name, kind in MEASURES.several(trained.config.eval.measures).items():
            if unknown := set(kind.needs) - self.truth.keys():
                expected = f"needs of {', '.join(self.truth)}"
                raise MEASURES.unusable(name, f"needs of {', '.join(sorted(unknown))}", expected)
            if known.issuperset(kind.needs):
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

        Every random quantity has a stream of its own, so that no setting moves another's.
        """
        config, many = self.trained.config, len(self.trained.canvases)
        generator = count_generator(config, self.trained.device)
        with closing(explained(self._jobs(), many)) as jobs:
            for indices, task, found in jobs:
                yield self._batch(indices, task.images, found, generator)
                listener.progress("evaluating", int(indices[-1]) + 1, many)

    def _jobs(self) -> Iterator[tuple[Tensor, Task]]:
        """Yield indices of canvases, and what there is to do for them."""
        trained, seed = self.trained, look_seed(self.trained.config)
        draws = trained.config.eval.likelihood_samples if "likelihood" in self.taken else 0
        first, others = map(trained.generator, ("elbo", "iwae"))
        for indices in trained.batches():
            images, noise = trained.images(indices), tuple[Noise, ...]()
            if draws:
                more = [trained.air.noise(others, len(images), looks=True) for _ in range(draws)]
                noise = trained.air.noise(first, len(images), looks=False), *more
            yield indices, Task(trained.air, images, trained.looks, seed, noise)

    @torch.no_grad()
    def _batch(
        self, indices: Tensor, images: Tensor, found: Result, generator: torch.Generator | None
    ) -> Batch:
        """Measure what is found on some canvases."""
        one = scene_of(self.trained.air, images, found.one, generator)
        several = self.trained.looks > 1
        batch = Batch(
            indices=indices,
            images=images,
            scene=scene_of(self.trained.air, images, found.best) if several else one,
            one_look=one,
            bounds=found.bounds,
            **{name: self._rows(values, indices) for name, values in self.truth.items()},
        )
        self.watch.add(images, batch.scene, one)
        self.per_canvas.append(PerCanvas.on(batch))
        for name, taken in self.taken.items():
            with MEASURES.running(name):
                taken.add(batch)
        return batch

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
                results[name] = as_json(result) if is_outside(name) else result
        own = [result for name, result in results.items() if name in MEASURES.own]
        return Measures(
            canvases=len(trained.canvases),
            **{key: value for result in own for key, value in result.items()},
            trust=self._judge(),
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

    def _judge(self) -> Trust:
        """Judge whether the results are to be trusted, with true counts where they are measured."""
        trust = judge(self.watch.signs(), self.watch.found, self.trained.config)
        if "counts" not in self.taken:
            return trust
        true, found, _ = self.counts.table
        return with_truth(trust, true, found)

    def _rows(self, values: Tensor | Streamed | None, indices: Tensor) -> Tensor | None:
        return None if values is None else values[indices].to(self.trained.device)
