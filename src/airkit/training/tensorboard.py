"""What a training shows in TensorBoard: its rows of metrics, and reconstructions.

TensorBoard is an extra. Nothing here draws random numbers or changes weights, so that a
training with it is the same, bit for bit, as one without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.data.dataset import CanvasDataset, to_grey, to_ink
from airkit.errors import AirkitError
from airkit.model.air import AIR
from airkit.model.scene import explain
from airkit.runs.folder import RunFolder
from airkit.system import files

CANVASES = 8
"""The first canvases of the val split, which are drawn at each validation."""
MARGIN = 2
"""Pixels of grey between two pictures."""

Scalar = tuple[str, int, float]
"""A point of a curve: its tag, step and value."""


def check_installed(config: Config) -> None:
    """Find out before the work, and not after it, that there is no TensorBoard to write for.

    Raises:
        AirkitError: ``train.tensorboard`` is on, and TensorBoard is not installed.
    """
    if config.train.tensorboard:
        _writer_class()


class Board:
    """Writes event files into the run folder, where ``train.tensorboard`` is on.

    Every row is on the disk before the checkpoint after it. Where a run goes on, TensorBoard
    forgets what came after the checkpoint that it goes on from, and is shown the rows of steps
    that were trained without it.
    """

    def __init__(self, run: RunFolder, config: Config, step: int) -> None:
        """Go on at ``step``; nothing is written before the first row."""
        self._run, self._step = run, step
        self._on = config.train.tensorboard
        self._writer: Any = None

    def row(self, values: Mapping[str, float]) -> None:
        """Show a row of metrics."""
        if self._on:
            with files.writing(self._run.tensorboard):
                _write(self._opened(), values)
                self._writer.flush()

    def reconstructions(self, step: int, air: AIR, val: CanvasDataset) -> None:
        """Show the first val canvases, above what the model makes of them."""
        if self._on:
            picture = reconstructions(air, val)
            with files.writing(self._run.tensorboard):
                self._opened().add_image("val/reconstructions", picture, step, dataformats="HW")
                self._writer.flush()

    def close(self) -> None:
        """Close the event file, if there is one."""
        if self._writer is not None:
            with files.writing(self._run.tensorboard):
                self._writer.close()

    def _opened(self) -> Any:
        if self._writer is None:
            rows = [row for row in self._run.rows() if row["step"] <= self._step]
            shown = _shown(self._run.events())
            lacking = [row["step"] for row in rows if not shown.issuperset(_scalars(row))]
            since = min(lacking, default=self._step + 1)
            self._writer = _writer_class()(self._run.tensorboard, purge_step=since)
            for row in rows:  # those that it does not show, as of steps trained without it
                if row["step"] >= since:
                    _write(self._writer, row)
        return self._writer


@torch.no_grad()
def reconstructions(air: AIR, val: CanvasDataset) -> np.ndarray[Any, Any]:
    """The first canvases, and below each its one-look reconstruction, white on black.

    Returns:
        Grey levels, uint8, two rows of pictures with margins between them.
    """
    device = next(air.parameters()).device
    images = to_ink(val.images[:CANVASES].to(device))
    both = torch.stack([images, explain(air, images).canvas])
    framed = torch.nn.functional.pad(to_grey(both), (0, MARGIN, 0, MARGIN), value=128)
    # [2, B, H, W] to [2 H, B W], without the margin after the last row and column
    return framed.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)[:-MARGIN, :-MARGIN].cpu().numpy()


def _write(writer: Any, row: Mapping[str, float]) -> None:
    for tag, step, value in _scalars(row):
        writer.add_scalar(tag, value, step)


def _scalars(row: Mapping[str, float]) -> list[Scalar]:
    """The points that a row of metrics has in TensorBoard, which keeps float32."""
    return [
        (_tag(name), int(row["step"]), float(np.float32(value)))
        for name, value in row.items()
        if name != "step"
    ]


def _shown(events: Sequence[Path]) -> set[Scalar]:
    """The points that TensorBoard shows of event files, oldest first.

    It reads no file past a record that was cut short or damaged.
    """
    shown: set[Scalar] = set()
    if events:
        from tensorboard.backend.event_processing import (  # noqa: PLC0415 - an extra
            event_file_loader,
        )
    for file in events:
        for event in event_file_loader.LegacyEventFileLoader(str(file)).Load():
            if event.HasField("session_log"):  # all from its step on is forgotten
                shown = {scalar for scalar in shown if scalar[1] < event.step}
            shown |= {(it.tag, event.step, it.simple_value) for it in event.summary.value}
    return shown


def _tag(name: str) -> str:
    """``val_elbo`` is shown as ``val/elbo``, and ``elbo`` as ``train/elbo``."""
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise AirkitError(
            "TensorBoard is not installed",
            where="train.tensorboard = true",
            hint='pip install "airkit[tensorboard]", or --set train.tensorboard=false',
        ) from error
    return SummaryWriter
