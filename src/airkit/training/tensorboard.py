"""Event files for TensorBoard, an extra: rows of metrics, and reconstructions.

Writing them draws no random numbers and changes no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.data.dataset import CanvasDataset, to_float, to_uint8
from airkit.model.air import AIR
from airkit.model.scene import explain
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import RunFolder
from airkit.system import files

CANVASES = 8
"""How many canvases of the val split are drawn at each validation."""
MARGIN = 2
"""Pixels of grey between two pictures."""


class TensorBoard:
    """Writes event files into the run folder if ``train.tensorboard`` is on.

    Every row is on the disk before the checkpoint after it. When a run goes on, TensorBoard drops
    what is past the checkpoint, and gets the rows of steps that were trained without it.
    """

    def __init__(self, run: RunFolder, config: Config, checkpoint: Checkpoint | None) -> None:
        """Prepare to write; the event file is opened at the first row.

        Args:
            run: the run folder.
            config: the run's settings.
            checkpoint: where the run goes on; None for a new run.
        """
        self._run, self._on = run, config.train.tensorboard
        self._writer: Any = None
        self._step = checkpoint.step if checkpoint else 0
        shown = checkpoint is not None and checkpoint.config.train.tensorboard
        self._since = self._step + 1 if shown and run.events() else 0
        """The first step whose rows are not in the event files."""

    def row(self, values: Mapping[str, float]) -> None:
        """Write a row of metrics."""
        if self._on:
            with files.writing(self._run.tensorboard):
                self._open()
                self._write(values)
                self._writer.flush()

    def reconstructions(self, step: int, air: AIR, val: CanvasDataset) -> None:
        """Write the first val canvases, above their reconstructions."""
        if self._on:
            picture = reconstructions(air, val)
            with files.writing(self._run.tensorboard):
                self._open()
                self._writer.add_image("val/reconstructions", picture, step, dataformats="HWC")
                self._writer.flush()

    def close(self) -> None:
        """Close the event file, if there is one."""
        if self._writer is not None:
            with files.writing(self._run.tensorboard):
                self._writer.close()

    def _open(self) -> None:
        if self._writer is not None:
            return
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

        self._writer = SummaryWriter(self._run.tensorboard, purge_step=self._since)
        for row in self._run.rows():
            if self._since <= row["step"] <= self._step:
                self._write(row)

    def _write(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(_tag(name), value, int(row["step"]))


def reconstructions(air: AIR, val: CanvasDataset) -> np.ndarray[Any, Any]:
    """The first canvases, and below each its one-look reconstruction.

    Returns:
        Levels, uint8 [height, width, C], two rows of pictures with margins between them.
    """
    device = next(air.parameters()).device
    images = to_float(val.rows["image"][:CANVASES].to(device))
    both = torch.stack([images, explain(air, images).canvas])
    framed = torch.nn.functional.pad(to_uint8(both), (0, MARGIN, 0, MARGIN), value=128)
    # [2, B, C, H, W] to [2 H, B W, C], without the margin after the last row and column
    sheet = framed.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return sheet[:-MARGIN, :-MARGIN].cpu().numpy()


def _tag(name: str) -> str:
    """``val/elbo`` for the metric ``val_elbo``, ``train/elbo`` for ``elbo``."""
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"
