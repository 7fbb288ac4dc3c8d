"""Files of predictions: refused before the work, whole or not there, some pictures at a time."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fails
from tiny_runs import Recorder, data_file, interrupt, reference

import airkit
from airkit.errors import OutputError
from airkit.evaluation import prediction_sources

ENDINGS = ("csv", "jsonl", "json", "parquet", "npz")
SEVEN = {"eval.batch_size": 7}
"""Three batches of the 20 canvases."""


def left(folder: Path) -> list[str]:
    """Names of what is in a folder."""
    return [path.name for path in folder.iterdir()]


def test_refused_before_the_work(home: Path) -> None:
    Path("taken.csv").mkdir()
    for words, told in (
        ("--out out.txt", ".csv"),
        ("--out out", ".csv"),
        ("--out taken.csv", "folder"),
        ("--out out.csv --samples 2", "out.jsonl"),
        ("--out out.json --samples 2", "out.jsonl"),
        ("--out out.npz --rows objects", "out.csv"),
        ("--out out.csv --rows object", "'object'"),
        ("--out out.csv --invert", "pictures"),
        (f"a.png --out out.csv --data {data_file()}", "--data"),
    ):
        assert told in fails("predict", reference(), *words.split()), words
    assert left(home) == ["taken.csv"]
    with pytest.raises(airkit.AirkitError, match="samples"):
        airkit.predict(reference(), samples=-1)


def test_what_is_read_is_not_replaced(home: Path) -> None:
    np.savez("mine.npz", np.zeros((3, 24, 24), np.uint8))
    before = Path("mine.npz").read_bytes()
    Path("link.npz").symlink_to("mine.npz")
    for name in ("mine.npz", "./mine.npz", "link.npz"):
        with pytest.raises(OutputError, match="replace"):
            airkit.write_predictions(name, reference(), images="mine.npz")
    assert Path("mine.npz").read_bytes() == before


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_a_library_that_is_not_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    found = airkit.predict(reference())
    monkeypatch.setitem(sys.modules, library, None)
    calls: dict[str, Callable[[], object]] = {
        "pandas": found.to_pandas,
        "pyarrow": partial(airkit.write_predictions, "out.parquet", reference()),
    }
    with pytest.raises(OutputError, match=library) as caught:
        calls[library]()
    assert "airkit[tables]" in str(caught.value)
    airkit.write_predictions("out.csv", reference())
    assert left(home) == ["out.csv"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_ctrl_c_leaves_nothing(home: Path, ending: str) -> None:
    """And an older file as it was."""
    path = home / f"out.{ending}"
    path.write_bytes(b"old")

    class Impatient(Recorder):
        def progress(self, task: str, done: int, total: int) -> None:
            if task == "predicting" and done == 14:
                interrupt()

    with pytest.raises(KeyboardInterrupt):
        airkit.write_predictions(path, reference(), settings=SEVEN, listener=Impatient())
    assert (path.read_bytes(), left(home)) == (b"old", [path.name])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """From the third batch on."""
    path, many = home / f"out.{ending}", 0

    def predicted(*arguments: Any) -> dict[str, Any]:
        nonlocal many
        many += 1
        if many > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments)

    original = prediction_sources._arrays
    monkeypatch.setattr(prediction_sources, "_arrays", predicted)
    with pytest.raises(OutputError, match="No space left"):
        airkit.write_predictions(path, reference(), settings=SEVEN)
    assert left(home) == []


@pytest.fixture(name="small_files")
def _small_files() -> Iterator[None]:
    """No file may be larger than 2,000 bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_grows_too_large(home: Path, ending: str) -> None:
    path = home / f"out.{ending}"
    path.write_bytes(b"old")
    settings = {"eval.split": "train"}
    with pytest.raises(OutputError, match="too large"):
        airkit.write_predictions(path, reference(), settings=settings)
    assert (path.read_bytes(), left(home)) == (b"old", [path.name])


def test_pictures_are_written_some_at_a_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two batches are in memory at once, whatever the format."""
    alive: list[weakref.ref[Any]] = []
    most = 0

    def predicted(*arguments: Any) -> dict[str, Any]:
        nonlocal most
        arrays = original(*arguments)
        alive.append(weakref.ref(arrays["z_what"]))
        most = max(most, sum(each() is not None for each in alive))
        return arrays

    original = prediction_sources._arrays
    monkeypatch.setattr(prediction_sources, "_arrays", predicted)
    for ending in ENDINGS:
        settings = {"eval.batch_size": 2, "eval.looks": 1}
        airkit.write_predictions(f"out.{ending}", reference(), settings=settings)
    assert len(alive) == 10 * len(ENDINGS)
    assert most <= 2
