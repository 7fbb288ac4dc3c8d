"""One checkpoint: everything that training needs to go on as if it had never stopped.

A checkpoint is one ``torch.save`` dict of tensors and plain values, read back with
``weights_only=True`` so that no file can run code. Random streams are functions of the seed
and the step, so that the step number is all of their state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from airkit._version import __version__
from airkit.config import settings
from airkit.config.schema import Config
from airkit.errors import CheckpointError, ConfigError, sanitize
from airkit.runs import archive, checks
from airkit.system import files

FORMAT = "airkit-checkpoint"
FORMAT_VERSION = 1
_MOST_VERSION = 10**6
ANOTHER = "name another with --checkpoint"
"""What to try in place of a file that is no good."""


@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    step: int
    """Steps taken before it."""
    elbo: float
    """One-draw ELBO of the val split, in nats per canvas."""
    count_accuracy: float
    """Share of its canvases counted right from one look per slot."""


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
    processes: int | None = None
    """Processes that it was computed with; None where an older airkit wrote it."""


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
        files.check_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a file that is refused in a moment
            archive.check(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _error("There is no such checkpoint", path) from error
    except OSError as error:
        raise _error("This checkpoint cannot be read", path, got=error.strerror or error) from error
    except Exception as error:
        reason = "a file that is damaged or of another kind"
        raise _error("This checkpoint cannot be read", path, got=reason) from error


def _check_version(content: Mapping[str, Any], path: Path) -> None:
    version = content.get("format_version")
    if type(version) is not int or not 1 <= version <= _MOST_VERSION:
        raise _error("This checkpoint is damaged", path, got="no format version")
    if version > FORMAT_VERSION:
        written_by = content.get("airkit_version")
        named = (
            f", written by airkit {sanitize(written_by, 40)}" if isinstance(written_by, str) else ""
        )
        raise CheckpointError(
            "This checkpoint is from a newer airkit",
            where=path,
            expected=f"format version {FORMAT_VERSION}",
            got=f"format version {version}{named}",
            hint="upgrade airkit: pip install --upgrade airkit",
        )


def _checkpoint(content: Mapping[str, Any], path: Path) -> Checkpoint:
    content = {"threads": None, "processes": None, **content}
    checks.check_values(content)
    config = settings.from_json(content["config"], str(path))
    checks.check_tensors(content, config, path.stat().st_size)
    best = content["best"]
    known = {field.name: content[field.name] for field in fields(Checkpoint)}
    best = None if best is None else Best(**best)
    return Checkpoint(**{**known, "config": config, "best": best})


def _error(what: str, path: Path, got: object = None) -> CheckpointError:
    return CheckpointError(
        what,
        where=path,
        expected="a checkpoint written by airkit train",
        got=got,
        hint=ANOTHER,
    )
