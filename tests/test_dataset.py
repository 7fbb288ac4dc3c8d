"""The data file as tensors, and as PyTorch's loaders see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import data_file
from torch.utils.data import DataLoader

from airkit.data import reader
from airkit.data.dataset import CanvasDataset, to_ink
from airkit.errors import DataFileError


@pytest.mark.parametrize(("split", "size"), [("train", 60), ("val", 12), ("test", 20)])
def test_it_holds_what_is_in_the_file(split: str, size: int) -> None:
    dataset, canvases = CanvasDataset(data_file(), split), reader.read_split(data_file(), split)
    assert len(dataset) == size
    for index in (0, 5, size - 1):
        item = dataset[index]
        assert torch.equal(item["image"] * 255, torch.from_numpy(canvases.image[index]).float())
        assert item["count"] == canvases.count[index]
        assert item["label"].tolist() == canvases.label[index].tolist()
        assert item["box"].tolist() == canvases.box[index].tolist()


def test_types_and_shapes() -> None:
    item = CanvasDataset(str(data_file()))[0]
    assert {name: (value.dtype, tuple(value.shape)) for name, value in item.items()} == {
        "image": (torch.float32, (24, 24)),
        "count": (torch.int64, ()),
        "label": (torch.int64, (2,)),
        "box": (torch.float32, (2, 4)),
    }


def test_a_loader_batches_it() -> None:
    dataset = CanvasDataset(data_file(), "val")
    batches = list(DataLoader(dataset, batch_size=5))
    assert [len(batch["count"]) for batch in batches] == [5, 5, 2]
    assert torch.equal(torch.cat([batch["count"] for batch in batches]), dataset.counts)
    assert batches[0]["image"].shape == (5, 24, 24)


def test_iteration_ends_and_indices_are_checked() -> None:
    dataset = CanvasDataset(data_file(), "val")
    items: Any = dataset
    assert len(list(items)) == 12
    assert torch.equal(dataset[-1]["image"], dataset[11]["image"])
    with pytest.raises(IndexError):
        dataset[12]


def test_ink() -> None:
    grey = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert to_ink(grey).tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert to_ink(grey).dtype == torch.float32


def test_other_splits(tmp_path: Path) -> None:
    assert len(CanvasDataset(data_file(val=0), "val")) == 0
    with pytest.raises(DataFileError):
        CanvasDataset(tmp_path / "none.h5")
    with pytest.raises(DataFileError, match="No such split"):
        CanvasDataset(data_file(), "training")
