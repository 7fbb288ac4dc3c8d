"""Predictions of another model, measured as ``airkit eval`` measures a run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config import settings as all_settings
from airkit.config.settings import Settings, layers
from airkit.data import reader
from airkit.data.dataset import CanvasDataset
from airkit.data.info import empty_split_error
from airkit.errors import PredictionsError
from airkit.evaluation.compare import Comparison, measured, paired
from airkit.evaluation.counting import confusion, count_shares, interval_for_new_digits
from airkit.evaluation.detection import box_scores, pairwise_iou
from airkit.evaluation.external import ExternalPredictions, Reader
from airkit.evaluation.results import NAN, plain
from airkit.evaluation.segmentation import MaskScores, mask_iou_of
from airkit.evaluation.tables import measures_table
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import to_path
from airkit.system.tables import Table

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What ``airkit score`` prints, under the same names, which are those of ``airkit eval``.

    What the predictions or the data do not have is NaN or empty here and null in JSON.
    """

    canvases: int
    """Canvases measured."""
    count_accuracy: float = NAN
    """Share of canvases counted right."""
    count_accuracy_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson)."""
    count_accuracy_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    per_count_accuracy: dict[str, float] = field(default_factory=dict)
    """``count_accuracy`` among the canvases of each true count."""
    per_count_accuracy_interval: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Their 95 % intervals (Wilson)."""
    confusion: list[list[int]] = field(default_factory=list)
    """Canvases by true count (rows) and predicted count (columns), both from 0."""
    mean_iou: float = NAN
    """Mean IoU of true boxes with the boxes counted; a missed box counts as 0."""
    ap: float = NAN
    """COCO's average precision of all boxes, mean over IoU 0.5, 0.55 ... 0.95."""
    ap50: float = NAN
    """The same at IoU 0.5 alone."""
    ap75: float = NAN
    """The same at IoU 0.75 alone."""
    ap50_voc: float = NAN
    """The whole area under the precision-recall curve at IoU 0.5, as PASCAL VOC has it."""
    ari: float = NAN
    """Mean adjusted Rand index of the masks, over all pixels of a canvas."""
    foreground_ari: float = NAN
    """The same over the pixels of true objects, of the canvases that have some."""
    covering: float = NAN
    """Mean segmentation covering of the true objects of a canvas, each weighted by its pixels."""
    mean_covering: float = NAN
    """The same with every object of a canvas weighted alike."""
    mask_ap: float = NAN
    """COCO's average precision of all masks, mean over IoU 0.5, 0.55 ... 0.95; only of masks with
    scores, as with the following."""
    mask_ap50: float = NAN
    """The same at IoU 0.5 alone."""
    mask_ap75: float = NAN
    """The same at IoU 0.75 alone."""
    predictions: str
    """The file or folder."""
    data: str
    """The data file."""
    data_digest: str
    """Its content digest."""
    split: str
    """Its split."""
    comparison: Comparison | None = None
    """The predictions beside a run, where one was named."""

    def table(self) -> Table:
        """Return a table of the scores with their intervals, beside those of the run if any."""
        values = self.to_dict()
        compared = values.pop("comparison")
        return measures_table(values, compared["against"] if compared else None)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values, for JSON."""
        return plain({each.name: getattr(self, each.name) for each in fields(self)})


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
    given = layers(settings)
    split = all_settings.resolve(*given).eval.split
    info = reader.read_info(to_path(data))
    canvases = CanvasDataset(info.path, split)
    if not len(canvases):
        raise empty_split_error(info.path, split)
    height, width = canvases.rows["image"].shape[2:]
    where = to_path(predictions)
    found = Reader(where, split, len(canvases), (height, width), least_score).read()
    if found.about and Path(found.about).name != info.path.name:
        listener.note(f"these are predictions of {found.about}, measured on {info.path}")
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
        comparison = _compared(canvases, found, (against, info.path, split), given, listener)
    return Scores(
        canvases=len(canvases),
        **scores,
        predictions=str(where),
        data=str(info.path),
        data_digest=info.content_digest,
        split=split,
        comparison=comparison,
    )


def _counted(canvases: CanvasDataset, found: ExternalPredictions) -> dict[str, Any]:
    if canvases.counts is None or found.counts is None:
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


def _compared(
    canvases: CanvasDataset,
    found: ExternalPredictions,
    run: tuple[str | Path, Path, str],
    given: Settings,
    listener: Listener,
) -> Comparison:
    """The counts beside those of a run, on the same canvases: its folder, their file and split."""
    folder, data, split = run
    true = canvases.truth("counts").numpy()
    assert found.counts is not None, "all kinds of predictions count"
    trained = open_run(
        folder, data, "best", [*layers(given), *layers({"eval.split": split})], listener
    )
    against, right = measured(trained, folder, listener)
    return paired(found.counts == true, right, against)
