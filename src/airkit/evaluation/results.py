"""The results of an evaluation, and results as JSON has them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from airkit.evaluation.calibration import Calibration
from airkit.evaluation.tables import measures_table
from airkit.runs.trust import Trust
from airkit.system.tables import Table

NAN = math.nan


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What ``airkit eval`` prints, under the same names.

    What was not measured, or is undefined, is NaN or empty here and null in JSON.
    """

    canvases: int
    """Canvases measured."""
    count_accuracy: float = NAN
    """Share of canvases counted right with ``looks`` looks together."""
    count_accuracy_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson), for other canvases of the same digits."""
    count_accuracy_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    count_accuracy_one_look: float = NAN
    """Share of canvases counted right from one look per slot, the best of ``eval.candidates``."""
    count_accuracy_one_look_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson)."""
    count_accuracy_one_look_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    per_count_accuracy: dict[str, float] = field(default_factory=dict)
    """``count_accuracy`` among the canvases of each true count."""
    per_count_accuracy_interval: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Their 95 % intervals (Wilson)."""
    per_count_accuracy_one_look: dict[str, float] = field(default_factory=dict)
    """``count_accuracy_one_look`` among the canvases of each true count."""
    per_count_accuracy_one_look_interval: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )
    """Their 95 % intervals (Wilson)."""
    confusion: list[list[int]] = field(default_factory=list)
    """Canvases by true count (rows) and inferred count (columns), both from 0."""
    calibration: Calibration | None = None
    """Whether ``count_probability`` says how often the count is right."""
    calibration_one_look: Calibration | None = None
    """The same of q(n) at one look."""
    mean_iou: float = NAN
    """Mean IoU of true boxes of ink with the boxes found; a missed box counts as 0."""
    ap: float = NAN
    """COCO's average precision of the boxes found, mean over IoU 0.5, 0.55 ... 0.95."""
    ap50: float = NAN
    """The same at IoU 0.5 alone."""
    ap75: float = NAN
    """The same at IoU 0.75 alone."""
    ap50_voc: float = NAN
    """The whole area under the precision-recall curve at IoU 0.5, as PASCAL VOC has it."""
    elbo: float = NAN
    """Mean one-draw ELBO, in nats per canvas."""
    log_likelihood_bound: float = NAN
    """Mean IWAE bound with ``likelihood_samples`` samples, in nats per canvas."""
    mse: float = NAN
    """Mean squared error of the reconstructions, per pixel, ink being 0 to 1."""
    ari: float = NAN
    """Mean adjusted Rand index of the masks, over all pixels of a canvas."""
    foreground_ari: float = NAN
    """The same over the pixels of true objects, of the canvases that have some; each pixel is given
    to the object that paints it most."""
    covering: float = NAN
    """Mean segmentation covering of the true objects of a canvas, each weighted by its pixels, of
    the canvases that have some."""
    mean_covering: float = NAN
    """The same with every object of a canvas weighted alike."""
    mask_ap: float = NAN
    """COCO's average precision of the masks found, mean over IoU 0.5, 0.55 ... 0.95."""
    mask_ap50: float = NAN
    """The same at IoU 0.5 alone."""
    mask_ap75: float = NAN
    """The same at IoU 0.75 alone."""
    trust: Trust | None = None
    """Whether the results are to be trusted, judged without any truth, and by true counts where
    they are known."""
    looks: int
    """How often a canvas is looked at, at most; all looks together give its count."""
    likelihood_samples: int
    """Samples of the IWAE bound."""
    seconds: float
    """Time taken."""
    run: str
    """The run folder."""
    data: str
    """The data file."""
    data_digest: str
    """Its content digest."""
    split: str
    """Its split."""
    checkpoint: str
    """The checkpoint file."""
    outside: dict[str, Any] = field(default_factory=dict)
    """Results of your own measures, by name; in JSON each has a key of its own."""

    def table(self, against: Measures | None = None) -> Table:
        """Return a table of the measures with their intervals, beside those of another run.

        It has ``csv``, ``markdown``, ``latex`` (with booktabs) and ``write``.
        """
        return measures_table(self.to_dict(), against.to_dict() if against else None)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values, for JSON."""
        names = [each.name for each in fields(self) if each.name != "outside"]
        return {**plain({name: getattr(self, name) for name in names}), **self.outside}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as JSON has it; what is empty or NaN is None."""
    empty: tuple[Any, ...] = ([], {}, [None, None])
    found = {name: as_json(value) for name, value in values.items()}
    return {name: None if value in empty else value for name, value in found.items()}


def as_json(value: Any) -> Any:
    """Return a value as JSON has it, numbers that are not finite as None."""
    return json.loads(json.dumps(value, default=_as_list), parse_constant=lambda _: None)


def _as_list(value: Any) -> Any:
    """Return an array, a tensor or a number of NumPy's as Python's, and a result as a mapping."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a result of type {type(value).__name__}, which JSON does not have")
