"""The sweep itself: its plan, what is still to do, and its report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path

from airkit.config import settings
from airkit.config.settings import Settings
from airkit.data.info import empty_split_error, no_truth_error
from airkit.errors import AirkitError, CheckpointError
from airkit.evaluation.measures import MEASURES, check_counts
from airkit.runs.folder import strangers
from airkit.runs.sweep_folder import RUN, WITHOUT_EFFECT, Plan, Trial, is_sweep
from airkit.runs.sweep_report import REPORT, Row, SweepReport
from airkit.sweeps.engines import Engine, Processes
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener
from airkit.system.extras import check_installed
from airkit.system.locks import exclusive
from airkit.system.paths import absolute, to_path
from airkit.system.signals import StopRequest, stop_on_signals
from airkit.system.text import first_three
from airkit.training.resume import DEFAULT_DATA, Earlier, configure

FREE = (*WITHOUT_EFFECT, "eval.")
"""Prefixes of the settings that may change when a sweep goes on: its seeds stay comparable."""
LOCK = "sweep.lock"


def sweep(  # noqa: PLR0913 - as many as the command line has
    data: str | Path | None = None,
    folder: str | Path = "runs/sweep",
    *,
    seeds: int = 10,
    threshold: float = 0.99,
    settings: Settings = (),
    engine: Engine | None = None,
    fresh: bool = False,
    listener: Listener = SILENT,
) -> SweepReport:
    """Train and measure with each of several seeds, side by side.

    Each seed has a run folder of its own in ``folder``. The same call again continues a sweep
    that was stopped or killed, and one with more ``seeds`` adds to it: finished seeds are kept,
    the others go on where they stopped. A seed that fails does not end the others, and counts
    as a failure.

    Args:
        data: the data file; by default that of the sweep that goes on, else multi-mnist.h5.
        folder: the sweep's folder.
        seeds: how many, counted up from ``train.seed``.
        threshold: least count accuracy of a success, 0 to 1.
        settings: dotted keys and values, or layers, as ``train`` takes them.
        engine: where the trials run; by default processes on this machine.
        fresh: start anew, removing the seeds' run folders that are there.
        listener: hears notes and progress.

    Raises:
        DataFileError: the data file cannot be used, or contradicts the settings.
        CheckpointError: the folder's sweep has other settings or data, or cannot be read.
        ConfigError: the settings are not valid.
        ExtensionError: a class from outside that was not named in this call, or cannot be used.
        AirkitError: the number of seeds, the threshold or the engine cannot be used, or
            ``eval.measures`` leaves out the counts.
        OutputError: the folder cannot be written, or another sweep is at work in it.
    """
    began = time.perf_counter()
    folder = to_path(folder)
    seeds, threshold = _whole(seeds), _share(threshold)
    engine = engine or Processes()
    _check_workers(engine)
    engine.check()
    lock = exclusive(
        folder / LOCK,
        folder,
        work="sweep is at work in this folder",
        hint="wait for its end, or name another --out",
        listener=listener,
    )
    with stop_on_signals() as request, lock:
        plan = _plan(data, folder, settings, fresh, listener)
        first = plan.config.train.seed
        trials = [plan.trial(seed) for seed in range(first, first + seeds)]
        rows = {row.seed: row for row in _attempt(trials, engine, request, listener)}
        report = SweepReport(
            folder=plan.folder,
            data=plan.data,
            threshold=threshold,
            seeds=seeds,
            rows=tuple(rows[seed] for seed in sorted(rows)),
            seconds=round(time.perf_counter() - began, 1),
        )
        files.write_text(plan.folder / REPORT, json.dumps(report.to_dict(), indent=1) + "\n")
    return report


def _whole(seeds: int) -> int:
    """Return the number of seeds as Python's int, which JSON takes; NumPy's integers will do."""
    whole = isinstance(seeds, Integral) and not isinstance(seeds, bool)
    if not whole or seeds < 1:
        raise AirkitError(
            "A sweep needs seeds",
            expected="--seeds, a whole number of at least 1",
            got=int(seeds) if whole else repr(seeds),
            hint="--seeds 10",
        )
    return int(seeds)


def _check_workers(engine: Engine) -> None:
    """Refuse an engine that would never start a trial."""
    workers = getattr(engine, "workers", None)
    if workers is not None and workers < 1:
        raise AirkitError(
            "A sweep needs workers",
            expected="1 or more at a time",
            got=workers,
            hint="leave the number out for as many as pay",
        )


def _share(threshold: float) -> float:
    """Return the threshold as Python's float; NumPy's numbers will do."""
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 <= threshold <= 1:
        raise AirkitError(
            "The threshold is a share of canvases",
            expected="--threshold, a number from 0 to 1",
            got=float(threshold) if number else repr(threshold),
            hint="--threshold 0.99 asks for 99 % of the counts to be right",
        )
    return float(threshold)


def _plan(
    data: str | Path | None, folder: Path, given: Settings, fresh: bool, listener: Listener
) -> Plan:
    """Return the plan of a new sweep, or of the one in ``folder`` that goes on; write it there."""
    layers = settings.layers(given)
    if is_sweep(folder) and not fresh:
        plan = _earlier(folder)
        info, config = Earlier(folder, plan.training_data, FREE).go_on(data, layers, listener)
    else:
        info, config = configure(to_path(data or DEFAULT_DATA), layers, listener)
    if config.train.tensorboard:
        check_installed("tensorboard", "tensorboard")
    MEASURES.several(config.eval.measures)
    check_counts(config)
    if info.splits[config.eval.split] == 0:
        raise empty_split_error(info, config.eval.split)
    if "count" not in info.arrays[config.eval.split]:
        raise no_truth_error(info.path, config.eval.split, "counts")
    if fresh:
        _clear(folder)
    if not is_sweep(folder):
        _check_unused(folder)
    plan = Plan(folder, absolute(info.path), info.content_digest, config, info.source)
    plan.write()
    return plan


def _check_unused(folder: Path) -> None:
    """Refuse to begin a sweep among the files of something else, such as a run."""
    if foreign := strangers(folder, {LOCK}):
        raise CheckpointError(
            "The folder holds files that belong to no sweep",
            where=folder,
            expected="a new folder, or one of a sweep",
            got=first_three(foreign),
            hint="name another --out, or move those files away",
        )


def _earlier(folder: Path) -> Plan:
    """Return the plan to go on with; for a damaged one the hint is --fresh, which starts anew."""
    try:
        return Plan.read(folder)
    except CheckpointError as error:
        raise error.advising(
            "name another --out; the same command with --fresh removes the runs of this one"
        ) from error


def _clear(folder: Path) -> None:
    """Remove the run folders of an earlier sweep, and nothing else that is there."""
    if is_sweep(folder):
        with files.writing(folder):
            (folder / REPORT).unlink(missing_ok=True)
            for run in folder.iterdir():
                if RUN.fullmatch(run.name) and run.is_dir():
                    shutil.rmtree(run)


def _attempt(
    trials: list[Trial], engine: Engine, request: StopRequest, listener: Listener
) -> Iterator[Row]:
    """Yield a row for each trial that is finished, or that finishes or fails now."""
    rows = [Row.of(trial, None) for trial in trials]
    finished = [row for row in rows if row.failure is None]
    yield from finished
    waiting = [trial for trial, row in zip(trials, rows, strict=True) if row.failure is not None]
    if finished:
        listener.note(f"{len(finished)} of {len(trials)} seeds are finished already")
    if not waiting:
        return
    listener.progress("seeds", len(finished), len(trials))
    for done, (trial, failure) in enumerate(engine.run(waiting, lambda: request.asked), 1):
        row = Row.of(trial, failure)
        told = row.failure or f"count accuracy {100 * row.count_accuracy:.2f} %"
        listener.note(f"seed {row.seed}: {told}")
        listener.progress("seeds", len(finished) + done, len(trials))
        yield row
