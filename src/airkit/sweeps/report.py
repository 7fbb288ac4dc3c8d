"""What a sweep shows: how many seeds reach a count accuracy, none of them left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from airkit.errors import CheckpointError
from airkit.sweeps.trial import RUN, Trial, are_measures, is_amount, is_share
from airkit.system.statistics import wilson

REPORT = "report.json"
_DIVERGED = re.compile(r"The .+ is no longer finite")


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
    def diverged(self) -> bool:
        """Whether its training went astray, as it will do again; a faulty memory may not."""
        return _DIVERGED.fullmatch(self.failure or "") is not None

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
            content = _checked(json.loads(path.read_text(encoding="utf-8")), _KINDS)
            rows = tuple(Row(**_checked(row, _ROW_KINDS)) for row in content.pop("rows"))
            _require(
                all(map(_agrees, rows)), "a row of a seed that failed and finished, or neither"
            )
            return cls(folder=folder, data=Path(content.pop("data")), rows=rows, **content)
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                "The sweep's report cannot be read",
                where=path,
                expected="what airkit sweep writes there when it ends or is stopped",
                got=error,
                hint="the same airkit sweep again, which goes on, and writes it",
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


def _checked(content: object, kinds: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """The values by the names of ``kinds``; raises ValueError where one is lacking or unfit."""
    _require(isinstance(content, dict), "something else than names and values")
    assert isinstance(content, dict)
    for name, fits in kinds.items():
        _require(name in content, f"no {name}")
        _require(fits(content[name]), f"{name} = {json.dumps(content[name])[:100]}")
    return {name: content[name] for name in kinds}


def _agrees(row: Row) -> bool:
    """Whether a row is of a seed that failed, or else has what one that finished has."""
    failed = row.failure is not None
    return failed == (row.measures is None) == (row.train_seconds is None)


def _is_whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise ValueError(otherwise)


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "threshold": is_share,
    "seeds": lambda value: _is_whole(value) and value > 0,
    "seconds": is_amount,
    "data": _is_text,
    "rows": lambda value: isinstance(value, list),
}
_ROW_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "seed": _is_whole,
    "run": lambda value: _is_text(value) and RUN.fullmatch(Path(value).name) is not None,
    "failure": lambda value: value is None or _is_text(value),
    "train_seconds": lambda value: value is None or is_amount(value),
    "measures": lambda value: value is None or are_measures(value),
}
