"""Two trained models on the same canvases: which one counts better, and with what certainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from airkit.config.settings import Settings, layers
from airkit.evaluation.evaluate import Evaluation
from airkit.evaluation.measures import check_counts
from airkit.evaluation.results import Comparison, Measures
from airkit.runs.trained import TrainedRun, open_run
from airkit.system.callbacks import MUTED, SILENT, Listener
from airkit.system.statistics import mcnemar, paired_interval


def compare(
    run: str | Path,
    against: str | Path,
    data: str | Path | None = None,
    *,
    checkpoint: str = "best",
    settings: Settings = (),
    listener: Listener = SILENT,
) -> tuple[Measures, Comparison]:
    """Measure a run as ``evaluate`` does, and compare it with another on the same canvases.

    Args:
        run: the run folder.
        against: the other run's folder.
        data: the data file; by default the one that ``run`` was trained on.
        checkpoint: ``best``, ``last`` or a checkpoint file of ``run``; the other is measured at
            its best, or last.
        settings: dotted keys and values, or layers, which override those of each run.
        listener: hears notes and progress.

    Returns:
        The measures of ``run``, and the comparison.

    Raises:
        CheckpointError, DataFileError, DeviceError, ExtensionError: as ``evaluate`` does, of
            either run.
        AirkitError: ``eval.measures`` of either run leaves out the counts.
    """
    given = layers(settings)
    one = open_run(run, data, checkpoint, given, listener)
    best = checkpoint if checkpoint == "last" else "best"
    split = layers({"eval.split": one.config.eval.split})
    hears = MUTED if listener is SILENT else listener  # the first run has warned already
    other = open_run(against, one.data, best, [*given, *split], hears)
    for trained in (one, other):
        check_counted(trained)
    measures, right = measured(one, run, listener)
    against_measures, against_right = measured(other, against, listener)
    return measures, paired(right, against_right, against_measures)


def check_counted(trained: TrainedRun) -> None:
    """Refuse a run that cannot be compared.

    Raises:
        AirkitError: its ``eval.measures`` leave out the counts.
        DataFileError: true counts are not known.
    """
    check_counts(trained.config)
    trained.canvases.truth("counts")


def paired(right: np.ndarray, against_right: np.ndarray, against: Measures) -> Comparison:
    """Return the comparison of what is counted right, bool [N] each.

    Args:
        right: which canvases are counted right.
        against_right: the same of the other.
        against: the measures of the other.
    """
    only_run, only_against = (
        int((right & ~against_right).sum()),
        int((~right & against_right).sum()),
    )
    return Comparison(
        against=against,
        only_run=only_run,
        only_against=only_against,
        difference=float(np.mean(right) - np.mean(against_right)),
        difference_interval=paired_interval(only_run, only_against, len(right)),
        p_value=mcnemar(only_run, only_against),
    )


def measured(
    trained: TrainedRun, run: str | Path, listener: Listener
) -> tuple[Measures, np.ndarray]:
    """Return the measures of a run, and whether its counts are right, bool [N]."""
    evaluation = Evaluation(trained).all(listener)
    true, found, _ = evaluation.counts.table
    return evaluation.measures(run), found == true
