"""Data files: what is written is read back, by airkit and by any reader of HDF5."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_compose import pool, rows, same

import airkit
from airkit.config.schema import Config, DataConfig
from airkit.config.settings import to_json
from airkit.data import writer
from airkit.data.compose import compose
from airkit.data.digits import SPLITS
from airkit.data.format import CHUNK, pack
from airkit.data.reader import read_info, read_parts, read_split, verify
from airkit.data.sources import LoadedDigits
from airkit.errors import CanvasError, OutputError

POOL = pool()
DIGITS = LoadedDigits("ellipses", dict.fromkeys(SPLITS, POOL), "ab" * 32, "CC0-1.0", "by the tests")
DATA = {"canvas_size": 24, "digit_size": 9.0, "digit_size_sd": 0.5, "seed": 5}


def config(**data: Any) -> Config:
    return Config(data=DataConfig(**({"train": 300, "val": 7, "test": 0} | DATA | data)))


def write(path: Path, wanted: Config, step: int = 10**6) -> str:
    with writer.create(path, wanted, DIGITS) as file:
        for split in SPLITS:
            many = getattr(wanted.data, split)
            for start in range(0, many, step):
                part = compose(wanted.data, split, POOL, start, min(start + step, many))
                file.append(pack(wanted.data, split, part))
    return file.digest


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "data.h5"
    write(path, config())
    return path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good, tmp_path / "data.h5"))


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
def test_round_trip(tmp_path: Path, good: Path, compression: str) -> None:
    wanted = config(compression=compression)
    path = tmp_path / "data.h5"
    digest = write(path, wanted)
    assert digest == read_info(good).content_digest == verify(path)
    for split in SPLITS:
        whole = compose(wanted.data, split, POOL, 0, getattr(wanted.data, split))
        assert same(read_split(path, split), whole)
        assert same(read_split(path, split, limit=5), rows(whole, 0, 5))
    assert [len(part.count) for part in read_parts(path, "train")] == [256, 44]
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]


def test_what_the_file_says(good: Path) -> None:
    info = read_info(good)
    assert (info.path, info.config) == (good, config())
    assert info.splits == {"train": 300, "val": 7, "test": 0}
    assert (info.source, info.source_digest) == ("ellipses", "ab" * 32)
    assert (info.licence, info.attribution) == ("CC0-1.0", "by the tests")
    assert (info.airkit_version, info.format_version) == (airkit.__version__, 1)


def test_the_file_without_airkit(good: Path) -> None:
    """The layout that the docs promise to any reader of HDF5."""
    with h5py.File(good) as file:
        assert dict(file.attrs) == {
            "format": b"airkit-canvases",
            "format_version": 1,
            "airkit_version": airkit.__version__.encode(),
            "config": to_json(config()).encode(),
            "seed": 5,
            "source": b"ellipses",
            "source_digest": b"ab" * 32,
            "licence": b"CC0-1.0",
            "attribution": b"by the tests",
            "content_digest": read_info(good).content_digest.encode(),
            "complete": True,
        }
        assert list(file) == sorted(SPLITS)
        assert list(file["test"]) == ["box", "count", "image", "label", "source_index"]
        image = file["train/image"]
        assert (image.shape, image.dtype) == ((300, 24, 24), np.uint8)
        assert (image.chunks, image.compression, image.shuffle) == ((CHUNK, 24, 24), "gzip", True)
        assert image.compression_opts == 4
        assert (file["train/box"].shape, file["train/box"].dtype) == ((300, 2, 4), np.float32)


def test_bytes_depend_on_the_content_alone(tmp_path: Path, good: Path) -> None:
    assert write(tmp_path / "steps.h5", config(), step=CHUNK) == read_info(good).content_digest
    write(tmp_path / "again.h5", config())
    assert (tmp_path / "again.h5").read_bytes() == good.read_bytes()
    assert write(tmp_path / "other.h5", config(seed=6)) != read_info(good).content_digest


@pytest.mark.parametrize(("size", "train", "chunk"), [(1024, 20, 16), (300, 520, 128)])
def test_chunks_of_large_canvases(tmp_path: Path, size: int, train: int, chunk: int) -> None:
    """Small ones, that divide the steps in which canvases are written."""
    path = tmp_path / "data.h5"
    digest = write(path, config(canvas_size=size, train=train, val=0, max_digits=1), step=CHUNK)
    with h5py.File(path) as file:
        assert file["train/image"].chunks == (chunk, size, size)
    assert verify(path) == digest


def test_a_failure_leaves_the_old_file(copy: Path) -> None:
    before, data = copy.read_bytes(), config().data
    with pytest.raises(CanvasError), writer.create(copy, config(), DIGITS) as file:  # noqa: PT012
        file.append(pack(data, "train", compose(data, "train", POOL, 0, 256)))
        raise CanvasError("stop here", hint="go on")
    assert copy.read_bytes() == before
    assert [file.name for file in copy.parent.iterdir()] == ["data.h5"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_gives_back_what_it_could_not_take() -> None:
    """HDF5 reads what it wrote, and crashes where it finds something else."""
    disk = writer._Disk(Path("/dev/full"))
    disk.seek(3)
    assert disk.write(memoryview(b"abc")) == 3
    disk.seek(0)
    assert disk.read(8) == b"\0\0\0abc\0\0"
    with disk, pytest.raises(OSError, match="No space left"):
        disk.check()


def test_too_few_canvases_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError), writer.create(tmp_path / "data.h5", config(), DIGITS):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(copy: Path) -> None:
    path = copy / "below" / "data.h5"
    with pytest.raises(OutputError), writer.create(path, config(), DIGITS):
        pass
