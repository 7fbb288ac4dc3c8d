"""Worker processes: the same file as without them, the same errors, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from idx_files import mnist_like, write_folder
from test_compose import pool
from tiny_runs import tree

from airkit.data import make, sources
from airkit.data.digits import SPLITS
from airkit.data.make import make_data
from airkit.data.reader import verify
from airkit.data.sources import LoadedDigits
from airkit.errors import CanvasError
from airkit.system.callbacks import Listener
from airkit.system.signals import STOPPING

SMALL: Mapping[str, Any] = {
    "data.train": 1100,
    "data.val": 300,
    "data.test": 10,
    "data.canvas_size": 64,
    "data.digit_size": 12.0,
    "data.digit_size_sd": 0.8,
}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits of the tests' own, and parts so small that there are several of a split."""
    pools = {split: pool(seed=seed) for seed, split in enumerate(SPLITS)}
    found = LoadedDigits("ellipses", pools, "ab" * 32, "CC0-1.0", "by the tests")
    monkeypatch.setattr(sources, "load", lambda source, listener: found)
    monkeypatch.setattr(make, "_STEP_BYTES", 1)


class Ear(Listener):
    """Remembers progress, and calls ``at_first`` at the first report."""

    def __init__(self, at_first: Any = lambda: None) -> None:
        self.at_first = at_first
        self.heard: list[tuple[str, int]] = []

    def progress(self, task: str, done: int, total: int) -> None:
        self.heard.append((task, done))
        if len(self.heard) == 1:
            self.at_first()


def test_the_file_is_the_same_for_any_number(tmp_path: Path) -> None:
    ear = Ear()
    reports = [
        make_data(tmp_path / "1.h5", settings=SMALL),
        make_data(tmp_path / "2.h5", settings=SMALL, workers=2, listener=ear),
        make_data(tmp_path / "9.h5", settings=SMALL, workers=9),
    ]
    alone, *more = [report.path.read_bytes() for report in reports]
    assert more == [alone, alone]
    assert {report.content_digest for report in reports} == {verify(tmp_path / "2.h5")}
    assert ear.heard == [
        *(("train canvases", done) for done in (256, 512, 768, 1024, 1100)),
        *(("val canvases", done) for done in (256, 300)),
        ("test canvases", 10),
    ]
    assert multiprocessing.active_children() == []


def test_an_error_in_a_worker_is_the_same_error(tmp_path: Path) -> None:
    crowd: dict[str, Any] = {"data.canvas_size": 32, "data.overlap": "none"}
    crowd |= {"data.min_digits": 20, "data.max_digits": 20}
    told = []
    for workers in (1, 2):
        with pytest.raises(CanvasError, match="Cannot lay out 20 digits") as error:
            make_data(tmp_path / "data.h5", settings={**SMALL, **crowd}, workers=workers)
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
    many = {**SMALL, "data.train": 100_000}
    with pytest.raises(CanvasError, match="A worker process failed"):
        make_data(path, settings=many, workers=2, force=True, listener=Ear(kill))
    assert path.read_text() == "old"
    assert tree(tmp_path) == ["data.h5"]
    assert multiprocessing.active_children() == []


def test_a_worker_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(process: SpawnProcess) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(SpawnProcess, "start", start)
    main = sys.modules["__main__"]
    with pytest.raises(CanvasError, match=r"A worker process failed(.|\n)*no more processes"):
        make_data(tmp_path / "data.h5", settings=SMALL, workers=2)
    assert sys.modules["__main__"] is main
    assert tree(tmp_path) == []


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "2"])
def test_numbers_that_cannot_be(tmp_path: Path, workers: Any) -> None:
    with pytest.raises(CanvasError, match="The number of workers is wrong"):
        make_data(tmp_path / "data.h5", settings=SMALL, workers=workers)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("workers", ["0", "two"])
def test_numbers_that_cannot_be_on_the_command_line(home: Path, workers: str) -> None:
    result = run("make-data", "--workers", workers)
    assert result.exit_code == 2
    assert "Invalid value for '--workers'" in result.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_workers_too(tmp_path: Path, number: int) -> None:
    before = signal.signal(number, signal.default_int_handler)
    ear = Ear(lambda: signal.raise_signal(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            make_data(tmp_path / "data.h5", settings=SMALL, workers=2, listener=ear)
    finally:
        signal.signal(number, before)
    assert len(ear.heard) == 1
    assert tree(tmp_path) == []
    assert multiprocessing.active_children() == []


SCRIPT = """
import sys
import airkit

report = airkit.make_data(sys.argv[1], settings={"data.source": sys.argv[2]}, workers=2)
print(report.splits["train"])
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "digits", mnist_like())


def test_a_script_needs_no_guard(tmp_path: Path, folder: Path) -> None:
    """Workers do not run the script that starts them."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, *map(str, (tmp_path / "script.py", tmp_path / "out.h5", folder))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "60000\n", "")


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
    [(signal.SIGINT, 0.1), (signal.SIGINT, 0.8), (signal.SIGTERM, 0.3), (signal.SIGKILL, 0.3)],
)
def test_stopped_at_any_moment(tmp_path: Path, folder: Path, number: int, delay: float) -> None:
    """Ctrl-C reaches the workers as well; a kill only the process that started them."""
    out = tmp_path / "out"
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
