"""``airkit score``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import airkit
from airkit.cli.evaluate import share_of, tell_comparison, tell_confusion
from airkit.cli.options import AsJson, Layers, TableFile, option
from airkit.cli.output import percent, show, tell_end, tell_rows
from airkit.cli.progress import listening
from airkit.system.tables import named

if TYPE_CHECKING:
    from airkit.evaluation.results import Scores

DEFAULT_DATA = Path("multi-mnist.h5")
_MEASURES = (
    "mean_iou", "ap", "ap50", "ap75", "ari", "foreground_ari", "covering", "mean_covering",
    "mask_ap", "mask_ap50", "mask_ap75",
)  # fmt: skip


def score(  # noqa: PLR0913 - options
    settings: Layers,
    predictions: Annotated[
        Path, option("FILE|DIR", "Counts, COCO results or label images of another model.")
    ],
    data: Annotated[Path, option("FILE", "The data file.")] = DEFAULT_DATA,
    *,
    against: Annotated[
        Path | None, option("RUN", "A run folder to compare the counts with.")
    ] = None,
    least_score: Annotated[
        float, option("SCORE", "Least score of a box or mask that is counted.")
    ] = 0.5,
    table: TableFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure another model's counts, boxes or masks as eval measures a run.

    Settings are those of the run that --against names, and --split.
    """
    with listening() as listener:
        scores = airkit.score(
            predictions,
            data,
            against=against,
            least_score=least_score,
            settings=settings,
            listener=listener,
        )
    if table is not None:
        scores.table().write(table)
    show(scores, as_json, _tell)


def _tell(scores: Scores) -> None:
    tell_rows(_rows(scores))
    if scores.confusion:
        tell_confusion(scores.confusion)
    tell_comparison(scores.comparison, "the predictions", "the run")
    if not math.isnan(scores.count_accuracy):
        share = percent(scores.count_accuracy)
        tell_end(f"{share} of {scores.canvases:,} canvases are counted right", [])


def _rows(scores: Scores) -> Iterator[tuple[str, str]]:
    yield "predictions", scores.predictions
    yield "canvases", f"{scores.canvases:,} of {scores.split} in {scores.data}"
    new = scores.count_accuracy_interval_new_digits
    yield "count accuracy", share_of(scores.count_accuracy, scores.count_accuracy_interval, new)
    for count, share in scores.per_count_accuracy.items():
        interval = scores.per_count_accuracy_interval[count]
        yield f"by true count, {count}", share_of(share, interval)
    for name in _MEASURES:
        if not math.isnan(value := getattr(scores, name)):
            yield named(name), f"{value:.3f}"
