"""A data file's split as tensors, and as a PyTorch ``Dataset``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from airkit.config.pictures import PicturesConfig
from airkit.data import reader
from airkit.data.info import DataInfo, no_truth_error
from airkit.data.look.ink import SAMPLE, canvas_fault
from airkit.data.stream import LARGE, Streamed, block_of
from airkit.system import memory
from airkit.system.callbacks import Listener
from airkit.system.paths import to_path


class CanvasDataset(Dataset[dict[str, Tensor]]):
    """One split of a data file, held in memory but for images of more than 1 GiB and their masks.

    Those are read from the file as they are asked for, so that it has to stay.

    Item i is a dict: ``image`` float32 [C, H, W] with levels in 0..1 (C is 1 or 3), ``count``
    int64 [], ``label`` int64 [M] (padded with -1), ``box`` float32 [M, 4] (x, y, width, height in
    pixels, padded with -1), ``mask`` uint8 [H, W] (0 for the background, k for the object in place
    k - 1). What the file does not have of these is not in the dict. The tensors are the caller's
    own: changing them leaves the data set as it is.

    Attributes:
        images: levels of grey or of red, green and blue, uint8 [N, C, H, W]; all of them, read
            anew at each use where they stay in the file, as masks are.
        counts: int64 [N]; None where the file has none, as with the following.
        labels: int64 [N, M].
        boxes: float32 [N, M, 4].
        masks: uint8 [N, H, W].
        sources: which image of its source each object is, -1 where there is none, int32 [N, M].
        rows: ``image`` and, where there are some, ``mask``: images and masks in memory or in the
            file, to be indexed by a number, a slice or a tensor.

    Args:
        path: the data file.
        split: train, val or test.

    Raises:
        DataFileError: the file or its split is missing, damaged, foreign or newer.
        NoMemoryError: what has to be held of it does not fit into memory.
    """

    def __init__(self, path: str | Path = "multi-mnist.h5", split: str = "train") -> None:
        path = to_path(path)
        self._where = path, split
        info = reader.read_info(path)
        block = block_of(info, split)
        if not block:
            check_held(info, split)
        known = reader.read_arrays(path, split, without=LARGE if block else ())
        truth = {name: torch.from_numpy(array) for name, array in known.items() if name != "image"}
        count, label = truth.get("count"), truth.get("label")
        self.counts = None if count is None else count.long()
        self.labels = None if label is None else label.long()
        self.boxes, self.sources = truth.get("box"), truth.get("source_index")
        large = [name for name in LARGE if name in info.arrays[split]]
        self.rows: dict[str, Tensor | Streamed]
        if block:
            self.rows = {name: Streamed(path, split, name, block) for name in large}
        else:
            whole = {**truth, "image": channels_first(known["image"])}
            self.rows = {name: whole[name] for name in large}

    @property
    def images(self) -> Tensor:
        """Levels of grey or of red, green and blue, uint8 [N, C, H, W]."""
        return self._whole("image")

    @property
    def masks(self) -> Tensor | None:
        """0 for the background, k for the object in place k - 1, uint8 [N, H, W]."""
        return self._whole("mask") if "mask" in self.rows else None

    def truth(self, name: str) -> Tensor:
        """Return ``counts``, ``labels``, ``boxes`` or ``masks``, which the file must have.

        Raises:
            DataFileError: it has none.
        """
        rows: Tensor | None = getattr(self, name)
        if rows is None:
            path, split = self._where
            raise no_truth_error(path, split, name)
        return rows

    def __len__(self) -> int:
        return len(self.rows["image"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        truth = {"count": self.counts, "label": self.labels, "box": self.boxes}
        rows = {**truth, **self.rows}
        item = {name: each[index].clone() for name, each in rows.items() if each is not None}
        return {**item, "image": to_float(item["image"])}

    def _whole(self, name: str) -> Tensor:
        rows = self.rows[name]
        return rows if isinstance(rows, Tensor) else read_whole(*self._where, name)


def images_of(path: Path, split: str, block: int) -> Tensor | Streamed:
    """The images of a split, uint8 [N, C, H, W].

    Args:
        path: the data file.
        split: train, val or test.
        block: how many are in memory at a time; 0 for all of them.

    Raises:
        DataFileError: as ``CanvasDataset``.
    """
    if block:
        return Streamed(path, split, "image", block)
    check_held(reader.read_info(path), split)
    return read_whole(path, split, "image")


def check_held(data: DataInfo, split: str) -> None:
    """Refuse images of a split that are to be held in memory and do not fit.

    Raises:
        NoMemoryError: they do not fit.
    """
    memory.check(
        data.splits.get(split, 0) * data.config.data.numel,
        f"The {split} images",
        where=data.path,
        hint=f"a file with fewer or smaller ones: airkit make-data --{split} N, or airkit import",
    )


def read_whole(path: Path, split: str, name: str) -> Tensor:
    """The images [N, C, H, W] or masks [N, H, W] of a split; raises DataFileError."""
    levels = reader.ArrayFile(path, split, name).rows(0, None)
    return channels_first(levels) if name == "image" else torch.from_numpy(levels)


def note_ink(data: DataInfo, split: str, listener: Listener) -> None:
    """Say what is off with the ink of the first canvases of a split, if anything is.

    Of pictures, whose background may be what it likes, a look of their own has told.
    """
    if data.config.pictures != PicturesConfig():
        return
    some = reader.read_split(data.path, split, SAMPLE)
    ink = channels_first(some.image).amax(1).numpy()
    if fault := canvas_fault(ink, some.box, data.config.data.digit_size):
        listener.note(f"{data.path}: {fault.text}")


def channels_first(images: NDArray[np.uint8]) -> Tensor:
    """Grey [N, H, W] or colour [N, H, W, 3] images, as data files hold them, as [N, C, H, W]."""
    tensor = torch.from_numpy(images)
    return tensor[:, None] if tensor.dim() == 3 else tensor.permute(0, 3, 1, 2).contiguous()


def channels_last(images: Tensor) -> NDArray[np.uint8]:
    """Images [N, C, H, W] as data files hold them; the inverse of ``channels_first``."""
    planes = images[:, 0] if images.shape[1] == 1 else images.permute(0, 2, 3, 1)
    levels: NDArray[np.uint8] = planes.cpu().numpy()
    return levels


def to_float(images: Tensor) -> Tensor:
    """Images as a model takes them: levels in 0..1, float32, of uint8 ones in 0..255."""
    return images.float() / 255


def to_uint8(images: Tensor) -> Tensor:
    """Images as data files hold them: levels in 0..255, uint8, of others, clamped to 0..1."""
    return (255 * images.clamp(0, 1)).round().to(torch.uint8)
