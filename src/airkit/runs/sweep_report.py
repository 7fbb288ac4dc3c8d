"""The report of a sweep: how many seeds reach a count accuracy, failed ones included."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from airkit.errors import CheckpointError
from airkit.runs.records import Amount, Record, Share, Text, reason
from airkit.runs.sweep_folder import RUN, MeasuresRecord, Trial
from airkit.system.paths import from_record, to_record
from airkit.system.statistics import wilson
from airkit.system.tables import Cell, Number, Table, number, percent

REPORT = "report.json"
"""The report's file in the sweep's folder."""
_DIVERGED = re.compile(r"The .+ is no longer finite")


def _run_folder(path: str) -> str:
    if not RUN.fullmatch(Path(path).name):
        raise ValueError("not the run folder of a seed")
    return path


class _RowRecord(Record):
    """One row of ``report.json``."""

    seed: Annotated[int, Field(ge=0)]
    run: Annotated[Text, AfterValidator(_run_folder)]
    failure: Text | None
    train_seconds: Amount | None
    measures: MeasuresRecord | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        failed = self.failure is not None
        if not failed == (self.measures is None) == (self.train_seconds is None):
            raise ValueError("a seed that both failed and finished, or neither")
        return self


class _ReportRecord(Record):
    """The content of ``report.json``; the rest of it follows from this."""

    data: Text
    threshold: Share
    seeds: Annotated[int, Field(gt=0)]
    seconds: Amount
    rows: list[_RowRecord]


@dataclass(frozen=True)
class Row:
    """One seed that was attempted."""

    seed: int
    """Its ``train.seed``."""
    run: str
    """Its run folder."""
    failure: str | None
    """Why it did not finish; None where it did."""
    train_seconds: float | None
    """Time spent training; None where it did not finish."""
    measures: Mapping[str, Any] | None
    """The measures of ``airkit eval``, under the same names; None where it did not finish."""

    @classmethod
    def of(cls, trial: Trial, failure: str | None) -> Self:
        """Return the row of a trial whose attempt ended."""
        result = None if failure is not None else trial.result()
        if result is None:
            return cls(trial.seed, str(trial.run), failure or "left no measures", None, None)
        return cls(
            trial.seed, str(trial.run), None, result.train_seconds, result.measures.model_dump()
        )

    @property
    def diverged(self) -> bool:
        """Whether its training diverged, and would do so again."""
        return _DIVERGED.fullmatch(self.failure or "") is not None

    @property
    def count_accuracy(self) -> float:
        """Share of canvases counted right with ``eval.looks`` looks; 0 of a seed that failed."""
        return float(self.measures["count_accuracy"]) if self.measures else 0.0


def _cells(row: Row) -> tuple[Cell, ...]:
    """Return a seed's row of a table."""
    known = row.measures or {}
    accuracy, one = (
        known.get(name, math.nan) for name in ("count_accuracy", "count_accuracy_one_look")
    )
    low, high = known.get("count_accuracy_interval", (math.nan, math.nan))
    elbo = known.get("elbo")
    return (
        Number(row.seed, str(row.seed)),
        *map(percent, (accuracy, low, high, one)),
        number(math.nan if elbo is None else elbo),
        number(math.nan if row.train_seconds is None else row.train_seconds),
        row.failure or "",
    )


@dataclass(frozen=True)
class SweepReport:
    """What ``airkit sweep`` prints, under the same names."""

    folder: Path
    """The sweep's folder."""
    data: Path
    """The data file."""
    threshold: float
    """Least count accuracy of a success."""
    seeds: int
    """Seeds asked for."""
    rows: tuple[Row, ...]
    """Those that were attempted, in order; all of them unless the sweep was stopped."""
    seconds: float
    """Time this call took."""

    def table(self) -> Table:
        """Return a table with a row for each seed; what a failed one lacks is blank."""
        columns = ("seed", "count accuracy", "low", "high", "one look", "ELBO", "training, s")
        return Table((*columns, "failure"), tuple(map(_cells, self.rows)))

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Return the report that ``airkit sweep`` left in its folder.

        Raises:
            CheckpointError: there is none yet, or it is damaged.
        """
        folder = Path(folder)
        path = folder / REPORT
        try:
            found = _ReportRecord.read(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                "The sweep's report cannot be read",
                where=path,
                expected="what airkit sweep writes there when it ends or is stopped",
                got=reason(error),
                hint="the same airkit sweep again, which resumes and writes it",
            ) from error
        rows = tuple(Row(**row.model_dump()) for row in found.rows)
        data = from_record(found.data)
        return cls(folder, data, found.threshold, found.seeds, rows, found.seconds)

    @property
    def stopped(self) -> bool:
        """Whether a signal ended it before all seeds were attempted."""
        return len(self.rows) < self.seeds

    @property
    def failed(self) -> tuple[Row, ...]:
        """The seeds that did not finish."""
        return tuple(row for row in self.rows if row.failure is not None)

    @property
    def successes(self) -> int:
        """Seeds that finished and reach the threshold."""
        return sum(
            row.failure is None and row.count_accuracy >= self.threshold for row in self.rows
        )

    @property
    def success_interval(self) -> tuple[float, float]:
        """The 95 % interval (Wilson) of the share of successes among all seeds attempted."""
        return wilson(self.successes, len(self.rows))

    @property
    def median(self) -> float:
        """Median count accuracy; a seed that failed counts as 0."""
        return median(row.count_accuracy for row in self.rows)

    @property
    def worst(self) -> Row:
        """The seed of the least count accuracy, or the first that failed."""
        return min(self.rows, key=lambda row: row.count_accuracy)

    @property
    def median_train_seconds(self) -> float | None:
        """Median time that the seeds that finished spent training; None where none did."""
        spent = [row.train_seconds for row in self.rows if row.train_seconds is not None]
        return median(spent) if spent else None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON; what has no value yet is None."""
        some = bool(self.rows)
        return {
            "folder": str(self.folder),
            "data": to_record(self.data),
            "threshold": self.threshold,
            "seeds": self.seeds,
            "attempted": len(self.rows),
            "failed": len(self.failed),
            "successes": self.successes,
            "success_rate": self.successes / len(self.rows) if some else None,
            "success_interval": self.success_interval if some else None,
            "median": self.median if some else None,
            "worst": self.worst.count_accuracy if some else None,
            "worst_seed": self.worst.seed if some else None,
            "median_train_seconds": self.median_train_seconds,
            "seconds": self.seconds,
            "rows": [asdict(row) for row in self.rows],
        }
