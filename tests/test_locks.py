"""One writer at a time: who comes second is told who came first, and touches nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import pytest
from command_line import fails, run
from idx_files import mnist_like, write_folder
from tiny_runs import DATA, Recorder, data_file, fit, go_on, state, trained, tree

from airkit.data.dataset import CanvasDataset
from airkit.data.make import make_data
from airkit.data.reader import verify
from airkit.errors import OutputError
from airkit.evaluation.evaluate import evaluate
from airkit.figures.render import render
from airkit.system.locks import exclusive

NO_LOCKS = [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EIO, errno.EINVAL, 524]
"""Errors of locking on network file systems; 524 is one that the kernel lets out by mistake."""
HOLDING = """
import sys
from pathlib import Path
from airkit.system.callbacks import SILENT
from airkit.system.locks import exclusive

lock, target = map(Path, sys.argv[1:])
with exclusive(lock, target, work="work", hint="wait", listener=SILENT):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(lock: Path, target: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is killed."""
    command = [sys.executable, "-c", HOLDING, str(lock), str(target)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def hold(lock: Path, listener: Recorder | None = None) -> None:
    """Take a lock and give it back."""
    with exclusive(lock, lock.parent, work="work", hint="wait", listener=listener or Recorder()):
        assert re.fullmatch(f"{signature(os.getpid())}\n", lock.read_text())


def signature(process: int) -> str:
    """A pattern for how a process signs its lock file."""
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
    return f"process {process} on {re.escape(platform.node())}, since {since}"


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have the file system refuse every lock."""

    def flock(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of all files below a folder."""
    paths = [folder / name for name in tree(folder)]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_a_second_training_is_told_of_the_first(tmp_path: Path) -> None:
    place = trained(tmp_path / "run")
    with holder(place / "train.lock", place) as first:
        before = everything(place)
        for more in ([], ["--fresh"], ["--steps", "30"]):
            told = fails("train", "--data", data_file(), "--run", place, *more)
            assert told.startswith("airkit: Another training is at work in this folder\n")
            assert re.search(f"  got       {signature(first.pid)}\n", told)
        assert everything(place) == before
    assert go_on(place).steps == state(place).step


@pytest.fixture(name="quick")
def _quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a data file whose digits are quick to read."""
    return {
        **DATA,
        "data.source": str(write_folder(tmp_path_factory.mktemp("digits"), mnist_like())),
    }


def test_a_second_make_data_is_told_of_the_first(tmp_path: Path, quick: dict[str, Any]) -> None:
    path = tmp_path / "data.h5"
    given = ["--source", quick["data.source"], "--preset", "tiny", "--out", path]
    path.write_bytes(b"old")
    with holder(tmp_path / "data.h5.lock", path) as first:
        before = everything(tmp_path)
        told = fails("make-data", *given, "--force")
        assert told.startswith("airkit: Another make-data is writing this file\n")
        assert re.search(f"  got       {signature(first.pid)}\n", told)
        assert everything(tmp_path) == before
        make_data(tmp_path / "other.h5", settings=quick)
    make_data(path, settings=quick, force=True)
    assert tree(tmp_path) == ["data.h5", "other.h5"]


def test_a_file_made_in_the_meantime_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: dict[str, Any]
) -> None:
    """By another process, while this one loaded digits."""
    path = tmp_path / "data.h5"

    class Meanwhile(Recorder):
        def note(self, text: str) -> None:
            path.write_bytes(b"theirs")

    refuse(monkeypatch, errno.ENOLCK)  # which is noted
    with pytest.raises(OutputError, match="There is a file of another kind already"):
        make_data(path, settings=quick, listener=Meanwhile())
    assert (path.read_bytes(), tree(tmp_path)) == (b"theirs", ["data.h5"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_holder(tmp_path: Path, number: int) -> None:
    lock = tmp_path / "lock"
    with holder(lock, tmp_path) as process:
        process.send_signal(number)
        process.wait()
        assert lock.exists(), "a killed process cannot remove it"
        hold(lock)
    assert tree(tmp_path) == []


def test_a_lock_that_is_given_back_leaves_nothing(tmp_path: Path) -> None:
    hold(tmp_path / "new" / "folder" / "lock")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lock").write_text("process 1, much longer than what is written now\n" * 9)
    hold(tmp_path / "lock")
    (tmp_path / "old").mkdir()
    hold(tmp_path / "old" / "lock")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_the_same_process_is_kept_out_as_well(tmp_path: Path) -> None:
    """Two threads, or a callback that trains the run that calls it."""
    told = []

    def again() -> None:
        with pytest.raises(OutputError, match="Another training is at work") as caught:
            go_on(tmp_path)
        told.append(str(caught.value))

    fit(tmp_path, listener=Recorder(step3=again))
    assert f"process {os.getpid()} on " in told[0]
    assert "train.lock" not in tree(tmp_path)


def test_a_holder_that_ends_between_opening_and_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes its file: a lock on that would keep nobody out."""
    lock, flock = tmp_path / "lock", fcntl.flock
    removed: list[int] = []

    def late(handle: int, operation: int) -> None:
        if not removed:
            removed.append(lock.stat().st_ino)
            lock.unlink()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    hold(lock)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number)
    listener = Recorder()
    assert fit(tmp_path / "run", listener=listener, train__steps=2).steps == 2
    (told,) = listener.notes
    assert told.startswith(f"{tmp_path / 'run'} cannot be locked ({os.strerror(number)})")
    assert "train.lock" not in tree(tmp_path / "run")


def test_a_lock_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(OutputError, match="Is a directory"):
        hold(tmp_path / "lock")


@pytest.mark.parametrize("number", NO_LOCKS)
def test_reading_where_the_file_system_refuses_locks(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    opened, whole = h5py.File, verify(data_file())

    def refusing(*given: Any, locking: bool | None = None, **more: Any) -> h5py.File:
        if locking is not False:
            raise OSError(number, f"unable to lock file, errno = {number}")
        return opened(*given, locking=locking, **more)

    monkeypatch.setattr(h5py, "File", refusing)
    assert verify(data_file()) == whole
    assert len(CanvasDataset(data_file(), "test")) == DATA["data.test"]


def test_a_file_that_is_open_for_writing_is_told(tmp_path: Path) -> None:
    path = Path(shutil.copy(data_file(), tmp_path / "data.h5"))
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 of another process does
        for command in (["info"], ["train", "--run", tmp_path / "run", "--data"]):
            assert fails(*command, path).startswith(
                "airkit: Another program has the data file open"
            )
        fcntl.flock(file, fcntl.LOCK_SH)  # a reader's
        assert verify(path)


@pytest.mark.parametrize("swmr", [False, True])
def test_a_file_that_a_killed_writer_left_open_is_told(tmp_path: Path, swmr: bool) -> None:
    with h5py.File(tmp_path / "open.h5", "w", libver="latest") as file:
        file.create_dataset("image", data=[1])
        if swmr:
            file.swmr_mode = True
        file.flush()
        shutil.copy(tmp_path / "open.h5", tmp_path / "left.h5")
    told = fails("info", tmp_path / "left.h5")
    assert "open for writing" in told
    assert "h5clear" in told


def test_readers_need_no_lock(tmp_path: Path) -> None:
    """eval, render and info while a training is at work, at every step of it."""
    measured = []

    def look() -> None:
        assert (tmp_path / "run" / "train.lock").exists()
        measures = evaluate(tmp_path / "run", checkpoint="last")
        render(tmp_path / "run", out=tmp_path / "a.png", kind="curves")
        assert run("info", tmp_path / "run").exit_code == 0
        measured.append(int(Path(measures.checkpoint).stem.removeprefix("step-")))

    fit(tmp_path / "run", listener=Recorder(step7=look, step14=look))
    assert measured == [5, 12]
    assert verify(data_file())


def test_a_file_that_is_no_lock_is_refused_and_stays(tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text("version = 1\n")
    with pytest.raises(OutputError, match="A file is in the way of the lock"):
        hold(lock)
    assert lock.read_text() == "version = 1\n"
    lock.rename(tmp_path / "precious")
    lock.symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError):
        hold(lock)
    assert (tmp_path / "precious").read_text() == "version = 1\n"
