"""make_data: from settings to a file, or to one clear error with nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_compose import pool, same

from airkit.config.schema import DataConfig
from airkit.data import make, sources
from airkit.data.compose import compose
from airkit.data.digits import SPLITS
from airkit.data.make import make_data
from airkit.data.reader import read_info, read_split, verify
from airkit.data.sources import LoadedDigits
from airkit.errors import CanvasError, ConfigError, OutputError
from airkit.system.callbacks import Listener

SMALL: Mapping[str, Any] = {
    "data.train": 300,
    "data.val": 20,
    "data.test": 10,
    "data.canvas_size": 32,
    "data.digit_size": 12.0,
    "data.digit_size_sd": 0.8,
}
POOLS = {split: pool(seed=seed) for seed, split in enumerate(SPLITS)}


class Ear(Listener):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    def progress(self, task: str, done: int, total: int) -> None:
        self.heard.append((task, done, total))


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits of the tests' own, whatever source the settings name."""
    found = LoadedDigits("ellipses", POOLS, "ab" * 32, "CC0-1.0", "by the tests")
    monkeypatch.setattr(sources, "load", lambda source, listener: found)


def test_make_data(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "data.h5"
    ear = Ear()
    report = make_data(path, settings=SMALL, listener=ear)
    assert report.path == path
    assert report.splits == {"train": 300, "val": 20, "test": 10}
    assert report.source == "ellipses"
    assert report.content_digest == verify(path)
    assert report.bytes == path.stat().st_size
    assert report.seconds > 0
    assert ear.heard == [
        ("train canvases", 300, 300), ("val canvases", 20, 20), ("test canvases", 10, 10),
    ]  # fmt: skip
    data = read_info(path).config.data
    assert data == DataConfig(**{key.partition(".")[2]: value for key, value in SMALL.items()})
    for split, many in report.splits.items():
        assert same(read_split(path, split), compose(data, split, POOLS[split], 0, many))


def test_the_file_does_not_depend_on_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_data(tmp_path / "whole.h5", settings=SMALL)
    monkeypatch.setattr(make, "_STEP_BYTES", 1)
    ear = Ear()
    parts = make_data(str(tmp_path / "parts.h5"), settings=SMALL, listener=ear)
    assert parts.content_digest == whole.content_digest
    assert ear.heard[:2] == [("train canvases", 256, 300), ("train canvases", 300, 300)]


def test_the_first_canvases_do_not_depend_on_their_number(tmp_path: Path) -> None:
    make_data(tmp_path / "few.h5", settings=SMALL)
    make_data(tmp_path / "more.h5", settings={**SMALL, "data.train": 400})
    few = read_split(tmp_path / "few.h5", "train")
    assert same(few, read_split(tmp_path / "more.h5", "train", limit=300))


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b"\x89HDF\r\n\x1a\nold", "There is a data file already", "--force to replace it, or "),
        (b"old", "There is a file of another kind already", ""),
    ],
)
def test_an_existing_file_stays(tmp_path: Path, content: bytes, what: str, hint: str) -> None:
    path = tmp_path / "data.h5"
    path.write_bytes(content)
    with pytest.raises(OutputError) as error:
        make_data(path, settings=SMALL)
    assert (error.value.what, error.value.hint) == (what, f"{hint}another --out")
    assert path.read_bytes() == content
    make_data(path, settings=SMALL, force=True)
    assert verify(path)


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="A folder is in the way"):
        make_data(tmp_path, settings=SMALL, force=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="A file is in the way"):
        make_data(tmp_path / "file" / "below" / "data.h5", settings=SMALL)


@pytest.mark.parametrize(
    ("kind", "given", "what"),
    [
        (ConfigError, {"data.max_digit": 3}, "data.max_digit "),
        (ConfigError, {"data.canvas_size": 20}, "do not fit a canvas of 20 px"),
        (
            CanvasError,
            {**SMALL, "data.overlap": "none", "data.max_digits": 30, "data.min_digits": 30},
            "Cannot lay out 30 digits of about 12 px",
        ),
    ],
)
def test_errors_leave_nothing(
    tmp_path: Path, kind: type[Exception], given: Mapping[str, Any], what: str
) -> None:
    with pytest.raises(kind, match=what):
        make_data(tmp_path / "data.h5", settings=given)
    assert not list(tmp_path.iterdir())


def test_an_empty_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = LoadedDigits("my-digits", {**POOLS, "val": pool(0)}, "", "", "")
    monkeypatch.setattr(sources, "load", lambda source, listener: found)
    with pytest.raises(CanvasError, match=r"no digits for the val canvases(.|\n)* data.val = 0"):
        make_data(tmp_path / "data.h5", settings=SMALL)
    assert not list(tmp_path.iterdir())
    assert make_data(tmp_path / "data.h5", settings={**SMALL, "data.val": 0}).splits["val"] == 0


FULL_DISK = """
import resource, sys
from pathlib import Path
from airkit.data.make import make_data
from airkit.errors import OutputError

limit, compression, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
path.write_bytes(b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
few = {"data.train": 2000, "data.val": 10, "data.test": 10, "data.source": "strokes"}
try:
    make_data(path, settings={**few, "data.compression": compression}, force=True)
except OutputError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file size")
@pytest.mark.parametrize(("limit", "compression"), [(100, "gzip"), (200_000, "none")])
def test_a_full_disk(tmp_path: Path, limit: int, compression: str) -> None:
    """One message and the old file, where HDF5 alone would crash, at once or at exit."""
    path = tmp_path / "data.h5"
    command = [sys.executable, "-c", FULL_DISK, str(limit), compression, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Cannot write a file\n  where     {path}\n  got       File too")
    assert done.stderr == ""
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]
