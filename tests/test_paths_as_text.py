"""What reads a path takes it as text too, with the same result and the same refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from idx_files import idx_bytes, mnist_like
from reading import read_all
from tiny_runs import STEPS, data_file, reference

from airkit.data import idx, reader
from airkit.data.dataset import CanvasDataset
from airkit.errors import AirkitError
from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan
from airkit.runs.sweep_report import SweepReport
from airkit.system.callbacks import SILENT

READERS: dict[str, Callable[[Any], Any]] = {
    "RunFolder": lambda path: RunFolder(path).find("best", SILENT),
    "Plan": Plan.read,
    "SweepReport": SweepReport.read,
    "checkpoint": checkpoint.read,
    "info": reader.read_info,
    "split": lambda path: reader.read_split(path, "test"),
    "parts": lambda path: list(reader.read_parts(path, "test")),
    "verify": reader.verify,
    "dataset": CanvasDataset,
    "images": read_all,
    "digits": lambda path: idx.read(path, 3),
}


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_told_alike(name: str, home: Path) -> None:
    told = []
    for path in ("none", Path("none")):
        with pytest.raises(AirkitError) as caught:
            READERS[name](path)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_the_same_is_read(home: Path) -> None:
    run, data = reference(), data_file()
    folder = RunFolder(str(run))
    assert folder.path == run
    assert folder.saved() == RunFolder(run).saved()
    assert checkpoint.read(str(folder.file(STEPS))).step == STEPS
    assert reader.read_info(str(data)) == reader.read_info(data)
    assert reader.verify(str(data)) == reader.verify(data)
    assert len(reader.read_split(str(data), "val").image) == 12
    array = mnist_like()["t10k-images-idx3-ubyte"]
    Path("digits").write_bytes(idx_bytes(array))
    assert (idx.read("digits", 3) == array).all()
