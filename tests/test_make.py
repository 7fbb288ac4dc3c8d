"""make_data: from settings to a file, or to one clear error with no file or process left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from idx_files import mnist_like, write_folder
from test_compose import pool, same
from tiny_runs import tree

from airkit.config.schema import DataConfig
from airkit.data import make, sources
from airkit.data.canvases import SPLITS
from airkit.data.compose import compose
from airkit.data.make import make_data
from airkit.data.reader import read_info, read_split, verify
from airkit.data.sources import LoadedDigits
from airkit.errors import CanvasError, OutputError, WorkerError
from airkit.system.callbacks import Listener

SMALL: dict[str, Any] = {
    "data.train": 300,
    "data.val": 20,
    "data.test": 10,
    "data.canvas_size": 32,
    "data.digit_size": 12.0,
    "data.digit_size_sd": 0.8,
}
POOLS = {split: pool(seed=seed) for seed, split in enumerate(SPLITS)}


class Ear(Listener):
    """Remembers progress, and calls ``at_first`` at the first report."""

    def __init__(self, at_first: Callable[[], None] = lambda: None) -> None:
        self.at_first = at_first
        self.heard: list[tuple[str, int, int]] = []

    def progress(self, task: str, done: int, total: int) -> None:
        self.heard.append((task, done, total))
        if len(self.heard) == 1:
            self.at_first()


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits of the tests' own, and parts so small that there are several of a split."""
    found = LoadedDigits("ellipses", "ab" * 32, "CC0-1.0", "by the tests", POOLS)
    monkeypatch.setattr(sources, "load", lambda source, listener: found)
    monkeypatch.setattr(make, "_STEP_BYTES", 1)


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
    assert ear.heard[1:3] == [("train canvases", 300, 300), ("val canvases", 20, 20)]
    data = read_info(path).config.data
    assert data == DataConfig(**{key.partition(".")[2]: value for key, value in SMALL.items()})
    for split, many in report.splits.items():
        assert same(read_split(path, split), compose(data, split, POOLS[split], 0, many))


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b"\x89HDF\r\n\x1a\nold", "There is a data file already", "force=True to replace it, or "),
        (b"old", "There is a file of another kind already", ""),
    ],
)
def test_an_existing_file_stays(tmp_path: Path, content: bytes, what: str, hint: str) -> None:
    path = tmp_path / "data.h5"
    path.write_bytes(content)
    with pytest.raises(OutputError) as error:
        make_data(path, settings=SMALL)
    assert (error.value.what, error.value.hint) == (what, f"{hint}another path")
    assert path.read_bytes() == content
    make_data(path, settings=SMALL, force=True)
    assert verify(path)


def test_a_folder_stays(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="There is a folder already"):
        make_data(tmp_path, settings=SMALL, force=True)


def test_an_empty_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = LoadedDigits("my-digits", "", "", "", {**POOLS, "val": pool(0)})
    monkeypatch.setattr(sources, "load", lambda source, listener: found)
    with pytest.raises(CanvasError, match="no digits for the val canvases"):
        make_data(tmp_path / "data.h5", settings=SMALL)
    assert not list(tmp_path.iterdir())
    assert make_data(tmp_path / "data.h5", settings={**SMALL, "data.val": 0}).splits["val"] == 0


FULL_DISK = """
import resource, sys
from pathlib import Path
from airkit.data.make import make_data
from airkit.errors import OutputError

limit, compression, path, source = int(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:])
path.write_bytes(b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
few = {"data.train": 2000, "data.val": 10, "data.test": 10, "data.source": str(source)}
try:
    make_data(path, settings={**few, "data.compression": compression}, force=True)
except OutputError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file size")
@pytest.mark.parametrize(("limit", "compression"), [(100, "gzip"), (200_000, "none")])
def test_a_full_disk(tmp_path: Path, limit: int, compression: str) -> None:
    """One message and the old file, where HDF5 alone would crash, at once or at exit."""
    path, digits = tmp_path / "data.h5", write_folder(tmp_path / "digits", mnist_like())
    command = [sys.executable, "-c", FULL_DISK, str(limit), compression, str(path), str(digits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Cannot write a file\n  where     {path}\n  got       File too")
    assert done.stderr == ""
    assert path.read_bytes() == b"old"
    assert {file.name for file in tmp_path.iterdir()} == {"data.h5", "digits"}


MANY = SMALL | {"data.train": 1100, "data.val": 300}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_the_file_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    files = []
    for workers in (1, 2, 6):
        ear, path = Ear(), tmp_path / f"{workers}.h5"
        make_data(path, settings=MANY, workers=workers, listener=ear)
        assert [(task, done) for task, done, _ in ear.heard] == [
            *(("train canvases", done) for done in (256, 512, 768, 1024, 1100)),
            *(("val canvases", done) for done in (256, 300)),
            ("test canvases", 10),
        ]
        files.append(path.read_bytes())
    assert files == [files[0]] * 3
    assert multiprocessing.active_children() == []


def test_an_error_in_a_worker_is_the_same_error(tmp_path: Path) -> None:
    crowd: dict[str, Any] = {"data.canvas_size": 32, "data.overlap": "none"}
    crowd |= {"data.min_digits": 20, "data.max_digits": 20}
    told = []
    for workers in (1, 2):
        with pytest.raises(CanvasError, match="Cannot lay out 20 digits") as error:
            make_data(tmp_path / "data.h5", settings={**MANY, **crowd}, workers=workers)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert tree(tmp_path) == []
    assert multiprocessing.active_children() == []


@POSIX
def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    def kill() -> None:
        multiprocessing.active_children()[0].kill()

    path = tmp_path / "data.h5"
    path.write_text("old")
    many = {**MANY, "data.train": 100_000}
    with pytest.raises(WorkerError, match="A worker process failed"):
        make_data(path, settings=many, workers=2, force=True, listener=Ear(kill))
    assert path.read_text() == "old"
    assert tree(tmp_path) == ["data.h5"]
    assert multiprocessing.active_children() == []


SCRIPT = """
import sys
import airkit

few = {"data.source": sys.argv[2], "data.train": 1000, "data.val": 0, "data.test": 0}
report = airkit.make_data(sys.argv[1], settings=few, workers=2)
print(report.splits["train"])
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """Workers do not run the script that starts them."""
    folder = write_folder(tmp_path / "digits", mnist_like())
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, *map(str, (tmp_path / "script.py", tmp_path / "out.h5", folder))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1000\n", "")


def group_is_gone(group: int) -> bool:
    """Whether all processes of a group end within some seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


@POSIX
@pytest.mark.parametrize(
    ("number", "delay"),
    [
        (signal.SIGINT, 0.1),
        pytest.param(signal.SIGINT, 0.4, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 0.3, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 0.3, marks=pytest.mark.slow),
    ],
)
def test_stopped_at_any_moment(tmp_path: Path, number: int, delay: float) -> None:
    """Ctrl-C reaches the workers as well; a kill only the process that started them."""
    folder, out = write_folder(tmp_path / "digits", mnist_like()), tmp_path / "out"
    command = [sys.executable, "-m", "airkit", "make-data", "--out", str(out / "data.h5")]
    command += ["--source", str(folder), "--workers", "2", "--train", "2000000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (out / "data.h5.part").exists():
        time.sleep(0.01)
    time.sleep(delay)
    if number == signal.SIGKILL:
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert group_is_gone(process.pid)
    assert "Traceback" not in told
    if number != signal.SIGKILL:
        assert (process.returncode, told.splitlines()[-1]) == (130, "airkit: interrupted")
        assert tree(out) == []
