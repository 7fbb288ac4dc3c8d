"""Several runs measured on the same canvases: those of sweeps, failed ones included, or any."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from airkit.config import settings
from airkit.config.settings import Layer
from airkit.errors import AirkitError
from airkit.evaluation.evaluate import measure_cached
from airkit.evaluation.measures import check_counts
from airkit.evaluation.results import Measures
from airkit.figures import Request
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan, is_sweep
from airkit.runs.sweep_report import Row, SweepReport
from airkit.runs.training_data import TrainingData
from airkit.system.callbacks import MUTED

THRESHOLD = 0.99
"""Least count accuracy of a success, of runs that are not of a sweep."""


@dataclass(frozen=True)
class Attempt:
    """One run, finished or not."""

    name: str
    run: RunFolder
    row: Row
    measures: Measures | None = None
    """None where it failed."""
    trained_on: TrainingData | None = None
    """Its data file and configuration; None where it failed."""


Compared = tuple[list[Attempt], SweepReport]
"""All attempts, and the same rows summed up."""


@dataclass(frozen=True)
class OverSeeds:
    """What runs find on average that differ in nothing but their seed."""

    runs: tuple[str, ...]
    """Their names: two or more that finished."""
    mean: Mapping[str, float]
    """Mean of each measure, under its name in ``airkit eval --json``."""
    sd: Mapping[str, float]
    """Its standard deviation over the runs, that of a sample (n - 1)."""


def of_sweep(request: Request) -> Compared:
    """Measure every seed of the sweep in ``request.run`` that finished.

    Raises:
        CheckpointError: the sweep has no report, or a finished run of it cannot be read.
        DataFileError: as for ``open_run``.
        AirkitError: a checkpoint file was asked for, or no seed was attempted.
    """
    _check_checkpoint(request)
    stored = SweepReport.read(request.run.path)
    if not stored.rows:
        raise AirkitError(
            "No seed of the sweep has been attempted yet",
            where=request.run.path,
            hint="the same airkit sweep again, which resumes",
        )
    plan = Plan.read(request.run.path)
    given = [Layer("the sweep", {"eval": plan.config.eval.model_dump()}), *request.given]
    data = request.data or replace(plan.training_data, path=stored.data).read().path
    asked = replace(request, data=data, given=given)
    found = _measured(_attempts(request.run.path), asked)
    rows = tuple(each.row for each in found)
    return found, replace(stored, data=data, rows=rows)


def of_runs(runs: Sequence[Path], request: Request) -> Compared:
    """Measure several runs and those of sweeps, by default on the data and split of the first.

    Raises:
        CheckpointError: one of them is no run, or a sweep without a report.
        DataFileError: as for ``open_run``.
        AirkitError: a checkpoint file was asked for, a run is named twice, or none finished.
    """
    _check_checkpoint(request)
    attempts = [attempt for run in runs for attempt in _attempts(run)]
    _check_distinct([run for run, _ in attempts])
    finished = [run for run, failed in attempts if failed is None]
    if not finished:
        hint = "name a run that finished"
        raise AirkitError("None of these runs finished", where=runs[0], hint=hint)
    first = replace(request, run=RunFolder(finished[0]), listener=MUTED).open_model()
    split = Layer("the first run", {"eval": {"split": first.config.eval.split}})
    data = request.data or first.data.read().path
    asked = replace(request, data=data, given=[*request.given, split])
    found = _measured(attempts, asked)
    rows = tuple(each.row for each in found)
    seconds = sum(each.measures.seconds for each in found if each.measures)
    return found, SweepReport(runs[0], data, THRESHOLD, len(rows), rows, seconds)


def _attempts(run: Path) -> list[tuple[Path, Row | None]]:
    """Return a run's folder, or those of a sweep, each with the row of one that failed."""
    if not is_sweep(run):
        return [(run, None)]
    rows = SweepReport.read(run).rows
    return [(run / Path(row.run).name, row if row.failure is not None else None) for row in rows]


def _measured(attempts: Sequence[tuple[Path, Row | None]], asked: Request) -> list[Attempt]:
    """Measure those that finished."""
    found = []
    for (run, failed), name in zip(attempts, _names([run for run, _ in attempts]), strict=True):
        own = replace(asked, run=RunFolder(run))
        found.append(Attempt(name, own.run, failed) if failed else _measure(own, name))
    return found


def _check_checkpoint(request: Request) -> None:
    if request.checkpoint not in ("best", "last"):
        raise AirkitError(
            "Several runs have no checkpoint file in common",
            expected="best or last",
            got=request.checkpoint,
            hint="--checkpoint best",
        )


def _check_distinct(runs: Sequence[Path]) -> None:
    places: dict[str, Path] = {}
    for run in runs:
        place = os.path.realpath(run)
        if place in places:
            raise AirkitError(
                "A run is named twice",
                where=run,
                expected="a folder of its own for each --run",
                got=f"the same folder as {places[place]}",
                hint="name each --run once",
            )
        places[place] = run


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the folders' names, or their paths where two have the same name."""
    names = [Path(os.path.realpath(run)).name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _measure(request: Request, name: str) -> Attempt:
    """Measure a run that finished."""
    path, trained = str(request.run.path), request.open_run()
    check_counts(trained.config)
    trained.canvases.truth("counts")
    measures = measure_cached(trained, path, request.listener).measures
    _, last = request.run.find("last", request.listener)
    row = Row(
        trained.trained_on.config.train.seed, path, None, round(last.seconds, 1), measures.to_dict()
    )
    return Attempt(name, request.run, row, measures, trained.trained_on)


def differing(found: Sequence[Attempt]) -> dict[str, list[str]]:
    """Return the settings that are not the same in all finished runs, the seed of training aside.

    Returns:
        The values as text, in the order of the finished runs, by dotted key.
    """
    configs = [each.trained_on.config for each in found if each.trained_on]
    values = [dict(settings.flatten(config.model_dump())) for config in configs]
    texts = {key: [settings.spelled(each[key]) for each in values] for key in (values or [{}])[0]}
    return {key: each for key, each in texts.items() if len(set(each)) > 1 and key != "train.seed"}


def over_seeds(found: Sequence[Attempt]) -> tuple[OverSeeds, ...]:
    """Return what is found on average over the runs that differ in their training's seed alone."""
    alike: dict[str, list[Attempt]] = defaultdict(list)
    for each in found:
        if each.trained_on:
            same = each.trained_on.config.updated("train", seed=0)
            alike[each.trained_on.digest + same.model_dump_json()].append(each)
    return tuple(_over_seeds(group) for group in alike.values() if len(group) > 1)


def _over_seeds(group: Sequence[Attempt]) -> OverSeeds:
    every = [each.row.measures or {} for each in group]
    numbers = {
        name: [each[name] for each in every]
        for name in every[0]
        if name != "seconds" and all(isinstance(each[name], float) for each in every)
    }
    return OverSeeds(
        runs=tuple(each.name for each in group),
        mean={name: mean(values) for name, values in numbers.items()},
        sd={name: stdev(values) for name, values in numbers.items()},
    )
