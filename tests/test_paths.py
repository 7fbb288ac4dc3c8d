"""Paths as people type them: with ``~``, ``..``, a slash at the end, or letters beyond ASCII."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, fails, run
from idx_files import mnist_like, write_folder
from tiny_runs import DATA, TRAIN, data_file, trained

import airkit
from airkit import settings
from airkit.data import sources
from airkit.errors import AirkitError
from airkit.runs.folder import RunFolder
from airkit.system.paths import absolute, from_record, output_file, to_path, to_record
from airkit.training.loop import TrainReport

LAST = "~/run/checkpoints/step-000000023.pt"


@pytest.fixture(name="person")
def _person(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a data file, a run, an image and digits; work is in another one."""
    monkeypatch.setenv("HOME", str(home))
    shutil.copy(data_file(), home / "data.h5")
    trained(home / "run")
    np.save(home / "image.npy", np.zeros((24, 24), np.uint8))
    (home / "few.toml").write_text("[eval]\nlooks = 1\nlikelihood_samples = 1\n")
    (home / "work").mkdir()
    monkeypatch.chdir(home / "work")
    return home


@pytest.mark.parametrize(
    "command",
    [
        "make-data --source=~/digits --out=~/made.h5",
        "make-data --source=~/digits --out ~/new/folder/made.h5",
        "train --data=~/data.h5 --run=~/other --steps 1",
        "eval --data=~/data.h5 --run=~/run --config=~/few.toml",
        f"eval --run=~/run --against=~/run --checkpoint={LAST} --config=~/few.toml",
        "infer ~/image.npy --run=~/run --overlay=~/overlays",
        "render --run=~/run --data=~/data.h5 --kind data --out=~/picture.png",
        "render --run=~/run --kind curves",
        "report --run=~/run --out=~/page.html --data=~/data.h5 --config=~/few.toml",
        "info ~/data.h5",
        f"info {LAST}",
        "export ~/data.h5 --out=~/coco",
        f"export ~/run --out=~/weights --checkpoint {LAST}",
        "config check ~/few.toml",
    ],
)
def test_a_tilde_is_the_home_folder_on_the_command_line(person: Path, command: str) -> None:
    """A shell leaves the one of ``--out=~/x``."""
    if "--source" in command:
        write_folder(person / "digits", mnist_like())
        command += f" {' '.join(TINY[:2] + TINY[4:])}"
    result = run(*command.split())
    assert (result.exit_code, list(Path.cwd().iterdir())) == (0, []), result.output
    option = "--overlay=" if "--overlay" in command else "--out"
    if option in command:
        named = command.split(option)[1].replace("=", " ").split()[0]
        assert named.replace("~", str(person)) in map(str, person.rglob("*"))


def test_a_tilde_is_the_home_folder_in_python(person: Path) -> None:
    few = settings.from_file("~/few.toml")
    assert len(airkit.CanvasDataset("~/data.h5", "test")) == DATA["data.test"]
    report: TrainReport = airkit.train(
        Path("~/data.h5"), "~/new", settings={**TRAIN, "train.steps": 1}
    )
    assert report.run == person / "new"
    measures = airkit.evaluate("~/run", "~/data.h5", checkpoint=LAST, settings=[few])
    assert (measures.run, measures.data) == (str(person / "run"), str(person / "data.h5"))
    assert Path(measures.checkpoint) == person / "run" / "checkpoints" / "step-000000023.pt"
    assert airkit.infer("~/image.npy", "~/run")[0].image == str(person / "image.npy")
    assert airkit.describe(Path("~/run")).path == person / "run"
    assert airkit.render("~/run", kind="curves").path == person / "run" / "figures" / "curves.png"
    assert sources.load(
        str(write_folder(person / "digits", mnist_like())).replace(str(person), "~")
    )
    assert list(Path.cwd().iterdir()) == []


def test_a_tilde_that_names_nobody_stays() -> None:
    assert to_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
    assert to_path("x/~/y") == Path("x/~/y")


@pytest.mark.parametrize("folder", ["there/", "new/deeper/", "../work/", "~/", "./"])
def test_a_slash_at_the_end_writes_inside(person: Path, folder: str) -> None:
    assert output_file(folder, "name") == to_path(folder) / "name"
    Path("there").mkdir()
    drawn = run("render", "--run=~/run", "--kind=curves", f"--out={folder}")
    assert drawn.stdout == f"{to_path(folder) / 'curves.png'}\n"
    assert (to_path(folder) / "curves.png").is_file()


def test_data_and_reports_go_inside_a_folder_too(person: Path) -> None:
    few, digits = settings.from_file("~/few.toml"), write_folder(person / "d", mnist_like())
    for code in (0, 1):  # where the file is there already
        done = run("make-data", "--source", digits, *TINY[:2], *TINY[4:], "--out=new/")
        assert done.exit_code == code
    assert airkit.report("~/run", out="new/", settings=[few]).path == Path("new/report.html")
    assert sorted(it.name for it in Path("new").iterdir()) == ["multi-mnist.h5", "report.html"]


def test_a_folder_without_a_slash_is_told_how(home: Path) -> None:
    (home / "there").mkdir()
    for command in (["make-data", *TINY], ["render", "--run", "x", "--kind", "curves"], ["report"]):
        assert "--out there/" in fails(*command, "--out", "there")
    assert output_file(Path("there"), "name") == Path("there")


def test_what_is_recorded_survives_a_renamed_folder(home: Path) -> None:
    """The folder before a ``..`` has nothing to do with the file."""
    shutil.copy(data_file(), home / "data.h5")
    (home / "passing" / "by").mkdir(parents=True)
    for number, typed in enumerate(["passing/../data.h5", "passing/by/../../data.h5"]):
        airkit.train(typed, f"run{number}", settings={**TRAIN, "train.steps": 1})
    (home / "passing").rename(home / "passed")
    for number in range(2):
        facts = airkit.describe(f"run{number}").facts
        assert facts["data"] == str(home / "data.h5")
        assert airkit.train(None, f"run{number}", settings={"train.steps": 2}).steps == 2


def test_dots_go_up_from_where_a_link_leads(home: Path) -> None:
    (home / "far" / "away").mkdir(parents=True)
    (home / "link").symlink_to(home / "far" / "away")
    (home / "data.h5").symlink_to(home / "far" / "first.h5")
    assert absolute(Path("link/../x.h5")) == home / "far" / "x.h5"
    assert absolute(Path("far/../data.h5")) == home / "data.h5", "a link at the end stays"
    assert absolute(Path("link/x.h5")) == home / "link" / "x.h5"
    assert absolute(Path("none/../x.h5")) == home / "x.h5"


NAMES = ["plain.h5", "Käse/手写.h5", os.fsdecode(b"r\xff.h5")]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_path_is_the_same_file_in_any_encoding(
    monkeypatch: pytest.MonkeyPatch, name: str, encoding: str
) -> None:
    content = os.fsencode(name)
    recorded = to_record(Path(name))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsencode", lambda it: os.fspath(it).encode(encoding, "surrogateescape"))
        patch.setattr(os, "fsdecode", lambda it: it.decode(encoding, "surrogateescape"))
        found = from_record(recorded)
        assert os.fsencode(found) == content
        assert to_record(found) == recorded
        assert os.fsencode(to_path("手写.h5")) == "手写.h5".encode()


DESCRIBING = """
import sys, airkit
assert sys.getfilesystemencoding() == "ascii"
sys.stdout.write(airkit.describe("K\\u00e4se/data.h5").kind)
"""


def test_a_name_beyond_ascii_where_the_locale_is_ascii(home: Path) -> None:
    """As on clusters with LC_ALL=C; Python avoids it but where it is told not to."""
    Path("Käse").mkdir()
    shutil.copy(data_file(), "Käse/data.h5")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", DESCRIBING]
    done = subprocess.run(
        command, env={**os.environ, **ascii_only}, capture_output=True, text=True, check=False
    )
    if "AssertionError" in done.stderr:
        pytest.skip("the file system of this machine is always in UTF-8")
    assert (done.stdout, done.stderr) == ("data file", "")


def test_a_recorded_path_that_names_no_file(home: Path) -> None:
    """A lone surrogate, which only a forged file holds."""
    place = trained(home / "run")
    plan = {"data": "\ud800", "data_digest": "", "config": {}}
    (place / "sweep.json").write_text(str(plan).replace("'", '"').replace("\ud800", "\\ud800"))
    with pytest.raises(AirkitError, match="plan cannot be read"):
        airkit.describe(place)
    assert RunFolder(place).saved()
