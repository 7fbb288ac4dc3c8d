"""``--quiet`` leaves errors alone, and ``--json`` prints one object, whatever the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY, fails, run, set_up
from typer.main import get_command

import airkit
from airkit.cli.app import app
from airkit.system.callbacks import Listener

WRITTEN = {
    "make-data --out o.h5 --preset tiny --source strokes --train 9 --val 2 --test 2": "o.h5",
    "train --run runs/other --steps 2": "runs/other/best.json",
    "render --kind data --out sheet.png": "sheet.png",
    "infer canvas.npy --overlay over": "over",
    "report --looks 1 --out report.html": "report.html",
    "export multi-mnist.h5 --out coco": "coco",
    "sweep --seeds 1 --steps 2 --looks 1": "runs/sweep/report.json",
    "eval --looks 1": "runs/air",
    "info runs/air --verify": "runs/air",
}
"""A command, and what it writes."""

NO_RESULT = ("demo", "completion", "config")
"""Commands that say where to look, or print and do nothing else."""


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return set_up(tmp_path_factory.mktemp("work"))


@pytest.fixture(name="trained")
def _trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def test_every_command_with_a_result_can_be_quiet() -> None:
    root: Any = get_command(app)
    quiet = {
        name
        for name, command in root.commands.items()
        if "--quiet" in [option for param in command.params for option in param.opts]
    }
    assert quiet == set(root.commands) - set(NO_RESULT)
    assert {command.split()[0] for command in WRITTEN} == quiet


@pytest.mark.parametrize("command", WRITTEN)
def test_quiet_prints_nothing_and_writes_all(trained: Path, command: str) -> None:
    result = run(*command.split(), "--quiet")
    told = result.stdout
    if command.startswith("infer"):  # its JSON lines are all that it is for
        assert json.loads(told)["image"] == "canvas.npy"
        told = ""
    assert (result.exit_code, told, result.stderr) == (0, "", "")
    assert (trained / WRITTEN[command]).exists()


def test_quiet_holds_for_the_process_as_a_whole(trained: Path) -> None:
    command = [sys.executable, "-m", "airkit", "train", "--run", "runs/process", "--steps", "2"]
    done = subprocess.run([*command, "-q"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (trained / "runs/process/best.json").exists()


def test_quiet_still_tells_errors(home: Path) -> None:
    told = "airkit: There is no such data file\n"
    assert fails("train", "--quiet").startswith(told)
    assert fails("train", "--quiet") == fails("train")
    assert list(home.iterdir()) == []


def test_quiet_still_shows_the_traceback_of_a_bug(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(*_: object, listener: Listener, **__: object) -> None:
        listener.note("not heard")
        raise ZeroDivisionError

    monkeypatch.setitem(airkit.__dict__, "describe", describe)
    result = run("info", "x", "--quiet")
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.stderr == ""
    assert run("info", "x").stderr == "not heard\n"


def test_quiet_ends_an_interrupted_command_as_ever(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(airkit.__dict__, "describe", describe)
    result = run("info", "x", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "airkit: interrupted\n")


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_json_is_one_object_and_the_rest_is_on_stderr(trained: Path, quiet: list[str]) -> None:
    made = run("make-data", *TINY, "--out", f"json{len(quiet)}.h5", "--json", *quiet)
    told = json.loads(made.stdout)
    assert list(told) == ["path", "splits", "source", "content_digest", "seconds", "bytes"]
    assert told["path"] == f"json{len(quiet)}.h5"
    assert told["splits"] == {"train": 40, "val": 8, "test": 12}
    assert told["bytes"] == (trained / told["path"]).stat().st_size
    assert bool(made.stderr) == (not quiet)

    folder = f"runs/json{len(quiet)}"
    done = run("train", "--run", folder, "--steps", "2", "--json", *quiet)
    told = json.loads(done.stdout)
    assert (told["run"], told["steps"], told["resumed_from"]) == (folder, 2, 0)
    assert told["data"] == str(trained / "multi-mnist.h5")
    assert told["stopped"] is False
    best = json.loads((trained / folder / "best.json").read_text())
    assert told["best"] == {key: best[key] for key in ("step", "elbo", "count_accuracy")}
    assert bool(done.stderr) == (not quiet)
    again = json.loads(run("train", "--run", folder, "--json", *quiet).stdout)
    assert (again["steps"], again["resumed_from"]) == (2, 2)

    drawn = run("render", "--kind", "curves", "--json", *quiet)
    told = json.loads(drawn.stdout)
    assert list(told) == ["path", "kind", "width", "height", "canvases"]
    assert (told["path"], told["kind"]) == ("runs/air/figures/curves.png", "curves")
    assert drawn.stderr == ""

    measured = run("eval", "--looks", "1", "--json", *quiet)
    assert json.loads(measured.stdout)["canvases"] == 12
    assert bool(measured.stderr) == (not quiet)


def test_json_of_a_report_has_the_measures_of_eval(trained: Path) -> None:
    measures = json.loads(run("eval", "--looks", "1", "--json").stdout)
    told = json.loads(run("report", "--looks", "1", "--out", "a.html", "--json").stdout)
    assert list(told) == ["path", "bytes", "measures"]
    assert (told["path"], told["bytes"]) == ("a.html", (trained / "a.html").stat().st_size)
    assert [{**each, "seconds": measures["seconds"]} for each in told["measures"]] == [measures]


def test_json_of_an_export(trained: Path) -> None:
    told = json.loads(run("export", "multi-mnist.h5", "--out", "a", "--json", "--quiet").stdout)
    boxes = len(json.loads((trained / "a/annotations.json").read_text())["annotations"])
    counts = {"images": 12, "annotations": boxes}
    assert told == {"path": "a", "format": "COCO", "counts": counts}


def test_json_of_a_stopped_training(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = airkit.train(run="runs/stopped", settings={"train.steps": 1})
    stopped = type(report)(**{**vars(report), "stopped": True, "best": None})
    monkeypatch.setitem(airkit.__dict__, "train", lambda *_, **__: stopped)
    result = run("train", "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["stopped"] is True
    assert json.loads(result.stdout)["best"] is None
    assert run("train", "--quiet").output == ""
    assert run("train", "--quiet").exit_code == 130
