"""What is in the folder of an export, and data files that are spoilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
from tiny_runs import data_file


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, byte for byte."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def spoilt(home: Path, **first: float) -> Path:
    """A copy of the data file in which the first value of some arrays of test is another."""
    path = home / "spoilt.h5"
    shutil.copy(data_file(), path)
    with h5py.File(path, "r+") as file:
        for name, value in first.items():
            values = file["test"][name][:]
            values.flat[0] = value
            file["test"][name][...] = values
    return path
