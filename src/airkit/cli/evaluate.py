"""``airkit eval``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

import airkit
from airkit.cli.options import AsJson, Checkpoint, Data, Given, Run, configured
from airkit.cli.output import percent, tell, tell_json
from airkit.cli.progress import listening
from airkit.system.text import duration

if TYPE_CHECKING:
    from airkit.config.settings import Layer
    from airkit.evaluation.compare import Comparison
    from airkit.evaluation.evaluate import Measures


_LEAST = 1e-300
"""The least p value that is told as a number."""


class Named(TypedDict):
    """What both ways to measure are told by name."""

    data: Path | None
    checkpoint: str
    settings: list[Layer]


@configured("eval", preset=False)
def evaluate(
    given: Given,
    run: Run = Path("runs/air"),
    data: Data = None,
    checkpoint: Checkpoint = "best",
    *,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Another run folder, to compare with on the same canvases."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure counting, boxes and likelihood on held-out canvases.

    Settings are laid over those of the run.
    """
    named: Named = {"data": data, "checkpoint": checkpoint, "settings": given.layers()}
    with listening() as listener:
        if against is None:
            measures, comparison = airkit.evaluate(run, **named, listener=listener), None
        else:
            measures, comparison = airkit.compare(run, against, **named, listener=listener)
    if as_json:
        tell_json(_as_json(measures, comparison))
    else:
        tell_measures(measures)
        _tell_comparison(comparison)


def _as_json(measures: Measures, comparison: Comparison | None) -> dict[str, Any]:
    values = measures.to_dict()
    return values if comparison is None else {**values, "comparison": comparison.to_dict()}


def _tell_comparison(comparison: Comparison | None) -> None:
    """The other run's accuracy, and whether the difference is more than chance."""
    if comparison is None:
        return
    other = comparison.against
    low, high = (100 * bound for bound in comparison.difference_interval)
    typer.echo()
    tell(
        [
            ("against", f"{other.run} ({other.checkpoint})"),
            *_accuracies(other),
            ("right in the run alone", f"{comparison.only_run:,} canvases"),
            ("right in the other alone", f"{comparison.only_against:,} canvases"),
            (
                "difference",
                f"{100 * comparison.difference:+.2f} points "
                f"(95 % interval {low:+.2f} to {high:+.2f})",
            ),
            ("p, McNemar's exact test", _chance(comparison.p_value)),
        ]
    )


def _chance(p: float) -> str:
    """A p value; none is 0, but a number may be too small for a float."""
    return f"{p:.2g}" if p >= _LEAST else f"less than {_LEAST:.0e}"


def tell_measures(measures: Measures) -> None:
    """Print the measures of one run."""
    tell(
        [
            ("run", f"{measures.run} ({measures.checkpoint})"),
            ("canvases", f"{measures.canvases:,} of {measures.split} in {measures.data}"),
            *_accuracies(measures),
            *_by_count(measures),
            *_values(measures),
            ("time", duration(measures.seconds)),
        ]
    )
    if measures.confusion:
        _tell_confusion(measures.confusion)


def _values(measures: Measures) -> Iterator[tuple[str, str]]:
    """The measures that are single numbers, those from outside last."""
    samples = f" nats a canvas, {measures.likelihood_samples} samples"
    yield "mean IoU", _number(measures.mean_iou, ".3f")
    yield "AP50", _number(measures.ap50, ".3f")
    yield "ELBO", _number(measures.elbo, ".1f", " nats a canvas")
    yield "log-likelihood bound", _number(measures.log_likelihood_bound, ".1f", samples)
    yield "squared error", _number(measures.mse, ".5f", " a pixel")
    for name, value in measures.outside.items():
        yield name, "-" if value is None else json.dumps(value)


def _number(value: float, form: str, unit: str = "") -> str:
    """A measure, or a dash for one that is undefined or was not taken."""
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"


def _accuracies(measures: Measures) -> Iterator[tuple[str, str]]:
    """The count accuracy of the best of several looks, where there are several, and of one."""
    if measures.looks > 1:
        share = _share(measures.count_accuracy, measures.count_accuracy_interval)
        yield f"count accuracy, {measures.looks} looks", share
    share = _share(measures.count_accuracy_one_look, measures.count_accuracy_one_look_interval)
    yield "count accuracy, one look", share


def _by_count(measures: Measures) -> Iterator[tuple[str, str]]:
    """The count accuracy of each true count, a line for each."""
    for count, share in measures.per_count_accuracy.items():
        interval = measures.per_count_accuracy_interval[count]
        yield f"by true count, {count}", _share(share, interval)


def _share(share: float, interval: Sequence[float]) -> str:
    if math.isnan(share):
        return "-"
    low, high = (100 * bound for bound in interval)
    return f"{percent(share)} (95 % interval {low:.1f} to {high:.1f})"


def _tell_confusion(confusion: Sequence[Sequence[int]]) -> None:
    typer.echo("confusion: a row for each true count, a column for each inferred one")
    width = max(len(str(number)) for row in confusion for number in row) + 2
    columns = range(max(len(row) for row in confusion))
    typer.echo(" " * 4 + "".join(f"{column:>{width}}" for column in columns))
    for count, row in enumerate(confusion):
        typer.echo(f"{count:>4}" + "".join(f"{number:>{width}}" for number in row))
