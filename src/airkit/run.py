"""A run folder: the configuration, the metrics, the checkpoints and the figures of one training.

config.toml             the resolved configuration
metrics.jsonl           one row a log interval and one a validation
checkpoints/step-*.pt   the newest few and the best
best.json               step and measures of the best validation
figures/                what ``airkit render`` draws
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from airkit import checkpoint as checkpoints
from airkit import files, settings
from airkit.checkpoint import Checkpoint
from airkit.errors import CheckpointError, DeviceError
from airkit.listener import Listener
from airkit.model.air import AIR


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes the parts of one run folder."""

    path: Path

    @property
    def metrics(self) -> Path:
        """The file of metrics rows."""
        return self.path / "metrics.jsonl"

    @property
    def figures(self) -> Path:
        """The folder of pictures."""
        return self.path / "figures"

    def saved(self) -> list[Path]:
        """Checkpoint files, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-*.pt"))

    def file(self, step: int) -> Path:
        """The checkpoint file of a step."""
        return self.path / "checkpoints" / f"step-{step:09d}.pt"

    def save(self, state: Checkpoint) -> None:
        """Write a checkpoint, then what points to it, then prune all but the newest and best."""
        checkpoints.write(self.file(state.step), state)
        files.write_text(self.path / "config.toml", settings.to_toml(state.config))
        if state.best is not None:
            best = {**vars(state.best), "checkpoint": self.file(state.best.step).name}
            files.write_text(self.path / "best.json", json.dumps(best) + "\n")
        kept = set(self.saved()[-state.config.train.keep :])
        if state.best is not None:
            kept.add(self.file(state.best.step))
        for old in set(self.saved()) - kept:
            old.unlink(missing_ok=True)

    def latest(self, listener: Listener) -> Checkpoint | None:
        """The newest checkpoint that can be read, or None where there is none at all.

        A damaged one is passed over in favour of the one before, with a note.

        Raises:
            CheckpointError: there are checkpoints, but none can be read.
        """
        error: CheckpointError | None = None
        for path in reversed(self.saved()):
            try:
                return checkpoints.read(path)
            except CheckpointError as caught:
                error = error or caught
                listener.note(f"{caught.what}: {path}; going back to the one before")
        if error is not None:
            raise error
        return None

    def find(self, name: str, listener: Listener) -> tuple[Path, Checkpoint]:
        """The checkpoint called ``best`` or ``last``, or the one in the file ``name``.

        Raises:
            CheckpointError: no run, no checkpoint, or one that cannot be read.
        """
        if name not in ("best", "last"):
            return Path(name), checkpoints.read(Path(name))
        newest = self.latest(listener)
        if newest is None:
            raise CheckpointError(
                "There is no trained run here",
                where=self.path,
                expected="a folder with checkpoints/step-*.pt",
                hint=f"airkit train --run {self.path}",
            )
        if name == "last" or newest.best is None or newest.best.step == newest.step:
            return self.file(newest.step), newest
        best = self.file(newest.best.step)
        return best, checkpoints.read(best)

    def append(self, row: Mapping[str, Any]) -> None:
        """Append one row of metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics; a last one that was cut short is left out."""
        if not self.metrics.exists():
            return []
        rows = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def cut(self, step: int) -> None:
        """Drop the rows of metrics past ``step``: training goes on from there."""
        kept = [row for row in self.rows() if row["step"] <= step]
        files.write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))

    def clear(self) -> None:
        """Remove what a training wrote, to start afresh; anything else in the folder stays."""
        for name in ("checkpoints", "figures"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("metrics.jsonl", "best.json", "config.toml"):
            (self.path / name).unlink(missing_ok=True)


def build(state: Checkpoint, device: torch.device, **sizes: int | None) -> AIR:
    """The trained model of a checkpoint, in evaluation mode, on ``device``.

    ``sizes`` may name another ``canvas`` or other ``slots`` than it was trained on.
    """
    air = AIR(state.config, **sizes)
    try:
        air.load_state_dict(state.model)
    except RuntimeError as error:
        raise CheckpointError(
            "The checkpoint's weights do not fit its configuration",
            got=str(error).splitlines()[0],
            hint="train again with airkit train --fresh",
        ) from error
    return air.to(device).eval()


def pick_device(name: str) -> torch.device:
    """The device that ``train.device`` names; auto is a CUDA GPU where there is one.

    Raises:
        DeviceError: this machine has no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    device = torch.device(name)
    count = {"cpu": 1, "cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps)}
    if (device.index or 0) >= count[device.type]:
        raise DeviceError(
            "There is no such device here",
            where="train.device",
            expected="one of " + ", ".join(kind for kind, number in count.items() if number),
            got=name,
            hint="--device auto takes the best there is",
        )
    return device
