"""Files and folders of other programs: what they are is told, and no option that does not help."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import fails

from airkit.config.schema import Config
from airkit.errors import DataFileError
from airkit.runs.training_data import TrainingData

Write = Callable[[BytesIO], object]


def _zip(file: BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")


NONE, OTHER = "none of airkit's files", "checkpoint"
FOREIGN: dict[str, tuple[Write, str]] = {
    "npz": (lambda file: np.savez(file, np.zeros(3)), NONE),
    "packed npz": (lambda file: np.savez_compressed(file, ink=np.zeros(3)), NONE),
    "npy": (lambda file: np.save(file, np.zeros(3)), NONE),
    "zip": (_zip, NONE),
    "old weights": (
        lambda file: torch.save({}, file, _use_new_zipfile_serialization=False),
        NONE,
    ),
    "weights": (lambda file: torch.save({"weight": torch.zeros(2)}, file), OTHER),
    "module": (lambda file: torch.save(torch.nn.Linear(2, 2), file), OTHER),
}


@pytest.mark.parametrize("command", [["info"], ["export", "--out", "out"]])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_told_without_options(home: Path, kind: str, command: list[str]) -> None:
    write, what = FOREIGN[kind]
    write(content := BytesIO())
    (home / "file.pt").write_bytes(content.getvalue())
    told = fails(*command, "file.pt")
    assert what in told.splitlines()[0]
    assert "--checkpoint" not in told
    assert list(home.iterdir()) == [home / "file.pt"]


def test_a_foreign_file_for_a_run_is_no_checkpoint(home: Path) -> None:
    np.savez("a.npz", np.zeros(3))
    told = fails("eval", "--run", "a.npz")
    assert "got       a file\n" in told
    assert "--checkpoint" not in told


@pytest.mark.parametrize("option", [["--checkpoint=last"], ["--force"], []])
@pytest.mark.parametrize("content", [["notes.txt"], ["images/1.png"], []])
def test_a_folder_that_is_no_run_is_not_exported(
    home: Path, content: list[str], option: list[str]
) -> None:
    (home / "folder").mkdir()
    for name in content:
        (home / "folder" / name).parent.mkdir(exist_ok=True)
        (home / "folder" / name).write_bytes(b"")
    told = fails("export", "folder", "--out", "out", *option)
    assert told.startswith("airkit: There is no trained run here\n")


def test_a_foreign_file_in_a_data_files_place_is_not_told_as_a_missing_one(tmp_path: Path) -> None:
    """Making the data again would replace it."""
    path = tmp_path / "data.h5"
    path.write_bytes(b"no HDF5 file")
    with pytest.raises(DataFileError) as caught:
        TrainingData("run", path, "0", Config()).read()
    assert "makes it again" not in str(caught.value)


@pytest.mark.parametrize(("path", "out"), [(".", "here.h5"), ("/", "pictures.h5"), ("a", "a.h5")])
def test_a_folder_in_a_data_files_place_is_told_how_to_import_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, path: str, out: str
) -> None:
    (home / "here" / "a").mkdir(parents=True)
    monkeypatch.chdir(home / "here")
    told = fails("train", "--data", path)
    assert told.startswith("airkit: This is a folder, not a data file\n")
    assert re.search(rf"airkit import {re.escape(path)} --out \S*\b{out}\n", told)
