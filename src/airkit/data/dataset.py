"""A data file's split as tensors, and as a PyTorch ``Dataset``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from airkit.data import reader


class CanvasDataset(Dataset[dict[str, Tensor]]):
    """One split of a data file, held in memory.

    Item i is a dict: ``image`` float32 [H, H] with ink in 0..1, ``count`` int64 [], ``label``
    int64 [M] (padded with -1), ``box`` float32 [M, 4] (x, y, width, height in pixels, padded
    with -1). The tensors are the caller's own: changing them leaves the data set as it is.

    Args:
        path: the data file.
        split: train, val or test.

    Raises:
        DataFileError: the file or its split is missing, damaged, foreign or newer.
    """

    def __init__(self, path: str | Path = "multi-mnist.h5", split: str = "train") -> None:
        canvases = reader.read_split(Path(path), split)
        self.images = torch.from_numpy(canvases.image)
        self.counts = torch.from_numpy(canvases.count).long()
        self.labels = torch.from_numpy(canvases.label).long()
        self.boxes = torch.from_numpy(canvases.box)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {
            "image": to_ink(self.images[index]),
            "count": self.counts[index].clone(),
            "label": self.labels[index].clone(),
            "box": self.boxes[index].clone(),
        }


def to_ink(images: Tensor) -> Tensor:
    """Convert grey levels 0..255, uint8 of any shape, to ink in 0..1, float32."""
    return images.float() / 255


def to_grey(ink: Tensor) -> Tensor:
    """Convert ink of any shape to the nearest grey levels 0..255, uint8; clamps it to 0..1."""
    return (255 * ink.clamp(0, 1)).round().to(torch.uint8)
