"""A sweep's folder: its plan, and the runs of its seeds with their measures.

sweep.json              the plan: data and settings of all seeds
report.json             what the last ``airkit sweep`` found: ``airkit.runs.sweep_report``
seed-000/               a run folder, as of ``airkit train``
seed-000/measures.json  what ``airkit eval`` measured, and the settings that were measured with
seed-000/output.log     what the processes of that seed printed, one attempt after another
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ConfigError
from airkit.runs.records import Amount, Number, Record, Share, Text, reason
from airkit.runs.training_data import TrainingData
from airkit.system import files
from airkit.system.paths import from_record, to_record

PLAN = "sweep.json"
"""The file that marks a folder as one of ``airkit sweep``."""
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


class _PlanRecord(Record):
    """The content of ``sweep.json``."""

    data: Text
    data_digest: Text
    data_source: Text | None = None
    config: dict[str, Any]


class MeasuresRecord(Record, extra="allow"):
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
    measures: MeasuresRecord


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
            "data": to_record(self.data),
            "data_digest": self.digest,
            "data_source": self.source,
            "config": self.config.model_dump(mode="json"),
        }
        files.write_text(self.folder / PLAN, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Return the plan in a folder.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        folder = Path(folder)
        path = folder / PLAN
        try:
            found = _PlanRecord.read(path)
            config = settings.from_json(json.dumps(found.config), str(path))
            return cls(
                folder, from_record(found.data), found.data_digest, config, found.data_source
            )
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
        return self.plan.config.updated("train", seed=self.seed)

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
            result = _ResultRecord.read(self.run / "measures.json")
        except (OSError, ValueError):
            return None
        same = {"data_digest": result.data_digest, "settings": result.settings} == self._identity()
        return result if same else None

    def _identity(self) -> dict[str, Any]:
        """The data and the settings that the measures depend on."""
        values = settings.flatten(self.config.model_dump(mode="json"))
        kept = {key: value for key, value in values if not key.startswith(WITHOUT_EFFECT)}
        return {"data_digest": self.plan.digest, "settings": kept}
