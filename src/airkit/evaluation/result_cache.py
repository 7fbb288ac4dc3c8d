"""The cache of an evaluation's results in the run folder, from which a report is made.

Legend: N canvases of the split, B of a batch, T slots.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from airkit.config.registry import is_outside
from airkit.errors import OutputError
from airkit.evaluation.measures import Batch
from airkit.runs.folder import RunFolder
from airkit.runs.records import parsed
from airkit.runs.trained import TrainedRun
from airkit.system import files


class PerCanvas(NamedTuple):
    """What an evaluation found on each canvas of the split."""

    together: np.ndarray
    """Count of all looks together, int32 [N]."""
    one_look: np.ndarray
    """Mode of the distribution over counts at one look, int32 [N]."""
    error: np.ndarray
    """Mean squared error of the reconstruction, float32 [N]."""
    centre: np.ndarray
    """Centres of all slots' windows at one look, (x, y) in pixels, float32 [N, T, 2]."""

    @classmethod
    def on(cls, batch: Batch) -> Self:
        """Return what was found on a batch."""
        one, scene = batch.one_look, batch.scene
        error, centre = batch.squared_error.float(), one.centre.float()
        found = scene.count.int(), one.mode.int(), error, centre
        return cls(*(part.cpu().numpy() for part in found))

    @classmethod
    def joined(cls, batches: Sequence[Self]) -> Self:
        """Return what was found on all batches, in order."""
        return cls(*map(np.concatenate, zip(*batches, strict=True)))

    def to_text(self) -> list[str]:
        """Return the arrays as text, for JSON."""
        return [b64encode(part.tobytes()).decode() for part in self]

    @classmethod
    def from_text(cls, parts: Any, canvases: int, slots: int) -> Self:
        """Return what ``to_text`` wrote; raises TypeError or ValueError where it is damaged."""
        alone = (canvases,)
        kinds = (np.int32, alone), (np.int32, alone), (np.float32, alone), (
            np.float32, (canvases, slots, 2))  # fmt: skip
        return cls(
            *(
                np.frombuffer(b64decode(part), dtype).reshape(shape)
                for part, (dtype, shape) in zip(parts, kinds, strict=True)
            )
        )


def write(
    run: Path, trained: TrainedRun, measures: Mapping[str, Any], per_canvas: PerCanvas
) -> None:
    """Cache the results, if the checkpoint is of this folder and that can be written.

    Args:
        run: the run folder.
        trained: what was measured.
        measures: the fields of ``Measures``.
        per_canvas: what was found on each canvas.
    """
    if _own(run, trained):
        content = {"of": _identity(trained), "measures": measures, "canvases": per_canvas.to_text()}
        with suppress(OutputError):
            files.write_text(RunFolder(run).evaluation, json.dumps(content) + "\n")


def read(run: Path, trained: TrainedRun) -> tuple[Any, PerCanvas] | None:
    """Return the cached measures and what was found on each canvas.

    None if there are none of the same model, canvases and settings, or if the file is damaged.
    """
    path = RunFolder(run).evaluation
    with suppress(OSError, ValueError, TypeError, KeyError):
        files.check_regular(path)
        content: Any = parsed(path.read_text(encoding="utf-8"))
        if _own(run, trained) and content["of"] == _identity(trained):
            shape = len(trained.canvases), trained.air.slots
            return content["measures"], PerCanvas.from_text(content["canvases"], *shape)
    return None


def _own(run: Path, trained: TrainedRun) -> bool:
    """Whether the checkpoint is of this folder, and all that measures it is airkit's."""
    config = trained.config
    outside = config.has_outside or any(map(is_outside, config.eval.measures))
    return not outside and trained.checkpoint in RunFolder(run).saved()


@cache
def _code() -> str:
    """SHA-256 of airkit's own source: a clone is updated more often than its version."""
    package = Path(__file__).parents[1]
    sources = (path.read_bytes() for path in sorted(package.rglob("*.py")))
    return hashlib.sha256(b"".join(sources)).hexdigest()


def _identity(trained: TrainedRun) -> dict[str, Any]:
    """The key of the cache: all that the results depend on."""
    return {
        "code": _code(),
        "torch": torch.__version__,
        "data": trained.digest,
        "checkpoint": files.sha256(trained.checkpoint),
        "device": str(trained.device),
        "settings": trained.config.model_dump(mode="json", exclude={"render"}),
    }
