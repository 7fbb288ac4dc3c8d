"""Exports are whole or not there, and never replace what no export made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from exports import contents, names, spoilt
from PIL import Image
from tiny_runs import STEPS, data_file, interrupt, reference, trained

from airkit.errors import AirkitError, DataFileError, OutputError
from airkit.runs.export import export
from airkit.runs.folder import RunFolder
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener
from airkit.system.locks import exclusive

SOURCES = pytest.mark.parametrize("source", [data_file, reference])
Source = Callable[[], Path]


class At(Listener):
    """Calls back when a split's part was exported."""

    def __init__(self, task: str, act: Callable[[], object]) -> None:
        self.task, self.act = task, act

    def progress(self, task: str, done: int, total: int) -> None:
        if task == self.task:
            self.act()


# What is refused


@SOURCES
def test_an_earlier_export_is_replaced_with_force_alone(home: Path, source: Source) -> None:
    export(reference(), "weights")
    export(data_file(), "canvases")
    export(source(), "expected")
    before = contents(home)
    for out in ("weights", "canvases"):
        with pytest.raises(OutputError, match="There is an export already"):
            export(source(), out)
    assert contents(home) == before
    for out in ("weights", "canvases"):
        export(source(), out, force=True)
        assert contents(home / out) == contents(home / "expected")
    assert names(home) == ["canvases", "expected", "weights"]


def write(path: str, text: str = "mine") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def link(path: str) -> None:
    Path(path).unlink()
    Path(path).symlink_to("mine")


USERS: dict[str, tuple[bool, Callable[[str], object]]] = {
    "config.json": (True, write),  # which only an export of weights has
    "images/notes.txt": (True, write),
    "images/test-000000.png": (True, link),
    "best.json": (False, lambda path: trained(Path("out").absolute())),
    "annotations.json": (False, partial(write, text='{"info": {"description": "cats"}}')),
}
"""What else may be in a folder, whether in an export, and what puts it there."""


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize("force", [False, True])
def test_what_no_export_made_is_never_replaced(home: Path, name: str, force: bool) -> None:
    exported, put = USERS[name]
    if exported:
        export(data_file(), "out")
    put(f"out/{name}")
    before = contents(home)
    with pytest.raises(
        OutputError, match=f"This folder holds files that no export made(.*\n)*.*{name}"
    ):
        export(data_file(), "out", force=force)
    assert contents(home) == before


@SOURCES
def test_an_empty_folder_and_a_link_to_one_are_filled(home: Path, source: Source) -> None:
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    export(source(), "expected")
    for force in (False, True):
        export(source(), "link", force=force)
        assert contents(home / "folder") == contents(home / "expected")
    assert names(home) == ["expected", "folder", "link"]
    assert Path("link").is_symlink()


@pytest.mark.parametrize(
    ("out", "told"),
    [
        (".", "The current folder cannot be replaced"),
        ("..", "The current folder cannot be replaced"),
        ("file", "A file is in the way"),
        ("o" * 300, "Cannot write a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, out: str, told: str
) -> None:
    write("here/file")
    monkeypatch.chdir("here")
    with pytest.raises(OutputError, match=told):
        export(data_file(), out, force=True)
    assert contents(home) == {"here/file": b"mine"}


def test_a_file_that_comes_while_a_folder_is_filled_stays(home: Path) -> None:
    Path("out").mkdir()
    comes = At("exporting test", lambda: write("out/notes.txt"))
    with pytest.raises(OutputError, match="This folder holds files that no export made"):
        export(data_file(), "out", listener=comes)
    assert contents(home) == {"out/notes.txt": b"mine"}


def test_a_path_that_is_no_file_of_airkit_is_told(home: Path) -> None:
    Path("run").mkdir()
    write("notes.txt")
    Path("broken.pt").write_bytes(b"PK\x03\x04 archive/data.pkl and no more")
    for path, what in {
        "run": "There is no trained run here",
        "notes.txt": "This is none of airkit's files",
        "nothing": "Cannot read this",
        "broken.pt": "This checkpoint cannot be read",
    }.items():
        with pytest.raises(AirkitError, match=f"{what}\n  where     {path}\n"):
            export(path, "out")
    assert names(home) == ["broken.pt", "notes.txt", "run"]


def test_a_split_that_is_none_or_empty_is_told(home: Path) -> None:
    path = data_file(val=0)
    with pytest.raises(DataFileError, match=r"No such split\n(.*\n)*  expected  train or val or"):
        export(path, "out", split="tests")
    with pytest.raises(DataFileError, match=r"(?m)^  got       60 train, 0 val, 20 test$"):
        export(path, "out", split="val")
    assert names(home) == []
    assert export(path, "out", split="all").counts["images"] == 80


@pytest.mark.parametrize("value", ["test", "best"])
def test_an_option_for_another_kind_is_refused(home: Path, value: str) -> None:
    """The default value too: it was asked for, and would have no effect."""
    state = RunFolder(reference()).file(STEPS)
    for path, kind, option, needs in (
        (reference(), "run folder", "--split", "data file"),
        (state, "checkpoint", "--split", "data file"),
        (state, "checkpoint", "--checkpoint", "run folder"),
        (data_file(), "data file", "--checkpoint", "run folder"),
    ):
        told = rf"{option} is for a {needs} alone\n(.*\n)*  got       a {kind}\n"
        with pytest.raises(AirkitError, match=told):
            export(path, "out", **{option[2:]: value})  # type: ignore[arg-type]
    assert names(home) == []


# Complete or not there


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("old", [False, True])
def test_a_stop_leaves_what_was_there(home: Path, number: int, old: bool) -> None:
    if old:
        export(reference(), "out")
    before = contents(home)
    listener = At("exporting train", lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        export(data_file(), "out", split="all", force=True, listener=listener)
    assert (contents(home), names(home)) == (before, ["out"] * old)


def test_a_stop_at_the_end_comes_after_the_export(home: Path) -> None:
    export(data_file(), "expected")
    with pytest.raises(KeyboardInterrupt):
        export(data_file(), "out", listener=At("exporting test", interrupt))
    assert contents(home / "out") == contents(home / "expected")


def full(*_: object) -> None:
    raise OSError(28, os.strerror(28))


@SOURCES
@pytest.mark.parametrize("old", [False, True])
def test_a_full_disk_leaves_what_was_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, source: Source, old: bool
) -> None:
    if old:
        export(reference(), "out")
    before = contents(home)
    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export(source(), "out", force=True)
    assert (contents(home), names(home)) == (before, ["out"] * old)


def test_an_older_export_is_back_where_the_new_one_cannot_take_its_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(reference(), "out")
    before, rename = contents(home), Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == ".out.airkit-part":
            full()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OutputError, match="No space left on device"):
        export(data_file(), "out", force=True)
    assert (contents(home), names(home)) == (before, ["out"])


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"count": 9}, "a count of 9"),
        ({"box": np.nan}, "nan or inf"),
        ({"count": 1, "label": -1}, "An object has no label"),
    ],
)
def test_a_damaged_file_leaves_nothing(home: Path, first: dict[str, float], message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        export(spoilt(home, **first), "out")
    assert names(home) == ["spoilt.h5"]


KILLED = """
import os, sys
from pathlib import Path
from airkit.runs.export import export

def kill(*_, **__):
    os.kill(os.getpid(), 9)

def at_second(path, target, renamed=[], rename=Path.rename):
    renamed.append(path)
    kill() if len(renamed) == 2 else rename(path, target)

if sys.argv[2] == "writing":
    from PIL import Image
    Image.Image.save = kill
elif sys.argv[2] == "swapping":
    Path.rename = at_second
else:
    import shutil
    shutil.rmtree = kill
export(sys.argv[1], "out", force=True)
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("writing", [".out.airkit-part", "out", "out.lock"]),
        ("swapping", [".out.airkit-old", ".out.airkit-part", "out.lock"]),
        ("removing", [".out.airkit-old", "out", "out.lock"]),
    ],
)
def test_what_a_killed_export_left_is_put_right(home: Path, moment: str, left: list[str]) -> None:
    """The next export finds the older one, or the new one, complete."""
    export(reference(), "out")
    old = contents(home)
    command = [sys.executable, "-c", KILLED, str(data_file()), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert names(home) == left
    with pytest.raises(OutputError, match="There is an export already"):
        export(reference(), "out")
    assert names(home) == ["out"]
    assert (contents(home) == old) == (moment != "removing")
    export(reference(), "out", force=True)
    assert (contents(home), names(home)) == (old, ["out"])


def test_two_exports_do_not_share_a_folder(home: Path) -> None:
    with (
        exclusive(home / "out.lock", home / "out", work="export", hint="wait", listener=SILENT),
        pytest.raises(OutputError, match="Another export is writing this folder"),
    ):
        export(data_file(), "out")
    assert names(home) == []
