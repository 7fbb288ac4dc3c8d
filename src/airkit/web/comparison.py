"""Several runs measured on the same canvases: those of a sweep, failed ones too, or any."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.errors import AirkitError
from airkit.evaluation.evaluate import Measures, measure
from airkit.figures.base import Request
from airkit.runs import checkpoint as checkpoints
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan, Row, SweepReport
from airkit.runs.trained import override, training_data
from airkit.system.text import quoted

THRESHOLD = 0.99
"""Least count accuracy of a success where there is no sweep to say."""


@dataclass(frozen=True)
class Attempt:
    """One run, finished or not."""

    name: str
    run: RunFolder
    row: Row
    measures: Measures | None = None
    """None where it failed."""
    config: Config | None = None
    """Its configuration; None where it failed."""
    data: str = ""
    """The data file that it was trained on."""
    digest: str = ""
    """Content digest of that file."""
    metrics: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    """Its rows of metrics, of a failed run too."""


@dataclass(frozen=True)
class Attempts:
    """What a comparison shows."""

    each: list[Attempt]
    sweep: SweepReport
    """The same rows, summed up."""


def of_sweep(request: Request) -> Attempts:
    """Measure every seed of the sweep in ``request.run`` that finished.

    Raises:
        CheckpointError: the sweep has no report, or a finished run of it cannot be read.
        DataFileError: as for ``open_run``.
        AirkitError: a checkpoint file was asked for, or no seed was attempted.
    """
    _check(request)
    stored = SweepReport.read(request.run.path)
    if not stored.rows:
        raise AirkitError(
            "No seed of the sweep was attempted yet",
            where=request.run.path,
            hint="the same airkit sweep again, which goes on",
        )
    plan = Plan.read(request.run.path)
    given = [Layer("the sweep", {"eval": plan.config.eval.model_dump()}), *request.given]
    data = request.data or replace(plan.training_data, path=stored.data).read().path
    asked = replace(request, data=data, given=given)
    found = []
    for row in stored.rows:
        folder = RunFolder(request.run.path / Path(row.run).name)
        if row.failure is None:
            found.append(_measured(replace(asked, run=folder), folder.path.name))
        else:
            found.append(Attempt(folder.path.name, folder, row, metrics=folder.rows()))
    rows = tuple(each.row for each in found)
    return Attempts(found, replace(stored, data=data, rows=rows))


def of_runs(runs: Sequence[Path], request: Request, threshold: float = THRESHOLD) -> Attempts:
    """Measure several runs, by default on the data and split of the first.

    Raises:
        CheckpointError: one of them is no run.
        DataFileError: as for ``open_run``.
        AirkitError: a checkpoint file was asked for, or a run is named twice.
    """
    _check(request)
    _check_distinct(runs)
    _, first = RunFolder(runs[0]).find(request.checkpoint, request.listener)
    config = override(first.config, f"run {runs[0]}", request.given)
    split = Layer("the first run", {"eval": {"split": config.eval.split}})
    data = request.data or training_data(first).read().path
    asked = replace(request, data=data, given=[*request.given, split])
    found = [
        _measured(replace(asked, run=RunFolder(run)), name)
        for run, name in zip(runs, _names(runs), strict=True)
    ]
    rows = tuple(each.row for each in found)
    seconds = sum(each.measures.seconds for each in found if each.measures)
    return Attempts(found, SweepReport(runs[0], data, threshold, len(runs), rows, seconds))


def _check(request: Request) -> None:
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
                hint=f"airkit report --run {quoted(run)}, which reports on it alone",
            )
        places[place] = run


def _names(runs: Sequence[Path]) -> list[str]:
    """The folders' names, or their paths where names are not enough."""
    names = [Path(os.path.realpath(run)).name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _measured(request: Request, name: str) -> Attempt:
    opened = request.open_run()
    with torch.no_grad():
        measures = measure(opened, str(request.run.path), request.listener)
    state = checkpoints.read(opened.checkpoint)
    _, newest = request.run.find("last", request.listener)
    seed, path = state.config.train.seed, str(request.run.path)
    row = Row(seed, path, None, round(newest.seconds, 1), measures.to_dict())
    told = (state.config, state.data, state.data_digest, request.run.rows())
    return Attempt(name, request.run, row, measures, *told)


def differing(found: Sequence[Attempt]) -> dict[str, list[str]]:
    """Settings whose values are not the same in all runs that finished, but for the seed."""
    configs = [each.config for each in found if each.config is not None]
    values = [dict(settings.flatten(config.model_dump())) for config in configs]
    return dict(_differing(values))


def _differing(values: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    for key in values[0] if values else ():
        told = [settings.spelled(each[key]) for each in values]
        if len(set(told)) > 1 and key != "train.seed":
            yield key, told
