"""The results of an evaluation, as values, as JSON and as tables with their intervals."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from airkit.evaluation.calibration import Calibration
from airkit.runs.trust import Trust
from airkit.system.tables import Labelled, Number, Table, labelled, named, number, percent

NAN = math.nan
_NO_MEASURES = ("comparison", "confusion", "likelihood_samples", "looks", "seconds", "trust")
_NOTHING = Number(NAN, "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:  # noqa: PLW1641 - it holds dictionaries
    """What is measured by the truth, of a run or of predictions from elsewhere.

    Two results are equal if all is the same but the time that they took; NaN equals itself.
    """

    canvases: int
    """Canvases measured."""
    count_accuracy: float = NAN
    """Share of canvases counted right; by a run, with ``looks`` looks together."""
    count_accuracy_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson), for other canvases of the same digits."""
    count_accuracy_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    per_count_accuracy: dict[str, float] = field(default_factory=dict)
    """``count_accuracy`` among the canvases of each true count."""
    per_count_accuracy_interval: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Their 95 % intervals (Wilson)."""
    confusion: list[list[int]] = field(default_factory=list)
    """Canvases by true count (rows) and count found (columns), both from 0."""
    mean_iou: float = NAN
    """Mean IoU of true boxes of ink with the boxes counted; a missed box counts as 0."""
    ap: float = NAN
    """COCO's average precision of all boxes found, mean over IoU 0.5, 0.55 ... 0.95."""
    ap50: float = NAN
    """The same at IoU 0.5 alone."""
    ap75: float = NAN
    """The same at IoU 0.75 alone."""
    ap50_voc: float = NAN
    """The whole area under the precision-recall curve at IoU 0.5, as PASCAL VOC has it."""
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
    """COCO's average precision of all masks found, mean over IoU 0.5, 0.55 ... 0.95; only of masks
    with scores, as with the following."""
    mask_ap50: float = NAN
    """The same at IoU 0.5 alone."""
    mask_ap75: float = NAN
    """The same at IoU 0.75 alone."""
    data: str
    """The data file."""
    data_digest: str
    """Its content digest."""
    split: str
    """Its split."""

    def table(self) -> Table:
        """Return a table of the measures with their intervals.

        It has ``csv``, ``markdown``, ``latex`` (with booktabs) and ``write``.
        """
        return measures_table(self.to_dict())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values, for JSON."""
        return plain({each.name: getattr(self, each.name) for each in fields(self)})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._timeless() == other._timeless()

    def _timeless(self) -> dict[str, Any]:
        return {**self.to_dict(), "seconds": None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures(Measured):
    """What ``airkit eval`` prints, under the same names.

    What was not measured, or is undefined, is NaN or empty here and null in JSON.
    """

    count_accuracy_one_look: float = NAN
    """Share of canvases counted right from one look per slot, the best of ``eval.candidates``."""
    count_accuracy_one_look_interval: tuple[float, float] = (NAN, NAN)
    """Its 95 % interval (Wilson)."""
    count_accuracy_one_look_interval_new_digits: tuple[float, float] = (NAN, NAN)
    """Its wider 95 % interval, for canvases of other digits."""
    per_count_accuracy_one_look: dict[str, float] = field(default_factory=dict)
    """``count_accuracy_one_look`` among the canvases of each true count."""
    per_count_accuracy_one_look_interval: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )
    """Their 95 % intervals (Wilson)."""
    calibration: Calibration | None = None
    """Whether ``count_probability`` says how often the count is right."""
    calibration_one_look: Calibration | None = None
    """The same of one look."""
    elbo: float = NAN
    """Mean one-draw ELBO, in nats per canvas."""
    log_likelihood_bound: float = NAN
    """Mean IWAE bound with ``likelihood_samples`` samples, in nats per canvas."""
    mse: float = NAN
    """Mean squared error of the reconstructions over pixels and channels, levels being 0 to 1."""
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
    checkpoint: str
    """The checkpoint file."""
    outside: dict[str, Any] = field(default_factory=dict)
    """Results of your own measures, by name; in JSON each has a key of its own."""

    def table(self, against: Measures | None = None) -> Table:
        """Return a table of the measures with their intervals, beside those of another run."""
        return measures_table(self.to_dict(), against.to_dict() if against else None)

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain values, for JSON."""
        values = super().to_dict()
        del values["outside"]
        return {**values, **self.outside}

    def verdict(self) -> list[tuple[str, str]]:
        """Return the verdict in words, where there is doubt, or no true counts to go by."""
        trust = self.trust
        shown = trust is not None and (trust.trouble or math.isnan(self.count_accuracy))
        return trust.rows() if trust is not None and shown else []

    def _repr_html_(self) -> str:
        verdict = self.verdict()
        return super()._repr_html_() + (labelled(verdict) if verdict else "")


LEAST_P = 1e-300
"""Least p value that is told as a number."""


@dataclass(frozen=True)
class Comparison(Labelled):
    """Two runs compared on the same canvases, as ``airkit eval --against`` prints it."""

    against: Measures
    """The measures of the other run."""
    only_run: int
    """Canvases that the run alone counts right."""
    only_against: int
    """Canvases that the other run alone counts right."""
    difference: float
    """Count accuracy of the run less that of the other."""
    difference_interval: tuple[float, float]
    """Its 95 % interval, for paired proportions (Agresti and Min 2005)."""
    p_value: float
    """p value of McNemar's exact test (1947) that both count equally well."""

    def rows(self, ours: str = "the run", theirs: str = "the other") -> list[tuple[str, str]]:
        """Return the comparison in words, as labels and values.

        Args:
            ours: what the first of the two is called.
            theirs: what the other is called.
        """
        other, p = self.against, self.p_value
        low, high = (100 * bound for bound in self.difference_interval)
        interval = f"(95 % interval {low:+.2f} to {high:+.2f})"
        of_all = f"of {other.canvases:,} canvases"
        return [
            ("against", f"{other.run} ({other.checkpoint})"),
            (f"right in {ours} alone", f"{self.only_run:,} {of_all}"),
            (f"right in {theirs} alone", f"{self.only_against:,} {of_all}"),
            ("difference", f"{100 * self.difference:+.2f} points {interval}"),
            ("p, McNemar's exact test", f"{p:.2g}" if p >= LEAST_P else f"below {LEAST_P:.0e}"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values, for JSON."""
        return {**asdict(self), "against": self.against.to_dict()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores(Measured):
    """What ``airkit score`` prints, under the same names, which are those of ``airkit eval``.

    What was not measured, or is undefined, is NaN or empty here and null in JSON.
    """

    predictions: str
    """The file or folder."""
    comparison: Comparison | None = None
    """The predictions beside a run, where one was named."""

    def table(self) -> Table:
        """Return a table of the scores with their intervals, beside those of the run if any."""
        against = self.comparison.against.to_dict() if self.comparison else None
        return measures_table(self.to_dict(), against)


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


def measures_table(measures: Mapping[str, Any], against: Mapping[str, Any] | None = None) -> Table:
    """Return a table of measures, a row each, with their 95 % intervals.

    Args:
        measures: plain values by name, as ``to_dict`` has them; ``NAME_interval`` is the interval
            of ``NAME``, and shares by true count are rows of their own. What was not measured is
            left out.
        against: those of another model on the same canvases, in columns of their own.
    """
    rows, others = _measured(measures), _measured(against or {})
    columns: tuple[str, ...] = ("measure", "value", "low", "high")
    if against is None:
        return Table(columns, tuple((named(name), *cells) for name, cells in rows.items()))
    return Table(
        (*columns, "against", "against low", "against high"),
        tuple(
            (named(name), *cells, *others.get(name, [_NOTHING] * 3)) for name, cells in rows.items()
        ),
    )


def _measured(values: Mapping[str, Any], prefix: str = "") -> dict[str, list[Number]]:
    """Return each measure and the ends of its interval, those in mappings with both names."""
    found: dict[str, list[Number]] = {}
    for name, value in values.items():
        if name in _NO_MEASURES or name.endswith("_interval"):
            continue
        interval = values.get(f"{name}_interval")
        if isinstance(value, Mapping):
            inner = interval if isinstance(interval, Mapping) else {}
            known = {f"{each}_interval": ends for each, ends in inner.items()}
            found |= _measured({**value, **known}, f"{prefix}{name}, ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            whole = prefix + name
            form = percent if "accuracy" in re.split(r"\W|_", whole) else number
            ends = [value, None, None]
            if isinstance(interval, list | tuple) and len(interval) == 2:
                ends[1:] = interval
            cells = [_NOTHING if each is None else form(each) for each in ends]
            found[whole] = cells
    return found
