"""Two trained models on the same canvases: which counts better, and whether that is chance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config.settings import Settings, layers
from airkit.evaluation.evaluate import Evaluation, Measures
from airkit.evaluation.measures import check_counts
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT, Listener
from airkit.system.statistics import mcnemar, paired_interval


@dataclass(frozen=True)
class Comparison:
    """What ``airkit eval --against`` prints of two runs on the same canvases."""

    against: Measures
    """The measures of the other run."""
    only_run: int
    """Canvases that the run alone counts right."""
    only_against: int
    """Canvases that the other run alone counts right."""
    difference: float
    """Count accuracy of the run less that of the other."""
    difference_interval: tuple[float, float]
    """Its 95 % interval, of paired shares (Agresti and Min 2005)."""
    p_value: float
    """Chance of counts at least as uneven were the two equally good (McNemar's exact test)."""

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values, for JSON."""
        return {**asdict(self), "against": self.against.to_dict()}


def compare(
    run: str | Path,
    against: str | Path,
    data: str | Path | None = None,
    *,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> tuple[Measures, Comparison]:
    """Measure a run as ``evaluate`` does, and another on the same canvases beside it.

    Args:
        run: the run folder.
        against: the other run's folder.
        data: the data file; by default the one that ``run`` was trained on.
        checkpoint: ``best``, ``last`` or a checkpoint file of ``run``; the other is measured at
            its best, or last.
        settings: dotted keys and values, or layers, laid over those of each run.
        listener: hears notes and progress.

    Raises:
        CheckpointError, DataFileError, DeviceError: as ``evaluate`` does, of either run.
    """
    given = layers(settings)
    opened = open_run(run, data, checkpoint, given, listener)
    theirs = checkpoint if checkpoint == "last" else "best"
    split = layers({"eval.split": opened.config.eval.split})
    other = open_run(against, opened.data, theirs, [*given, *split], listener)
    for trained in (opened, other):
        check_counts(trained.config)
    ours = Evaluation(opened).all(listener)
    measures, right = ours.measures(str(run)), ours.counts.right
    evaluated = Evaluation(other).all(listener)
    against_measures, against_right = evaluated.measures(str(against)), evaluated.counts.right
    only_run, only_against = (
        int((right & ~against_right).sum()),
        int((~right & against_right).sum()),
    )
    return measures, Comparison(
        against=against_measures,
        only_run=only_run,
        only_against=only_against,
        difference=float(np.mean(right) - np.mean(against_right)),
        difference_interval=paired_interval(only_run, only_against, len(right)),
        p_value=mcnemar(only_run, only_against),
    )
