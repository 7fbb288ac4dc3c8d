"""A sweep's folder: its plan, the runs of its seeds, their measures, and the report on them.

sweep.json              the plan: data and settings of all seeds
report.json             what the last ``airkit sweep`` found

seed-000/               a run folder, as of ``airkit train``
seed-000/measures.json  what ``airkit eval`` measured, and the settings that were measured with
seed-000/output.log     what the processes of that seed printed, one attempt after another
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ConfigError
from airkit.runs.origin import TrainingData
from airkit.runs.records import Amount, Number, Record, Share, Text, checked, reason
from airkit.system import files
from airkit.system.statistics import wilson

PLAN = "sweep.json"
"""The file that marks a folder as one of ``airkit sweep``."""
REPORT = "report.json"
RUN = re.compile(r"seed-\d{3,}")
"""Names of the seeds' run folders."""
WITHOUT_EFFECT = (
    "train.device",
    "train.cuda_graph",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep",
    "train.tensorboard",
    "render.",
)
"""Prefixes of the settings that do not change what is measured of a seed."""
_DIVERGED = re.compile(r"The .+ is no longer finite")


class _PlanRecord(Record):
    """The content of ``sweep.json``."""

    data: Text
    data_digest: Text
    data_source: Text | None = None
    config: dict[str, Any]


class _Measures(Record, extra="allow"):
    """The measures of ``airkit eval``, those checked that a sweep's report needs."""

    count_accuracy: Share
    count_accuracy_interval: Annotated[list[Share], Field(min_length=2, max_length=2)]
    count_accuracy_one_look: Share
    elbo: Number | None


class _ResultRecord(Record):
    """The content of ``measures.json``."""

    data_digest: str
    settings: dict[str, Any]
    train_seconds: Amount
    measures: _Measures


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
    measures: _Measures | None

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


def _read_json(path: Path) -> Any:
    """Return the content of a JSON file; raises OSError or ValueError."""
    files.check_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_sweep(path: Path) -> bool:
    """Return whether a folder is one of ``airkit sweep``."""
    return os.path.isfile(path / PLAN)


@dataclass(frozen=True)
class Plan:
    """What all seeds of a sweep have in common."""

    folder: Path
    data: Path
    """The data file, absolute."""
    digest: str
    """Content digest of the data file."""
    config: Config
    """The configuration of the first seed."""
    source: str | None = None
    """The digits of the data file; None in files of an older airkit."""

    @property
    def training_data(self) -> TrainingData:
        """The sweep's data file, whose canvases must stay the same."""
        return TrainingData("sweep", self.data, self.digest, self.config, self.source)

    def write(self) -> None:
        """Write the plan into its folder; raises OutputError."""
        content = {
            "data": str(self.data),
            "data_digest": self.digest,
            "data_source": self.source,
            "config": self.config.model_dump(mode="json"),
        }
        files.write_text(self.folder / PLAN, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the plan in a folder.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = folder / PLAN
        try:
            found = checked(_PlanRecord.model_validate, _read_json(path))
            config = settings.from_json(json.dumps(found.config), str(path))
            return cls(folder, Path(found.data), found.data_digest, config, found.data_source)
        except (OSError, ValueError, ConfigError) as error:
            raise CheckpointError(
                "The sweep's plan cannot be read",
                where=path,
                expected="what airkit sweep writes there",
                got=reason(error),
                hint="name the folder of another airkit sweep",
            ) from error

    def trial(self, seed: int) -> Trial:
        """Return the trial of one seed."""
        return Trial(self, seed)


@dataclass(frozen=True)
class Trial:
    """One seed of a sweep: where its run, log and measures are."""

    plan: Plan
    seed: int

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.plan.folder / f"seed-{self.seed:03d}"

    @property
    def log(self) -> Path:
        """The file of its process's output."""
        return self.run / "output.log"

    @property
    def config(self) -> Config:
        """The sweep's configuration with this seed."""
        train = self.plan.config.train.model_copy(update={"seed": self.seed})
        return self.plan.config.model_copy(update={"train": train})

    def write(self, measures: Mapping[str, Any], train_seconds: float) -> None:
        """Write the measures of the trained run, which mark the trial as finished.

        Args:
            measures: the measures of ``airkit eval``, by name.
            train_seconds: time spent training.

        Raises:
            OutputError: the file cannot be written.
        """
        found = {"train_seconds": round(train_seconds, 1), "measures": measures}
        content = json.dumps({**self._identity(), **found}, indent=1)
        files.write_text(self.run / "measures.json", content + "\n")

    def result(self) -> _ResultRecord | None:
        """Return what a finished trial wrote; None where it is lacking, damaged or outdated."""
        try:
            result = checked(_ResultRecord.model_validate, _read_json(self.run / "measures.json"))
        except (OSError, ValueError):
            return None
        known = {**_with_effect(Config()), **result.settings}  # a newer setting had its default
        same = {"data_digest": result.data_digest, "settings": known} == self._identity()
        return result if same else None

    def _identity(self) -> dict[str, Any]:
        """The data and the settings that the measures depend on."""
        return {"data_digest": self.plan.digest, "settings": _with_effect(self.config)}


def _with_effect(config: Config) -> dict[str, Any]:
    """The settings that measures depend on, by dotted key."""
    values = settings.flatten(config.model_dump(mode="json"))
    return {key: value for key, value in values if not key.startswith(WITHOUT_EFFECT)}


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
        """Return the report that ``airkit sweep`` left in its folder.

        Raises:
            CheckpointError: there is none yet, or it is damaged.
        """
        path = folder / REPORT
        try:
            found = checked(_ReportRecord.model_validate, _read_json(path))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                "The sweep's report cannot be read",
                where=path,
                expected="what airkit sweep writes there when it ends or is stopped",
                got=reason(error),
                hint="the same airkit sweep again, which goes on, and writes it",
            ) from error
        rows = tuple(Row(**row.model_dump()) for row in found.rows)
        data = Path(found.data)
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
