"""From a run folder to a report: measure, draw, and write one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airkit.config.settings import Settings, layers
from airkit.errors import AirkitError
from airkit.evaluation.evaluate import Measures
from airkit.figures.base import Request
from airkit.figures.charts import LINES
from airkit.figures.curves import Line, line
from airkit.runs.describe import describe
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import is_sweep
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import check_target, write_text
from airkit.web import provenance
from airkit.web.comparison import Attempt, Attempts, differing, of_runs, of_sweep
from airkit.web.gather import Gathered, calibration_error, gather
from airkit.web.html import html
from airkit.web.pictures import pictures


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    path: Path
    """The HTML file."""
    bytes: int
    """Its size."""
    measures: tuple[Measures, ...]
    """The measures in it, those of ``airkit eval``: of each run that finished."""


def report(
    run: str | Path | Sequence[str | Path] = "runs/air",
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Report:
    """Measure a run as ``evaluate`` does, draw it, and write both as one HTML file.

    The file holds its pictures and needs no network. The same call writes the same file but
    for the time that measuring took. Several runs, or the folder of a sweep, are compared on
    the same canvases.

    Args:
        run: the run folder, that of a sweep, or several run folders.
        out: the file to write; by default report.html in the folder, the first of several.
        data: the data file; by default the one the run was trained on, the first of several.
        checkpoint: ``best``, ``last`` or, of one run, a checkpoint file.
        settings: dotted keys and values, or layers; those of ``eval`` and ``render`` matter.
        listener: hears notes and progress.

    Raises:
        ConfigError: settings that make no configuration.
        CheckpointError: no such run, sweep or checkpoint, or a damaged one.
        DataFileError: no such data file, a damaged one, an empty split, or the run's own file
            where it was replaced.
        DeviceError: there is no such device.
        OutputError: the report cannot be written, is no HTML, or a picture would be too large.
        AirkitError: no run at all, one named twice, or a checkpoint file for several.
    """
    runs = [Path(run)] if isinstance(run, str | Path) else [Path(each) for each in run]
    if not runs:
        raise AirkitError(
            "A report needs a run",
            expected="at least one run folder",
            hint="airkit train, which makes one",
        )
    target = runs[0] / "report.html" if out is None else Path(out)
    check_target(target, "A report is written as HTML alone", ".html", ".htm")
    path = None if data is None else Path(data)
    request = Request(RunFolder(runs[0]), path, checkpoint, layers(settings), listener)
    alone = len(runs) == 1 and not is_sweep(runs[0])
    text, measures = _one(request) if alone else _several(runs, request)
    write_text(target, text)
    return Report(target, len(text.encode()), measures)


Written = tuple[str, tuple[Measures, ...]]


def _one(request: Request) -> Written:
    opened = request.open_run()
    gathered = gather(opened, str(request.run.path), request.listener)
    return html("report", **_parts(gathered, opened, request)), (gathered.measures,)


def _several(runs: Sequence[Path], request: Request) -> Written:
    found = of_sweep(request) if len(runs) == 1 else of_runs(runs, request)
    text = html("comparison", **_compared(found, request))
    return text, tuple(each.measures for each in found.each if each.measures)


def _compared(found: Attempts, request: Request) -> dict[str, Any]:
    """What the template of a comparison asks for, by name."""
    sweep, each = found.sweep, found.each
    data = describe(sweep.data)
    swept = is_sweep(request.run.path)
    return {
        "name": request.run.path.resolve().name if swept else f"{len(each)} runs",
        "sweep": sweep,
        "attempts": each,
        "measured": next((it.measures for it in each if it.measures), None),
        "worst": each[sweep.rows.index(sweep.worst)].name,
        "forest": [
            (
                it.name,
                it.measures and (it.measures.count_accuracy, it.measures.count_accuracy_interval),
            )
            for it in each
        ],
        "elbo": _lines(each, "val_elbo"),
        "shares": _lines(each, "val_count_accuracy"),
        "differing": differing(each),
        "data": data,
        "versions": provenance.versions(),
        "commands": provenance.of_sweep(found, data, request)
        if swept
        else provenance.of_runs(found, data, request),
    }


def _lines(found: Sequence[Attempt], metric: str) -> list[Line]:
    """Return the curve of a metric for each run."""
    return [
        line(each.name, LINES[index % len(LINES)], each.metrics, metric)
        for index, each in enumerate(found)
    ]


def _parts(gathered: Gathered, opened: TrainedRun, request: Request) -> dict[str, Any]:
    """What the template asks for, by name."""
    checkpoint = describe(opened.checkpoint)
    data = describe(opened.data)
    rows = request.run.rows()
    elbo = [
        line("training", LINES[7], rows, "elbo"),
        line("validation", LINES[0], rows, "val_elbo"),
    ]
    preset, changed = provenance.from_preset(checkpoint.config)
    return {
        "name": request.run.path.resolve().name,
        "measures": gathered.measures,
        "calibration": gathered.calibration,
        "calibration_error": calibration_error(gathered.calibration),
        "pictures": pictures(gathered, opened, request),
        "reliability": [(it.confidence, it.share, it.interval) for it in gathered.calibration],
        "elbo": [each for each in elbo if each.steps],
        "shares": line("validation", LINES[0], rows, "val_count_accuracy"),
        "config": checkpoint.config,
        "slots": opened.air.slots,
        "device": str(opened.device),
        "checkpoint": checkpoint,
        "data": data,
        "versions": provenance.versions(),
        "preset": preset,
        "changed": changed,
        "seeds": provenance.seeds(checkpoint.config, opened.config),
        "commands": provenance.commands(checkpoint, data, opened, request),
    }
