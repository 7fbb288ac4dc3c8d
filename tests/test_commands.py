"""Every command the whole way, on a tiny model."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY, fails, run


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data file and a trained run, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = run("make-data", *TINY)
        assert made.exit_code == 0, made.output
        trained = run("train", "--steps", "4", "--set", "train.log_every=2")
        assert trained.exit_code == 0, trained.output
        (folder / "made.out").write_text(made.stdout)
        (folder / "made.err").write_text(made.stderr)
        (folder / "trained.out").write_text(trained.stdout)
        (folder / "trained.err").write_text(trained.stderr)
    return folder


@pytest.fixture(name="trained")
def _trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def _labels(text: str) -> list[str]:
    return [line.split("  ")[0] for line in text.splitlines()]


def test_make_data_tells_what_it_made(work: Path) -> None:
    told = (work / "made.out").read_text()
    assert _labels(told) == ["file", "canvases", "digits", "digest", "time"]
    assert "canvases  40 train, 8 val, 12 test\ndigits    strokes\n" in told
    assert (work / "made.err").read_text().splitlines()[-3:] == [
        "train canvases: 40 of 40",
        "val canvases: 8 of 8",
        "test canvases: 12 of 12",
    ]


def test_train_tells_a_line_a_row(work: Path) -> None:
    assert _labels((work / "trained.out").read_text()) == [
        "run",
        "steps",
        "time",
        "best validation",
    ]
    rows = [line.split(":")[0] for line in (work / "trained.err").read_text().splitlines()]
    assert rows == ["step 2 of 4", "step 4 of 4", "step 4 of 4"]


def test_a_trained_run_says_how_to_go_on(trained: Path) -> None:
    del trained
    result = run("train")
    assert result.exit_code == 0
    assert result.stdout == (
        "runs/air is trained already, for 4 steps\n"
        "airkit train --steps N goes on to N steps; --fresh starts anew\n"
    )


def test_a_run_with_a_space_in_its_name_says_how_to_go_on(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained / "runs/air", tmp_path / "my run")
    assert run("train", "--run", copy).stdout == (
        f"{copy} is trained already, for 4 steps\n"
        f"airkit train --run '{copy}' --steps N goes on to N steps; --fresh starts anew\n"
    )


def test_eval_for_people_and_for_programs(trained: Path) -> None:
    del trained
    result = run("eval", "--json", "--looks", "2")
    measures = json.loads(result.stdout)
    assert measures["canvases"] == 12
    assert measures["looks"] == 2
    assert measures["count_accuracy_interval"][0] <= measures["count_accuracy"]
    told = run("eval", "--looks", "2", "--split", "val").stdout
    assert _labels(told)[2:4] == ["count accuracy, 2 looks", "count accuracy, one look"]
    assert all("95 % interval" in line for line in told.splitlines()[2:6])
    assert "8 of val in " in told
    one = run("eval", "--looks", "1").stdout
    assert _labels(one)[2:4] == ["count accuracy, one look", "by true count, 0"]


def test_render_prints_the_path(trained: Path) -> None:
    result = run("render", "--kind", "data", "--out", "sheet.png")
    assert result.stdout == "sheet.png\n", result.output
    assert (trained / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_info_knows_files_by_their_content(trained: Path) -> None:
    checkpoint = sorted((trained / "runs/air/checkpoints").iterdir())[-1]
    kinds = {"multi-mnist.h5": "data file", checkpoint: "checkpoint", "runs/air": "run folder"}
    for path, kind in kinds.items():
        told = json.loads(run("info", path, "--json").stdout)
        assert told["kind"] == kind
        assert told["config"]["data"]["canvas_size"] == 32
        assert f"{kind} " in run("info", path).stdout
        assert "  data.canvas_size" in run("info", path).stdout


def test_info_verifies_a_data_file(trained: Path) -> None:
    del trained
    assert json.loads(run("info", "multi-mnist.h5", "--json", "--verify").stdout)["verified"]


def test_info_on_what_is_not_airkits(home: Path) -> None:
    (home / "notes.txt").write_text("hello")
    assert fails("info", "notes.txt") == (
        "airkit: This is none of airkit's files\n"
        "  where     notes.txt\n"
        "  expected  a data file, a checkpoint or a run folder\n"
        "  got       a file that begins with b'hell'\n"
        "  try       name what airkit make-data or airkit train wrote\n"
    )
    assert fails("info", "nothing.h5") == (
        "airkit: Cannot read this\n"
        "  where     nothing.h5\n"
        "  expected  a data file, a checkpoint or a run folder\n"
        "  got       No such file or directory\n"
        "  try       name what airkit make-data or airkit train wrote\n"
    )


def test_make_data_spares_a_file_that_is_there(trained: Path) -> None:
    before = (trained / "multi-mnist.h5").read_bytes()
    assert fails("make-data", *TINY) == (
        "airkit: There is a data file already\n"
        "  where     multi-mnist.h5\n"
        "  try       --force to replace it, or another --out\n"
    )
    assert (trained / "multi-mnist.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["train"],
            "airkit: There is no such data file\n"
            "  where     multi-mnist.h5\n"
            "  try       airkit make-data --out multi-mnist.h5\n",
        ),
        (
            ["eval"],
            "airkit: There is no trained run here\n"
            "  where     runs/air\n"
            "  expected  a folder with checkpoints/step-*.pt\n"
            "  try       airkit train --run runs/air\n",
        ),
    ],
)
def test_an_empty_folder_says_what_comes_first(home: Path, arguments: list[str], told: str) -> None:
    assert fails(*arguments) == told
    assert list(home.iterdir()) == []


def test_an_interrupted_training_says_how_to_go_on(work: Path) -> None:
    command = [sys.executable, "-m", "airkit", "train", "--run", "runs/long"]
    endless = ["--steps", "1000000", "--set", "train.log_every=1"]
    with subprocess.Popen(
        [*command, *endless], cwd=work, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert first.startswith("step 1 of 1000000: ELBO ")
    assert (process.returncode, out) == (130, "")
    step = int(sorted((work / "runs/long/checkpoints").iterdir())[-1].stem.removeprefix("step-"))
    goes_on = "airkit train --run runs/long goes on from there"
    assert err.splitlines()[-1] == f"stopped at step {step}; {goes_on}"
