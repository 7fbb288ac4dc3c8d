"""Digits that are nearly what airkit reads: they are read, or the next step is one that helps."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_docs
from idx_files import idx_bytes, mnist_like, refusal, write_folder

from airkit.data import idx, mnist, sources

NAMES = list(idx.NAMES)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("code", "kind", "shape", "words"),
    [
        (12, ">i4", (30, 8), "32-bit integers in 2 dimensions"),  # QMNIST's labels
        (13, ">f4", (30,), "32-bit floats in 1 dimension"),
        (14, ">f8", (30, 1), "64-bit floats in 2 dimensions"),
        (8, "u1", (30, 10), "unsigned bytes in 2 dimensions"),  # one-hot
    ],
)
def test_whole_files_of_another_type(
    tmp_path: Path, zipped: bool, code: int, kind: str, shape: tuple[int, ...], words: str
) -> None:
    folder = write_folder(tmp_path, mnist_like(), zipped=False)
    header = struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)
    content = header + np.zeros(shape, kind).tobytes()
    (folder / NAMES[1]).write_bytes(gzip.compress(content) if zipped else content)
    error = refusal(folder)
    assert f"got       {words}\n" in str(error)
    assert "convert" in error.hint
    assert "again" not in error.hint


def in_folders(folder: Path) -> None:
    """Kaggle's: a folder named like each file."""
    for name in NAMES:
        (folder / name).rename(folder / "file")
        (folder / name).mkdir()
        (folder / "file").rename(folder / name / name)


def zipped_in_folders(folder: Path) -> None:
    for name in NAMES:
        content = gzip.compress((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / f"{name}.gz").mkdir()
        (folder / f"{name}.gz" / f"{name}.gz").write_bytes(content)


def with_points(folder: Path) -> None:
    for name in NAMES:
        (folder / name).rename(folder / name.replace("-idx", ".idx"))


def with_points_in_folders(folder: Path) -> None:
    for name in NAMES:
        (folder / name).rename(folder / "file")
        (folder / name).mkdir()
        (folder / "file").rename(folder / name / name.replace("-idx", ".idx"))


def both(folder: Path) -> None:
    """As Kaggle's archive unpacks: empty folders beside the files."""
    with_points(folder)
    for name in NAMES:
        (folder / name).mkdir()


@pytest.mark.parametrize(
    "move", [in_folders, zipped_in_folders, with_points, with_points_in_folders, both]
)
def test_the_layouts_of_kaggle(tmp_path: Path, move: Callable[[Path], None]) -> None:
    usual = write_folder(tmp_path / "usual", mnist_like(), zipped=False)
    other = Path(shutil.copytree(usual, tmp_path / "other"))
    move(other)
    assert sources.load(str(other)).digest == sources.load(str(usual)).digest


def test_a_folder_too_high(tmp_path: Path) -> None:
    """torchvision's root, and that of two sets of digits."""
    write_folder(tmp_path / "MNIST" / "raw", mnist_like())
    for folder in (tmp_path, tmp_path / "MNIST"):
        assert refusal(folder).hint == f"--source {tmp_path}/MNIST/raw"
    write_folder(tmp_path / "my fashion", mnist_like())
    hint = f"--source {tmp_path}/MNIST/raw or --source '{tmp_path}/my fashion'"
    assert refusal(tmp_path).hint == hint
    (tmp_path / "my fashion" / f"{NAMES[0]}.gz").unlink()
    assert refusal(tmp_path).hint == f"--source {tmp_path}/MNIST/raw"


@pytest.mark.parametrize("name", ["emnist-digits-train-images-idx3-ubyte", "qmnist-test.gz"])
def test_a_folder_of_a_relative_to_convert(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "converted" in refusal(tmp_path).hint


@pytest.mark.parametrize("name", ["emnist-digits", "qmnist"])
def test_the_page_converts_emnist_and_qmnist(home: Path, name: str) -> None:
    """Transposed images, and labels in rows of integers."""
    usual = mnist_like()
    for file, array in usual.items():
        split = {"train": "train", "t10k": "test"}[file.split("-")[0]]
        part = "labels-idx1-ubyte" if array.ndim == 1 else "images-idx3-ubyte"
        content = idx_bytes(array.swapaxes(1, 2) if name[0] == "e" and array.ndim == 3 else array)
        if name[0] == "q" and array.ndim == 1:
            rows = np.pad(array[:, None].astype(">i4"), ((0, 0), (0, 7)), constant_values=9)
            part = "labels-idx2-int"
            content = struct.pack(">HBB2I", 0, 12, 2, *rows.shape) + rows.tobytes()
        Path(f"{name}-{split}-{part}.gz").write_bytes(gzip.compress(content))
    page = test_docs.DOCS / "how-to/own-digits.md"
    (body,) = (body for body in test_docs.blocks(page, "python") if "def convert" in body)
    names: dict[str, Any] = {}
    exec(compile(body, str(page), "exec"), names)
    names["convert"](name, "four", transposed=name[0] == "e")
    assert sources.load("four").digest == sources.load(str(write_folder(home / "u", usual))).digest


@pytest.mark.parametrize(
    "name", ["kmnist", "emnist", "fashion-mnist", "fashion_mnist", "FashionMNIST", "qmnist"]
)
def test_relatives_of_mnist_are_not_mnist(name: str) -> None:
    hint = refusal(name).hint
    assert "--source FOLDER" in hint
    assert "--source mnist" not in hint


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, mnist_like())
    (folder / "mnist_train.csv").touch()
    for name in (f"{NAMES[0]}.gz", "mnist_train.csv"):
        assert "FOLDER" in refusal(folder / name).hint


def test_other_bytes_in_the_cache_are_not_told_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path))
    folder = write_folder(tmp_path / "mnist", mnist_like())
    error = refusal("mnist")
    assert error.what.startswith("The cache holds other bytes")
    assert f"got       another SHA-256 of {', '.join(f'{name}.gz' for name in NAMES)}\n" in str(
        error
    )
    assert error.hint.startswith(f"--source {folder},")
    assert len(sources.load(str(folder)).pools["test"].labels) == 8
    (folder / f"{NAMES[2]}.gz").unlink()
    error = refusal("mnist")
    assert error.what.startswith("MNIST is not in the cache")
    assert NAMES[2] not in str(error).partition("got")[2].partition("\n")[0]
    shutil.rmtree(folder)
    assert "SHA-256" not in str(refusal("mnist"))
    assert mnist.cache_folder() == folder
