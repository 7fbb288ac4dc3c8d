"""One checkpoint: everything that training needs to go on as if it had never stopped.

A checkpoint is one ``torch.save`` dict of tensors and plain values, read back with
``weights_only=True`` so that no file can run code. Random streams are functions of the seed
and the step, so that the step number is all of their state.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from airkit import __version__, files, settings
from airkit.config import Config
from airkit.errors import CheckpointError, ConfigError

FORMAT = "airkit-checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    step: int
    elbo: float
    count_accuracy: float


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` steps."""

    step: int
    config: Config
    model: Mapping[str, Tensor]
    """The model's state dict."""
    optimiser: Mapping[str, Any]
    """The optimiser's state dict."""
    data: str
    """Absolute path of the data file."""
    data_digest: str
    """Content digest of the data file."""
    seconds: float
    """Time spent training so far."""
    loss_sum: float
    """Sum of the losses since the last row of metrics."""
    best: Best | None
    """The best validation so far."""


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically; raises OutputError where the folder or the disk refuses."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "airkit_version": __version__,
        **vars(checkpoint),
        "config": settings.to_json(checkpoint.config),
        "model": dict(checkpoint.model),
        "optimiser": dict(checkpoint.optimiser),
        "best": None if checkpoint.best is None else vars(checkpoint.best),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write_bytes(path, buffer.getvalue())


def read(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: the file is missing, truncated, foreign, or of a newer format.
    """
    content = _load(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _error("This is no airkit checkpoint", path, got="a file of another kind")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            "This checkpoint is from a newer airkit",
            where=path,
            expected=f"format version {FORMAT_VERSION}",
            got=f"format version {version}",
            hint="pip install --upgrade airkit",
        )
    try:
        return _checkpoint(content, path)
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise _error("This checkpoint is damaged", path, got=error) from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _error("There is no such checkpoint", path) from error
    except (RuntimeError, UnpicklingError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _error("This checkpoint cannot be read", path, got=reason) from error


def _checkpoint(content: Mapping[str, Any], path: Path) -> Checkpoint:
    best = content["best"]
    return Checkpoint(
        step=int(content["step"]),
        config=settings.from_json(content["config"], str(path)),
        model=dict(content["model"]),
        optimiser=dict(content["optimiser"]),
        data=str(content["data"]),
        data_digest=str(content["data_digest"]),
        seconds=float(content["seconds"]),
        loss_sum=float(content["loss_sum"]),
        best=None if best is None else Best(**best),
    )


def _error(what: str, path: Path, got: object = None) -> CheckpointError:
    return CheckpointError(
        what,
        where=path,
        expected="a checkpoint written by airkit train",
        got=got,
        hint="name another with --checkpoint, or train again with airkit train",
    )
