"""``airkit eval``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import airkit
from airkit.cli.options import Checkpoint, Data, Given, Run, configured
from airkit.cli.output import duration, percent, tell, tell_json
from airkit.cli.progress import listening

if TYPE_CHECKING:
    from airkit.evaluation import Measures


@configured("eval", preset=False)
def evaluate(
    given: Given,
    run: Run = Path("runs/air"),
    data: Data = None,
    checkpoint: Checkpoint = "best",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure counting, boxes and likelihood on held-out canvases.

    Settings are laid over those of the run.
    """
    with listening() as listener:
        measures = airkit.evaluate(
            run, data=data, checkpoint=checkpoint, settings=given.layers(), listener=listener
        )
    if as_json:
        tell_json(measures.to_dict())
    else:
        _tell(measures)


def _tell(measures: Measures) -> None:
    by_count = (
        f"{count}: {percent(share)}" for count, share in measures.per_count_accuracy.items()
    )
    tell(
        [
            ("run", f"{measures.run} ({measures.checkpoint})"),
            ("canvases", f"{measures.canvases:,} of {measures.split} in {measures.data}"),
            *_accuracies(measures),
            ("by true count", "  ".join(by_count)),
            ("mean IoU", f"{measures.mean_iou:.3f}"),
            ("AP50", f"{measures.ap50:.3f}"),
            ("ELBO", f"{measures.elbo:.1f} nats a canvas"),
            (
                "log-likelihood bound",
                f"{measures.log_likelihood_bound:.1f} nats a canvas, "
                f"{measures.likelihood_samples} samples",
            ),
            ("squared error", f"{measures.mse:.5f} a pixel"),
            ("time", duration(measures.seconds)),
        ]
    )
    _tell_confusion(measures.confusion)


def _accuracies(measures: Measures) -> Iterator[tuple[str, str]]:
    """The count accuracy of the best of several looks, where there are several, and of one."""
    if measures.looks > 1:
        share = _share(measures.count_accuracy, measures.count_accuracy_interval)
        yield f"count accuracy, {measures.looks} looks", share
    share = _share(measures.count_accuracy_one_look, measures.count_accuracy_one_look_interval)
    yield "count accuracy, one look", share


def _share(share: float, interval: Sequence[float]) -> str:
    low, high = (100 * bound for bound in interval)
    return f"{percent(share)} (95 % interval {low:.1f} to {high:.1f})"


def _tell_confusion(confusion: Sequence[Sequence[int]]) -> None:
    typer.echo("confusion: a row for each true count, a column for each inferred one")
    width = max(len(str(number)) for row in confusion for number in row) + 2
    columns = range(max(len(row) for row in confusion))
    typer.echo(" " * 4 + "".join(f"{column:>{width}}" for column in columns))
    for count, row in enumerate(confusion):
        typer.echo(f"{count:>4}" + "".join(f"{number:>{width}}" for number in row))
