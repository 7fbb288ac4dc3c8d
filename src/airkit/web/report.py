"""``airkit report``: from run folders to one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from airkit.config.settings import Settings, layers
from airkit.errors import AirkitError
from airkit.evaluation.results import Measures
from airkit.figures import Request
from airkit.figures.charts import LINES
from airkit.figures.curves import Curve, curve_of
from airkit.runs.describe import Description, describe
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import is_sweep
from airkit.runs.sweep_report import SweepReport
from airkit.runs.trained import TrainedRun
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import check_target, write_text
from airkit.system.paths import output_file, path_or_none, to_path
from airkit.web import provenance
from airkit.web.comparison import Attempt, OverSeeds, differing, of_runs, of_sweep, over_seeds
from airkit.web.gather import gather
from airkit.web.html import html, percent


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    path: Path
    """The HTML file."""
    bytes: int
    """Its size."""
    measures: tuple[Measures, ...]
    """The measures in it, those of ``airkit eval``: of each run that finished."""
    over_seeds: tuple[OverSeeds, ...] = ()
    """Mean and standard deviation of the measures, for runs that differ in their seed alone."""

    def _repr_html_(self) -> str | None:
        """Return the report in a frame, for notebooks, as long as its file is there."""
        with suppress(OSError):
            page = escape(self.path.read_text(encoding="utf-8"))
            return f'<iframe srcdoc="{page}" style="border: 0; width: 100%; height: 45em"></iframe>'
        return None


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
    for the day and the time that measuring took. Several runs, or the folder of a sweep, are
    compared on the same canvases.

    Args:
        run: the run folder, that of a sweep, or several of them.
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
    runs = list(map(to_path, [run] if isinstance(run, str | Path) else run))
    if not runs:
        raise AirkitError(
            "A report needs a run",
            expected="at least one run folder",
            hint="airkit train, which makes one",
        )
    target = runs[0] / "report.html" if out is None else output_file(out, "report.html")
    check_target(target, "A report is written as HTML alone", ".html", ".htm")
    path = path_or_none(data)
    request = Request(RunFolder(runs[0]), path, checkpoint, layers(settings), listener)
    alone = len(runs) == 1 and not is_sweep(runs[0])
    if alone:
        text, measures = _one(request)
        averages: tuple[OverSeeds, ...] = ()
    else:
        found, sweep = of_runs(runs, request) if len(runs) > 1 else of_sweep(request)
        averages = over_seeds(found)
        text = _several(found, sweep, averages, request, swept=len(runs) == 1)
        measures = tuple(each.measures for each in found if each.measures)
    write_text(target, text)
    return Report(target, len(text.encode()), measures, averages)


def _one(request: Request) -> tuple[str, tuple[Measures, ...]]:
    """Return the text of the report on one run, and the measures in it."""
    run = request.open_run(prior=True)
    measures, sheets = gather(run, request)
    rows = request.run.rows()
    elbo = [
        curve_of("training", LINES[7], rows, "elbo"),
        curve_of("validation", LINES[0], rows, "val_elbo"),
    ]
    text = html(
        "report",
        **_facts(run, request),
        measures=measures,
        counted=run.canvases.counts is not None,
        headline=headline(measures),
        elbo=[each for each in elbo if each.steps],
        shares=curve_of("validation", LINES[0], rows, "val_count_accuracy"),
        sheets=sheets,
    )
    return text, (measures,)


class Headline(NamedTuple):
    """The result in a few words."""

    value: str
    words: str
    note: str
    doubtful: bool


def headline(measures: Measures) -> Headline:
    """Return the share counted right, or how many objects were found where no count is known."""
    canvases, trust = f"{measures.canvases:,} {measures.split} canvases", measures.trust
    doubtful = trust is not None and bool(trust.trouble)
    looks = f"{measures.looks} looks together" if measures.looks > 1 else "one look"
    if measures.confusion:
        low, high = map(percent, measures.count_accuracy_interval)
        note = f"95 % interval {low} to {high}; {looks}"
        value = f"{percent(measures.count_accuracy)} %"
        return Headline(value, f"of {canvases} counted right", note, doubtful)
    if trust is None:
        return Headline(f"{measures.canvases:,}", f"{measures.split} canvases", looks, doubtful)
    value = f"{trust.signs.objects_per_picture:.1f}"
    note = f"true counts are not measured; {looks}"
    return Headline(value, f"objects found on a canvas, on average of {canvases}", note, doubtful)


def _facts(run: TrainedRun, request: Request) -> dict[str, Any]:
    """Return what the template tells of the run, by the names that it uses."""
    trained_on = run.trained_on
    checkpoint, data = describe(run.checkpoint), describe(run.data)
    preset, changed = provenance.from_preset(trained_on.config)
    return {
        "name": request.run.path.resolve().name,
        "date": provenance.today(),
        "objects": _objects(data),
        "training_data": Path(checkpoint.facts["data"]).name,
        "config": trained_on.config,
        "slots": run.air.slots,
        "device": str(run.device),
        "checkpoint": checkpoint,
        "data": data,
        "versions": provenance.versions(),
        "preset": preset,
        "changed": changed,
        "seeds": provenance.seeds(trained_on.config, run.config),
        "commands": provenance.of_runs([(request.run, trained_on)], data, request),
    }


def _objects(data: Description) -> str:
    """Return what is on the canvases of a data file."""
    return "digits" if data.config.data.of_digits else "objects"


def _several(
    found: Sequence[Attempt],
    sweep: SweepReport,
    averages: Sequence[OverSeeds],
    request: Request,
    *,
    swept: bool,
) -> str:
    """Return the text of the report on several runs, or on those of a sweep."""
    data = describe(sweep.data)
    trained = [(each.run, each.trained_on) for each in found if each.trained_on]
    return html(
        "comparison",
        name=request.run.path.resolve().name if swept else f"{len(found)} runs",
        date=provenance.today(),
        objects=_objects(data),
        sweep=sweep,
        attempts=found,
        measured=next((each.measures for each in found if each.measures), None),
        over_seeds=averages,
        worst=found[sweep.rows.index(sweep.worst)].name,
        forest=[(each.name, each.row.measures) for each in found],
        elbo=_lines(found, "val_elbo"),
        shares=_lines(found, "val_count_accuracy"),
        differing=differing(found),
        data=data,
        versions=provenance.versions(),
        commands=provenance.of_sweep(sweep, data, request)
        if swept
        else provenance.of_runs(trained, data, request),
    )


def _lines(found: Sequence[Attempt], metric: str) -> list[Curve]:
    """Return the curve of a metric for each run."""
    return [
        curve_of(each.name, LINES[index % len(LINES)], each.run.rows(), metric)
        for index, each in enumerate(found)
    ]
