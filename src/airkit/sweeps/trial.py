"""One seed of a sweep: train, measure, and leave the measures beside the run.

seed-000/               a run folder, as of ``airkit train``
seed-000/measures.json  what ``airkit eval`` measured, and the settings that it holds for
seed-000/output.log     what its process printed, all attempts in turn
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import AirkitError, CheckpointError
from airkit.runs.origin import Original
from airkit.runs.places import PLAN
from airkit.system import files
from airkit.system.callbacks import Listener

RUN = re.compile(r"seed-\d{3,}")
"""What a seed's run folder is called."""
_MOST = 1e100
WITHOUT_EFFECT = (
    "train.device",
    "train.cuda_graph",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep",
    "train.tensorboard",
    "render.",
)
"""Beginnings of the settings that do not bear on what a trial measures."""


@dataclass(frozen=True)
class Plan:
    """What every seed of a sweep does alike."""

    folder: Path
    data: Path
    """The data file, absolute."""
    digest: str
    """Content digest of the data file."""
    config: Config
    """The configuration of the first seed."""

    @property
    def original(self) -> Original:
        """Its data file, which has to stay what it is."""
        return Original("sweep", self.data, self.digest, self.config, self.folder / "config.toml")

    def write(self) -> None:
        """Write it into its folder; raises OutputError where that is refused."""
        content = {
            "data": str(self.data),
            "data_digest": self.digest,
            "config": self.config.model_dump(mode="json"),
        }
        files.write_text(self.folder / PLAN, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The plan in a folder.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = folder / PLAN
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            config = settings.from_json(json.dumps(content["config"]), str(path))
            return cls(folder, Path(content["data"]), str(content["data_digest"]), config)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, AirkitError) as error:
            raise CheckpointError(
                "The sweep's plan cannot be read",
                where=path,
                expected="what airkit sweep writes there",
                got=error,
                hint="name the folder of another airkit sweep",
            ) from error

    def trial(self, seed: int) -> Trial:
        """The trial of one seed."""
        return Trial(self, seed)


@dataclass(frozen=True)
class Trial:
    """The training and the measuring of one seed."""

    plan: Plan
    seed: int

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.plan.folder / f"seed-{self.seed:03d}"

    @property
    def log(self) -> Path:
        """What its process printed."""
        return self.run / "output.log"

    @property
    def config(self) -> Config:
        """The configuration with its seed."""
        train = self.plan.config.train.model_copy(update={"seed": self.seed})
        return self.plan.config.model_copy(update={"train": train})

    def go(self, listener: Listener) -> bool:
        """Train and measure, or go on where an earlier attempt stopped.

        Returns:
            Whether it is finished; not where a signal stopped the training.

        Raises:
            AirkitError: as ``train`` and ``evaluate`` do.
        """
        from airkit.evaluation.evaluate import evaluate  # noqa: PLC0415 - torch, in the trial's process
        from airkit.training.loop import train  # noqa: PLC0415

        layers = [settings.Layer("sweep", self.config.model_dump())]
        data = self.plan.original.read().path
        report = train(data, self.run, settings=layers, listener=listener)
        if report.stopped:
            return False
        data = self.plan.original.read().path  # it may have been replaced meanwhile
        measures = evaluate(self.run, data, settings=layers, listener=listener)
        content = {
            **self._identity(),
            "train_seconds": round(report.seconds, 1),
            "measures": measures.to_dict(),
        }
        files.write_text(self._measures, json.dumps(content, indent=1) + "\n")
        return True

    def result(self) -> dict[str, Any] | None:
        """What a finished attempt left; None if nothing, or damaged, or of other settings."""
        try:
            content = json.loads(self._measures.read_text(encoding="utf-8"))
            same = all(content[key] == value for key, value in self._identity().items())
            whole = is_amount(content["train_seconds"]) and are_measures(content["measures"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return content if same and whole else None

    @property
    def _measures(self) -> Path:
        return self.run / "measures.json"

    def _identity(self) -> dict[str, Any]:
        """What the measures are of: the data, and all settings that bear on them."""
        config = self.config.model_dump(mode="json")
        kept = {
            key: value
            for key, value in settings.flatten(config)
            if not key.startswith(WITHOUT_EFFECT)
        }
        return {"data_digest": self.plan.digest, "settings": kept}


def are_measures(value: object) -> bool:
    """Whether a value has, of what ``airkit eval`` measures, all that a sweep tells of a seed."""
    if not isinstance(value, dict):
        return False
    interval, bound = value.get("count_accuracy_interval"), value.get("elbo", "lacking")
    shares = [value.get("count_accuracy"), value.get("count_accuracy_one_look")]
    return (
        isinstance(interval, list)
        and len(interval) == 2
        and all(map(is_share, [*shares, *interval]))
        and (bound is None or (type(bound) in (int, float) and abs(bound) <= _MOST))
    )


def is_share(value: object) -> bool:
    """Whether a value read from JSON is a number from 0 to 1."""
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def is_amount(value: object) -> bool:
    """Whether a value read from JSON is a number of at least 0 that can be reckoned with."""
    return type(value) in (int, float) and 0 <= value <= _MOST  # type: ignore[operator]
