"""One checkpoint: everything that training needs to go on as if it had never stopped.

A checkpoint is one ``torch.save`` dict of tensors and plain values, read back with
``weights_only=True`` so that no file can run code. Random streams are functions of the seed
and the step, so that the step number is all of their state.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
    baselines: Mapping[str, Tensor]
    """The state dict of the estimator's own networks; empty where it has none."""
    optimiser: Mapping[str, Any]
    """The optimiser's state dict."""
    data: str
    """Absolute path of the data file."""
    data_digest: str
    """Content digest of the data file."""
    seconds: float
    """Time spent training so far."""
    loss_sum: float
    """Sum of the losses since the last row of losses in the metrics."""
    loss_count: int
    """How many losses those are."""
    best: Best | None
    """The best validation so far."""
    threads: int | None = None
    """CPU threads that it was computed with; None where an older airkit wrote it."""


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically; raises OutputError where the folder or the disk refuses."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "airkit_version": __version__,
        **vars(checkpoint),
        "config": settings.to_json(checkpoint.config),
        "model": dict(checkpoint.model),
        "baselines": dict(checkpoint.baselines),
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
    _check_version(content, path)
    try:
        return _checkpoint(content, path)
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise _error("This checkpoint is damaged", path, got=error) from error


def _load(path: Path) -> Any:
    """The file's content; what it raises for bytes that make no sense can be anything."""
    try:
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _error("There is no such checkpoint", path) from error
    except OSError as error:
        raise _error("This checkpoint cannot be read", path, got=error.strerror) from error
    except Exception as error:
        reason = "a file that is damaged or of another kind"
        raise _error("This checkpoint cannot be read", path, got=reason) from error


def _check_sums(path: Path) -> None:
    """Compare the sums that ``torch.save`` wrote with the content; ``torch.load`` does not."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise zipfile.BadZipFile


def _check_version(content: Mapping[str, Any], path: Path) -> None:
    version = content.get("format_version")
    if type(version) is not int or version < 1:
        raise _error("This checkpoint is damaged", path, got=f"format version {version!r}")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            "This checkpoint is from a newer airkit",
            where=path,
            expected=f"format version {FORMAT_VERSION}",
            got=f"format version {version}, written by airkit {content.get('airkit_version')}",
            hint="upgrade airkit: pip install --upgrade airkit",
        )


def _checkpoint(content: Mapping[str, Any], path: Path) -> Checkpoint:
    best, step = content["best"], int(content["step"])
    if step < 0:
        raise ValueError(f"step {step}")
    return Checkpoint(
        step=step,
        config=settings.from_json(content["config"], str(path)),
        model=dict(content["model"]),
        baselines=dict(content["baselines"]),
        optimiser=dict(content["optimiser"]),
        data=str(content["data"]),
        data_digest=str(content["data_digest"]),
        seconds=float(content["seconds"]),
        loss_sum=float(content["loss_sum"]),
        loss_count=int(content["loss_count"]),
        best=None if best is None else Best(**best),
        threads=None if content.get("threads") is None else int(content["threads"]),
    )


def _error(what: str, path: Path, got: object = None) -> CheckpointError:
    return CheckpointError(
        what,
        where=path,
        expected="a checkpoint written by airkit train",
        got=got,
        hint="name another with --checkpoint, or start anew with airkit train --fresh",
    )
