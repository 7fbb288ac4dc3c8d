"""``airkit eval``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import airkit
from airkit.cli.options import (
    DEFAULT_RUN,
    AsJson,
    Checkpoint,
    Data,
    Layers,
    Run,
    TableFile,
    on_run,
    option,
)
from airkit.cli.output import (
    columns,
    percent,
    percent_range,
    tell_end,
    tell_json,
    tell_rows,
    wrapped,
)
from airkit.cli.progress import listening
from airkit.system.tables import named
from airkit.system.text import duration

if TYPE_CHECKING:
    from airkit.evaluation.calibration import Calibration
    from airkit.evaluation.results import Comparison, Measures

IN_DOUBT = "in doubt: see above for what to try"
CALIBRATION_KEY = (
    "lower is better; constant: if every count had the same probability, the share counted right"
)


def evaluate(  # noqa: PLR0913 - options
    settings: Layers,
    run: Run = DEFAULT_RUN,
    data: Data = None,
    checkpoint: Checkpoint = "best",
    *,
    against: Annotated[
        Path | None, option("RUN", "Another run folder to compare with, on the same canvases.")
    ] = None,
    table: TableFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure counting, boxes and likelihood on held-out canvases.

    Settings override those of the run.
    """
    given: dict[str, Any] = {"data": data, "checkpoint": checkpoint, "settings": settings}
    with listening() as listener:
        if against is None:
            measures, comparison = airkit.evaluate(run, **given, listener=listener), None
        else:
            measures, comparison = airkit.compare(run, against, **given, listener=listener)
    if table is not None:
        measures.table(comparison.against if comparison else None).write(table)
    if as_json:
        tell_json(measures.to_dict() | ({"comparison": comparison} if comparison else {}))
    else:
        tell_measures(measures)
        tell_comparison(comparison)
        tell_end(_headline(measures), _next(measures))


def _headline(measures: Measures) -> str:
    """The result in a line: how well it counts, or whether to trust counts that nobody checked."""
    trust = measures.trust
    if not math.isnan(measures.count_accuracy):
        looks = "one look" if measures.looks == 1 else f"{measures.looks} looks together"
        share = percent(measures.count_accuracy)
        right = f"{share} of {measures.canvases:,} canvases are counted right, by {looks}"
        return f"{right}; {IN_DOUBT}" if trust is not None and trust.trouble else right
    if trust is None:
        return "measured; no true counts to compare with"
    return IN_DOUBT if trust.trouble else "no sign of trouble"


def _next(measures: Measures) -> list[tuple[str, str]]:
    run = measures.run
    return [("next", on_run("airkit report", run)), ("", on_run("airkit demo", run))]


def tell_measures(measures: Measures) -> None:
    """Print the measures of one run."""
    tell_rows(
        [
            ("run", f"{measures.run} ({measures.checkpoint})"),
            ("canvases", f"{measures.canvases:,} of {measures.split} in {measures.data}"),
            *_accuracies(measures),
            *_by_count(measures),
            *_calibrations(measures),
            *_values(measures),
            *measures.verdict(),
            ("time", duration(measures.seconds)),
        ]
    )
    if measures.confusion:
        tell_confusion(measures.confusion)


def _accuracies(measures: Measures) -> Iterator[tuple[str, str]]:
    """The count accuracy of several looks together, if there are several, and of one.

    Where nobody knows the true counts, how many objects were found.
    """
    if not measures.confusion and measures.trust is not None:
        found = f"{measures.trust.signs.objects_per_picture:.1f} on a canvas, on average"
        yield "objects found", f"{found}; true counts are not known"
        return
    if measures.looks > 1:
        new = measures.count_accuracy_interval_new_digits
        share = share_of(measures.count_accuracy, measures.count_accuracy_interval, new)
        yield f"count accuracy, {measures.looks} looks", share
    new = measures.count_accuracy_one_look_interval_new_digits
    share = share_of(
        measures.count_accuracy_one_look, measures.count_accuracy_one_look_interval, new
    )
    yield "count accuracy, one look", share


def _by_count(measures: Measures) -> Iterator[tuple[str, str]]:
    """The accuracy of each true count; of several looks together, then of one look."""
    for count, share in measures.per_count_accuracy.items():
        interval = measures.per_count_accuracy_interval[count]
        told = share_of(share, interval)
        if measures.looks > 1 and count in measures.per_count_accuracy_one_look:
            told += f", one look {percent(measures.per_count_accuracy_one_look[count])}"
        yield f"by true count, {count}", told


def _calibrations(measures: Measures) -> Iterator[tuple[str, str]]:
    if measures.looks > 1:
        yield from _calibration(f"{measures.looks} looks", measures.calibration)
    yield from _calibration("one look", measures.calibration_one_look)
    if measures.calibration_one_look is not None:
        yield "", CALIBRATION_KEY


def _calibration(which: str, found: Calibration | None) -> Iterator[tuple[str, str]]:
    """Calibration error and scores, beside those of one confidence for all canvases."""
    if found is not None:
        yield (
            f"calibration, {which}",
            f"probability off by {100 * found.error:.2f} points (ECE); "
            f"Brier {found.brier:.4f}, constant {found.brier_constant:.4f}; "
            f"log score {found.log_score:.4f}, constant {found.log_score_constant:.4f}",
        )


def _values(measures: Measures) -> Iterator[tuple[str, str]]:
    """The measures that are single numbers, those from outside last."""
    for name, label in (("mean_iou", "mean IoU"), ("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75")):
        if not math.isnan(value := getattr(measures, name)):
            yield label, number(value, ".3f")
    if many := measures.likelihood_samples:
        unit = " nats a canvas"
        yield "ELBO", number(measures.elbo, ".1f", unit)
        bound = number(measures.log_likelihood_bound, ".1f", f"{unit}, {many} samples")
        yield "log-likelihood bound", bound
    yield "squared error", number(measures.mse, ".5f", " a pixel")
    if not math.isnan(measures.ari):  # only data with masks has it
        for name in ("ari", "foreground_ari", "covering", "mean_covering", "mask_ap"):
            yield named(name), number(getattr(measures, name), ".3f")
    for name, value in measures.outside.items():
        yield name, "-" if value is None else json.dumps(value)


def number(value: float, form: str, unit: str = "") -> str:
    """Return a measure, or a dash for one that is undefined or was not taken."""
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"


def share_of(share: float, interval: Sequence[float], new: Sequence[float] = (math.nan,)) -> str:
    """Return a share with its intervals, or a dash."""
    if math.isnan(share):
        return "-"
    digits = "" if math.isnan(new[0]) else f", for new digits {percent_range(new)}"
    return f"{percent(share)} (95 % interval {percent_range(interval)}{digits})"


def tell_confusion(confusion: Sequence[Sequence[int]]) -> None:
    """Print a row for each true count."""
    told = "confusion: a row for each true count, a column for each inferred one"
    typer.echo(wrapped(told, columns(sys.stdout), "  "))
    width = max(len(str(number)) for row in confusion for number in row) + 2
    if 4 + width * max(map(len, confusion)) > (columns(sys.stdout) or math.inf):
        width -= 1
    for count, row in [("", range(max(map(len, confusion)))), *enumerate(confusion)]:
        typer.echo(f"{count:>4}" + "".join(f"{number:>{width}}" for number in row))


def tell_comparison(
    comparison: Comparison | None, ours: str = "the run", theirs: str = "the other"
) -> None:
    """Print the other run's accuracy, and whether the difference is more than chance."""
    if comparison is None:
        return
    against, *rows = comparison.rows(ours, theirs)
    typer.echo()
    tell_rows([against, *_accuracies(comparison.against), *rows])
