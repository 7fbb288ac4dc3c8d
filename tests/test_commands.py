"""Every command the whole way, on a tiny model: for people, with --json and with --quiet."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import forks
import numpy as np
import pytest
from command_line import TINY, commands, fails, run
from sweeps import InTurn

import airkit
from airkit.training.loop import TrainReport

WRITTEN = {
    "make-data --out o.h5 --preset tiny --source strokes --train 9 --val 2 --test 2": "o.h5",
    "import multi-mnist.h5:/test/image --out i.h5 --most-objects 2 --object-size 9": "i.h5",
    "train --run runs/other --steps 2": "runs/other/best.json",
    "render --kind data --out sheet.png": "sheet.png",
    "infer canvas.npy --overlay over": "over",
    "predict runs/air --looks 1 --out p.csv": "p.csv",
    "score --predictions counts.npy": "counts.npy",
    "report --looks 1 --out report.html": "report.html",
    "export multi-mnist.h5 --out coco": "coco",
    "sweep --seeds 1 --steps 2 --looks 1": "runs/sweep/report.json",
    "eval --looks 1": "runs/air",
    "info runs/air --verify": "runs/air",
}
"""A command, and what it writes."""


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data file, a trained run and an image, and what the commands printed."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, arguments in (
            ("made", ["make-data", *TINY]),
            ("trained", ["train", "--steps", "4", "--set", "train.log_every=2"]),
        ):
            result = run(*arguments)
            assert result.exit_code == 0, result.output
            (folder / f"{name}.out").write_text(result.stdout)
            (folder / f"{name}.err").write_text(result.stderr)
        np.save("canvas.npy", np.zeros((32, 32), np.uint8))
        np.save("counts.npy", np.zeros(12, np.uint8))
    return folder


@pytest.fixture(name="trained")
def _trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def _labels(text: str) -> list[str]:
    return [line.split("  ")[0] for line in text.splitlines()]


# For people


def test_make_data_tells_what_it_made(work: Path) -> None:
    told = (work / "made.out").read_text()
    assert _labels(told) == ["file", "canvases", "digits", "digest", "time"]
    assert "canvases  40 train, 8 val, 12 test\ndigits    strokes\n" in told
    lines = (work / "made.err").read_text().splitlines()
    assert lines[-1] == "test canvases: 12 of 12"


def test_train_tells_a_line_a_row(work: Path) -> None:
    labels = _labels((work / "trained.out").read_text())
    assert labels[:4] == ["run", "steps", "time", "best validation"]
    end = (work / "trained.out").read_text().rpartition("\n\n")[2]
    assert "weights  runs/air/checkpoints\nnext     airkit eval\n" in end
    rows = [line.split(":")[0] for line in (work / "trained.err").read_text().splitlines()]
    assert rows == ["step 2 of 4", "step 4 of 4", "step 4 of 4"]


@pytest.mark.usefixtures("trained")
def test_a_trained_run_says_how_to_go_on() -> None:
    assert run("train").stdout == (
        "runs/air is trained already, for 4 steps\n"
        "the same command with --steps N continues to N steps; --fresh starts over\n"
    )


@pytest.mark.usefixtures("trained")
def test_eval_tells_accuracies_with_intervals() -> None:
    told = run("eval", "--looks", "2", "--split", "val").stdout
    assert _labels(told)[2:4] == ["count accuracy, 2 looks", "count accuracy, one look"]
    assert all("95 % interval" in line for line in told.splitlines()[2:6])
    assert "8 of val in " in told
    one = run("eval", "--looks", "1").stdout
    assert _labels(one)[2:4] == ["count accuracy, one look", "by true count, 0"]


@pytest.mark.usefixtures("trained")
def test_eval_against_itself_finds_no_difference() -> None:
    told = run("eval", "--looks", "1", "--against", "runs/air").stdout
    assert "difference                +0.00 points" in told
    assert "p, McNemar's exact test   1\n" in told


def test_render_prints_the_path(trained: Path) -> None:
    result = run("render", "--kind", "data", "--out", "sheet.png")
    assert result.stdout == "sheet.png\n", result.output
    assert (trained / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_info_knows_files_by_their_content(trained: Path) -> None:
    checkpoint = sorted((trained / "runs/air/checkpoints").iterdir())[-1]
    kinds = {"multi-mnist.h5": "data file", checkpoint: "checkpoint", "runs/air": "run folder"}
    for path, kind in kinds.items():
        told = json.loads(run("info", path, "--json", "--verify").stdout)
        assert told["kind"] == kind
        assert told["config"]["data"]["canvas_size"] == 32
        assert told.get("verified", True)
        assert f"{kind} " in run("info", path).stdout
        assert "  data.canvas_size" in run("info", path).stdout


@pytest.mark.parametrize(
    ("arguments", "what", "where", "hint"),
    [
        ("train", "There is no such data file", "multi-mnist.h5", "airkit make-data"),
        ("train --quiet", "There is no such data file", "multi-mnist.h5", "airkit make-data"),
        ("eval", "There is no trained run here", "runs/air", "airkit train --run runs/air"),
        ("info nothing.h5", "Cannot read this", "nothing.h5", "airkit make-data or airkit train"),
        ("info /dev/null", "Cannot read this", "/dev/null", "airkit make-data or airkit train"),
    ],
)
def test_an_empty_folder_says_what_comes_first(
    home: Path, arguments: str, what: str, where: str, hint: str
) -> None:
    told = fails(*arguments.split())
    assert told.startswith(f"airkit: {what}\n  where     {where}\n")
    assert hint in told.splitlines()[-1]
    assert list(home.iterdir()) == []


def test_make_data_spares_a_file_that_is_there(trained: Path) -> None:
    before = (trained / "multi-mnist.h5").read_bytes()
    assert "--force" in fails("make-data", *TINY)
    assert (trained / "multi-mnist.h5").read_bytes() == before


def test_an_interrupted_training_says_how_to_go_on(work: Path) -> None:
    endless = ["--steps", "1000000", "--set", "train.log_every=1"]
    with forks.piped(forks.COMMAND, "train", "--run", "runs/long", *endless, cwd=work) as process:
        first = process.stderr.readline()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait() == 130
    assert first.startswith("step 1 of 1000000: ELBO ")
    assert out == ""
    step = int(sorted((work / "runs/long/checkpoints").iterdir())[-1].stem.removeprefix("step-"))
    assert err.splitlines()[-1].startswith(f"stopped at step {step} of runs/long: ")
    assert "goes on from there" in err
    assert "--fresh" not in err, "it was not asked for"


@pytest.mark.parametrize("options", [[], ["--fresh"]])
def test_a_stopped_training_names_fresh_where_it_was_asked_for(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = TrainReport(Path("runs/air"), Path("m.h5"), 4, 0, 1.0, stopped=True, best=None)
    monkeypatch.setattr(airkit, "train", lambda *_, **__: stopped)
    result = run("train", *options)
    assert (result.exit_code, result.stdout) == (130, "")
    assert ("--fresh" in result.stderr) == bool(options)


# --quiet


def test_every_command_with_a_result_can_be_quiet() -> None:
    quiet = {
        name
        for name, command in commands().items()
        if any("--quiet" in param.opts for param in command.params)
    }
    assert {command.split()[0] for command in WRITTEN} == quiet - {"reproduce"}


@pytest.mark.parametrize("command", WRITTEN)
def test_quiet_prints_nothing_and_writes_all(
    trained: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airkit.cli.sweep._engine", lambda *_: InTurn())
    result = run(*command.split(), "--quiet")
    told = result.stdout
    if command.startswith("infer"):  # its JSON lines are all that it is for
        assert json.loads(told)["image"] == "canvas.npy"
        told = ""
    assert (result.exit_code, told, result.stderr) == (0, "", "")
    assert (trained / WRITTEN[command]).exists()


def test_quiet_holds_for_the_process_as_a_whole(trained: Path) -> None:
    done = forks.airkit("train", "--run", "runs/process", "--steps", "2", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (trained / "runs/process/best.json").exists()


# --json


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_json_is_one_object_and_the_rest_is_on_stderr(trained: Path, quiet: list[str]) -> None:
    made = run("make-data", *TINY, "--out", f"json{len(quiet)}.h5", "--json", *quiet)
    told = json.loads(made.stdout)
    assert list(told) == ["path", "splits", "source", "content_digest", "seconds", "bytes"]
    assert told["splits"] == {"train": 40, "val": 8, "test": 12}
    assert told["bytes"] == (trained / told["path"]).stat().st_size
    assert bool(made.stderr) == (not quiet)

    folder = f"runs/json{len(quiet)}"
    done = run("train", "--run", folder, "--steps", "2", "--json", *quiet)
    told = json.loads(done.stdout)
    assert (told["run"], told["steps"], told["resumed_from"]) == (folder, 2, 0)
    assert (told["data"], told["stopped"]) == (str(trained / "multi-mnist.h5"), False)
    best = json.loads((trained / folder / "best.json").read_text())
    assert told["best"] == {key: best[key] for key in ("step", "elbo", "count_accuracy")}
    assert bool(done.stderr) == (not quiet)

    drawn = run("render", "--kind", "curves", "--json", *quiet)
    told = json.loads(drawn.stdout)
    assert list(told) == ["path", "kind", "width", "height", "canvases"]
    assert (told["path"], told["kind"]) == ("runs/air/figures/curves.png", "curves")

    measured = run("eval", "--looks", "1", "--json", *quiet)
    assert json.loads(measured.stdout)["canvases"] == 12
    assert bool(measured.stderr) == (not quiet)


def test_json_of_a_report_has_the_measures_of_eval(trained: Path) -> None:
    measures = json.loads(run("eval", "--looks", "1", "--json").stdout)
    told = json.loads(run("report", "--looks", "1", "--out", "a.html", "--json").stdout)
    assert list(told) == ["path", "bytes", "measures", "over_seeds"]
    assert told["over_seeds"] == []
    assert (told["path"], told["bytes"]) == ("a.html", (trained / "a.html").stat().st_size)
    assert [{**each, "seconds": measures["seconds"]} for each in told["measures"]] == [measures]


@pytest.mark.usefixtures("trained")
def test_json_of_a_comparison() -> None:
    command = "eval --looks 1 --against runs/air --json --quiet"
    told = json.loads(run(*command.split()).stdout)["comparison"]
    assert (told["difference"], told["only_run"], told["against"]["canvases"]) == (0, 0, 12)


def test_json_of_an_export(trained: Path) -> None:
    told = json.loads(run("export", "multi-mnist.h5", "--out", "a", "--json", "--quiet").stdout)
    boxes = len(json.loads((trained / "a/annotations.json").read_text())["annotations"])
    counts = {"images": 12, "annotations": boxes}
    assert told == {"path": "a", "format": "COCO", "counts": counts}


@pytest.mark.usefixtures("trained")
def test_a_stopped_training_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    report = airkit.train(run="runs/stopped", settings={"train.steps": 1})
    stopped = type(report)(**{**vars(report), "stopped": True, "best": None})
    monkeypatch.setitem(airkit.__dict__, "train", lambda *_, **__: stopped)
    result = run("train", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["stopped"], told["best"]) == (130, True, None)
    quiet = run("train", "--quiet")
    assert (quiet.exit_code, quiet.output) == (130, "")
