"""Several runs measured on the same canvases: those of a sweep, failed ones included, or any."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airkit.config import settings
from airkit.config.settings import Layer
from airkit.errors import AirkitError
from airkit.evaluation.evaluate import measure_cached
from airkit.evaluation.measures import check_counts
from airkit.evaluation.results import Measures
from airkit.figures import Request
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan
from airkit.runs.sweep_report import Row, SweepReport
from airkit.runs.training_data import TrainingData
from airkit.system.callbacks import SILENT

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
    found = []
    for row in stored.rows:
        run = RunFolder(request.run.path / Path(row.run).name)
        name = run.path.name
        failed = row.failure is not None
        found.append(Attempt(name, run, row) if failed else _measure(replace(asked, run=run), name))
    rows = tuple(each.row for each in found)
    return found, replace(stored, data=data, rows=rows)


def of_runs(runs: Sequence[Path], request: Request, threshold: float = THRESHOLD) -> Compared:
    """Measure several runs, by default on the data and split of the first.

    Raises:
        CheckpointError: one of them is no run.
        DataFileError: as for ``open_run``.
        AirkitError: a checkpoint file was asked for, or a run is named twice.
    """
    _check_checkpoint(request)
    _check_distinct(runs)
    first = replace(request, run=RunFolder(runs[0]), listener=SILENT).open_model()
    split = Layer("the first run", {"eval": {"split": first.config.eval.split}})
    data = request.data or first.data.read().path
    asked = replace(request, data=data, given=[*request.given, split])
    found = [
        _measure(replace(asked, run=RunFolder(run)), name)
        for run, name in zip(runs, _names(runs), strict=True)
    ]
    rows = tuple(each.row for each in found)
    seconds = sum(each.measures.seconds for each in found if each.measures)
    return found, SweepReport(runs[0], data, threshold, len(runs), rows, seconds)


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
