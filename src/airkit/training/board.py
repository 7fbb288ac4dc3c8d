"""What a training shows in TensorBoard: its rows of metrics, and reconstructions.

TensorBoard is an extra. Nothing here draws random numbers or changes weights, so that a
training with it is the same, bit for bit, as one without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from airkit import files
from airkit.config import Config
from airkit.dataset import CanvasDataset, to_grey, to_ink
from airkit.errors import AirkitError
from airkit.model.air import AIR
from airkit.model.scene import explain
from airkit.run import RunFolder

CANVASES = 8
"""The first canvases of the val split, which are drawn at each validation."""
MARGIN = 2
"""Pixels of grey between two pictures."""


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
    forgets what came after the checkpoint that it goes on from.
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
                self._scalars(self._opened(), values)
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
            new = not self._run.events()
            self._writer = _writer_class()(self._run.tensorboard, purge_step=self._step + 1)
            if new:  # curves begin where the run did, even if it began without TensorBoard
                for row in self._run.rows():
                    if row["step"] <= self._step:
                        self._scalars(self._writer, row)
        return self._writer

    def _scalars(self, writer: Any, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(_tag(name), value, row["step"])


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
