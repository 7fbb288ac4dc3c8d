"""Predictions of another model, measured as ``airkit eval`` measures a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config import settings as all_settings
from airkit.config.settings import Settings, layers
from airkit.data import reader
from airkit.data.dataset import CanvasDataset
from airkit.data.info import empty_split_error
from airkit.errors import PredictionsError
from airkit.evaluation.compare import check_counted, measured, paired
from airkit.evaluation.counting import confusion, count_shares, interval_for_new_digits
from airkit.evaluation.detection import box_scores
from airkit.evaluation.external import ExternalPredictions, Reader
from airkit.evaluation.results import Scores
from airkit.evaluation.segmentation import MaskScores, mask_iou_of
from airkit.runs.trained import open_run
from airkit.system.boxes import pairwise_iou
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import to_path
from airkit.system.text import argument


def score(
    predictions: str | Path,
    data: str | Path = "multi-mnist.h5",
    *,
    against: str | Path | None = None,
    least_score: float = 0.5,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Scores:
    """Measure what another model predicted for the canvases of a data file.

    Args:
        predictions: counts (.csv, .json, .jsonl, .npy), boxes or masks as COCO results (.json), or
            labels of pixels (.npy, a folder of label images).
        data: the data file.
        against: a run folder, to compare the counts with on the same canvases.
        least_score: score from which on a box or mask is counted; average precision has all.
        settings: dotted keys and values, or layers; ``eval.split`` says which split, and those of
            ``eval`` matter for the run.
        listener: hears notes and progress.

    Raises:
        PredictionsError: they cannot be read, do not match the canvases, or hold nothing that the
            data has a truth for.
        DataFileError: no such data file, a damaged one, an empty split, or no true counts to
            compare with.
        CheckpointError, DeviceError, ExtensionError: as ``evaluate`` does, of the run.
    """
    _check_score(least_score)
    given = layers(settings)
    split = all_settings.resolve(*given).eval.split
    info = reader.read_info(to_path(data))
    canvases = CanvasDataset(info.path, split)
    if not len(canvases):
        raise empty_split_error(info, split)
    height, width = canvases.rows["image"].shape[2:]
    where = to_path(predictions)
    found = Reader(where, split, len(canvases), (height, width), least_score).read()
    _note(found, least_score, info.path, listener)
    scores = {**_counted(canvases, found), **_boxed(canvases, found, least_score)}
    scores |= _masked(canvases, found)
    if not scores:
        raise PredictionsError(
            "The data has no truth to compare these predictions with",
            where=info.path,
            expected="true counts, boxes or masks, of the kind that was predicted",
            hint="a data file with truth, such as airkit make-data writes",
        )
    comparison = None
    if against is not None:
        same = layers({"eval.split": split})
        trained = open_run(against, info.path, "best", [*given, *same], listener)
        check_counted(trained)
        measures, right = measured(trained, against, listener)
        comparison = paired(found.counts == canvases.truth("counts").numpy(), right, measures)
    return Scores(
        canvases=len(canvases),
        **scores,
        predictions=str(where),
        data=str(info.path),
        data_digest=info.content_digest,
        split=split,
        comparison=comparison,
    )


def _check_score(least_score: float) -> None:
    if math.isnan(least_score):
        raise PredictionsError(
            "This is no score",
            where=argument("least_score"),
            expected="a number",
            got="nan",
            hint="leave it out for 0.5",
        )


def _note(found: ExternalPredictions, least: float, data: Path, listener: Listener) -> None:
    """Say where no object is counted, or predictions seem to be of another file."""
    if found.best < least:
        listener.note(
            f"no object has a score of {least:g} or more, so that none is counted: the "
            f"greatest is {found.best:g}; {argument('least_score', 'SCORE')} sets the limit"
        )
    if found.about and Path(found.about).name != data.name:
        listener.note(f"these are predictions of {found.about}, measured on {data}")


def _counted(canvases: CanvasDataset, found: ExternalPredictions) -> dict[str, Any]:
    if canvases.counts is None:
        return {}
    true, sources = canvases.counts.numpy(), canvases.sources
    digits = None if sources is None else sources.numpy()
    return {
        **count_shares(true, found.counts),
        "count_accuracy_interval_new_digits": interval_for_new_digits(found.counts == true, digits),
        "confusion": confusion(true, found.counts, int(found.counts.max())),
    }


def _boxed(canvases: CanvasDataset, found: ExternalPredictions, least: float) -> dict[str, Any]:
    """Measures of boxes: mean IoU of those that are counted, average precision of all."""
    if canvases.boxes is None or found.boxes is None:
        return {}
    true = canvases.boxes.numpy()
    most = max(1, *(len(rows) for rows in found.boxes))
    boxes = np.full((len(true), most, 5), -1.0)
    for rows, into in zip(found.boxes, boxes, strict=True):
        into[: len(rows)] = rows
    confidence = boxes[..., 4]
    iou = pairwise_iou(true, boxes[..., :4])
    counted = np.where((confidence >= least)[:, None], iou, -1.0)
    return box_scores(iou, confidence, int((true[..., 2] > 0).sum()), counted)


def _masked(canvases: CanvasDataset, found: ExternalPredictions) -> dict[str, Any]:
    if "mask" not in canvases.rows or found.labels is None:
        return {}
    scores = MaskScores()
    for place in range(len(canvases)):
        true = canvases.rows["mask"][place].numpy()
        flat, labels = (
            each.reshape(1, -1).astype(np.int64) for each in (true, found.labels[place])
        )
        scores.add_groups(flat, labels, labels)
        if found.masks is not None:
            sure, masks = zip(*found.masks[place], strict=True) if found.masks[place] else ((), ())
            iou, objects = mask_iou_of(true, masks)
            scores.add_objects(iou[None], np.array([sure]), objects)
    return scores.result()
