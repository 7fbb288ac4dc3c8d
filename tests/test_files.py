"""Files are whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exports import names
from tiny_runs import data_file

from airkit.errors import OutputError
from airkit.system.files import replacing, sha256, write_bytes, write_text, writing


def fail(partial: Path, error: BaseException) -> None:
    partial.write_bytes(b"half")
    raise error


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.txt"
    write_text(target, "käse\n")
    assert target.read_bytes() == "käse\n".encode()
    assert names(target.parent) == ["file.txt"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"old")
    with replacing(target) as partial:
        partial.write_bytes(b"new")
        assert partial == tmp_path / "file.part"
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


FAILURES = [ValueError("it broke"), KeyboardInterrupt(), OutputError("it broke", hint="mend it")]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_failure_inside_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"old")
    with pytest.raises(type(error)), replacing(target) as partial:
        fail(partial, error)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_an_error_of_the_disk_is_told(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(OutputError, match="No space left on device") as caught, replacing(target):
        raise OSError(28, "No space left on device")
    assert f"  where     {target}\n" in str(caught.value)
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"much longer than what comes")
    write_bytes(tmp_path / "file", b"short")
    assert (tmp_path / "file").read_bytes() == b"short"
    assert names(tmp_path) == ["file"]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"), replacing(tmp_path / "file"):
        pass


def test_a_path_under_a_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "kept")
    for target in (tmp_path / "file" / "below", tmp_path / "file" / "below" / "further"):
        with pytest.raises(OutputError, match="A file is in the way") as caught:
            write_text(target, "lost")
        assert f"  where     {tmp_path / 'file'}\n" in str(caught.value)
    assert (tmp_path / "file").read_text() == "kept"
    assert names(tmp_path) == ["file"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OutputError, match="Is a directory"):
        write_text(tmp_path / "file", "lost")
    assert names(tmp_path) == ["file"]


def test_writing_lets_other_errors_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path):
        raise KeyError


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_sha256(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"abc" * 10**6)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"abc" * 10**6).hexdigest()


def test_a_name_that_is_not_utf8_is_printed_as_it_is(tmp_path: Path) -> None:
    """Where stdout is strict, as in most languages' locales."""
    odd = os.fsencode(tmp_path) + b"/r\xff.h5"
    shutil.copy(data_file(), os.fsdecode(odd))
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [os.fsencode(sys.executable), b"-m", b"airkit", b"info", odd]
    done = subprocess.run(command, env=strict, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"data file       " + odd + b"\n")
