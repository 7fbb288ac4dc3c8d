"""What a sweep shows: how many seeds reach a count accuracy, none of them left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from airkit.errors import CheckpointError
from airkit.statistics import wilson
from airkit.sweeping.trial import Trial

REPORT = "report.json"


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
    """What ``airkit eval`` measures, under the same names; None where it did not finish."""

    @classmethod
    def of(cls, trial: Trial, failure: str | None) -> Self:
        """The row of a trial whose attempt ended."""
        result = None if failure is not None else trial.result()
        if result is None:
            return cls(trial.seed, str(trial.run), failure or "left no measures", None, None)
        return cls(trial.seed, str(trial.run), None, result["train_seconds"], result["measures"])

    @property
    def count_accuracy(self) -> float:
        """Share of canvases counted right with ``eval.looks`` looks; 0 of a seed that failed."""
        return float(self.measures["count_accuracy"]) if self.measures else 0.0


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

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The report that ``airkit sweep`` left in its folder.

        Raises:
            CheckpointError: there is none yet, or it is damaged.
        """
        path = folder / REPORT
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(Row(**row) for row in content["rows"])
            figures = {key: content[key] for key in ("threshold", "seeds", "seconds")}
            return cls(folder=folder, data=Path(content["data"]), rows=rows, **figures)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                "The sweep's report cannot be read",
                where=path,
                expected="what airkit sweep writes there when it ends or is stopped",
                got=error,
                hint=f"airkit sweep --out {folder} goes on, and writes it",
            ) from error

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
            "data": str(self.data),
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
