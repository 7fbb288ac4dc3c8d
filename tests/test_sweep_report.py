"""What a sweep shows: every seed in every summary, on the command line too."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import forks
import pytest
import torch
from command_line import fails, run
from sweeps import report, swept
from tiny_runs import TRAIN, data_file, fit, state

from airkit.cli.sweep import _exit
from airkit.config.settings import spelled
from airkit.errors import TrainingError
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan
from airkit.runs.sweep_report import Row, SweepReport
from airkit.system.statistics import wilson
from airkit.training import step


@pytest.fixture(name="done")
def _done(tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(swept(), tmp_path / "sweep"))


def row(seed: int, accuracy: float | None) -> Row:
    if accuracy is None:
        return Row(seed, f"seed-{seed:03d}", "killed by SIGSEGV", None, None)
    return Row(seed, f"seed-{seed:03d}", None, 10.0 * seed, {"count_accuracy": accuracy})


def of(*accuracies: float | None) -> SweepReport:
    rows = tuple(row(seed, accuracy) for seed, accuracy in enumerate(accuracies))
    return SweepReport(Path("s"), Path("d"), 0.99, len(rows), rows, 1.0)


def test_failures_are_in_every_summary() -> None:
    found = of(0.995, None, 0.99, 0.5)
    assert (found.successes, len(found.failed)) == (2, 1)
    assert found.success_interval == wilson(2, 4)
    assert found.median == (0.99 + 0.5) / 2
    assert (found.worst.seed, found.worst.count_accuracy) == (1, 0)
    values = found.to_dict()
    assert (values["success_rate"], values["worst"], values["worst_seed"]) == (0.5, 0, 1)
    assert values["median_train_seconds"] == 20
    assert replace(of(None), threshold=0.0).successes == 0, "at any threshold"


def test_a_bound_that_is_no_number_is_told_as_such(done: Path) -> None:
    path = done / "seed-001/measures.json"
    content = json.loads(path.read_text())
    content["measures"]["elbo"] = None
    path.write_text(json.dumps(content))
    lines = run("sweep", "--out", done, "--seeds", 2).stdout.splitlines()
    assert lines[2].split()[7:9] == ["%", "-"]


def test_before_any_seed_is_done() -> None:
    found = SweepReport(Path("s"), Path("d"), 0.99, 3, (), 1.0)
    assert found.stopped
    values = found.to_dict()
    undefined = ("success_rate", "success_interval", "median", "worst")
    assert {values[name] for name in undefined} == {None}


# The command


def options() -> list[str]:
    """The settings of ``TRAIN`` on a command line."""
    return [word for key in TRAIN for word in ("--set", f"{key}={spelled(TRAIN[key])}")]


def test_the_command(done: Path) -> None:
    result = run("sweep", "--out", done, "--seeds", 2, "--threshold", 0.1)
    assert (result.exit_code, result.stderr) == (0, "2 of 2 seeds are finished already\n")
    lines = result.stdout.splitlines()
    assert lines[0] == "seed  count accuracy  95 % interval   one look    ELBO  training"
    first = report(swept())["rows"][0]
    accuracy, one = (
        100 * first["measures"][name] for name in ("count_accuracy", "count_accuracy_one_look")
    )
    low, high = (100 * bound for bound in first["measures"]["count_accuracy_interval"])
    assert lines[1].split() == [
        *f"0 {accuracy:.2f} % {low:.2f} to {high:.2f}".split(),
        *f"{one:.2f} % {first['measures']['elbo']:.1f} {first['train_seconds']} s".split(),
    ]
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in lines[4:])
    assert facts["seeds at 10 % or more"] == "2 of 2 (95 % interval of the rate 34.2 to 100.0 %)"
    assert facts["failed"] == "0"
    result = run("sweep", "--out", done, "--seeds", 2, "--json")
    assert json.loads(result.stdout) == report(done)


def test_the_command_with_a_failure(done: Path) -> None:
    (done / "seed-001/measures.json").unlink()
    for saved in (done / "seed-001/checkpoints").iterdir():
        saved.write_bytes(b"torn")
    result = run("sweep", "--out", done, "--seeds", 2)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[2] == "   1  failed: This checkpoint cannot be read"
    assert "worst                  0.00 %, of seed 1" in result.stdout
    assert "airkit: 1 of 2 seeds failed\n" in result.stderr
    assert f"  where     {done}/seed-001\n" in result.stderr
    assert "tries them again; remove the folder of a seed to train it from" in result.stderr


@pytest.mark.slow
def test_interrupted_and_gone_on(tmp_path: Path) -> None:
    """As in a shell: Ctrl-C in the midst of a training, then the same command again."""
    out, steps = tmp_path / "sweep", 150
    where = ("--data", data_file(), "--out", out, "--seeds", 1)
    rarely = ("--set", "train.val_every=1000", "--set", "train.checkpoint_every=1000")
    words = ["sweep", *where, *options(), *rarely, "--steps", steps]
    with forks.piped(forks.COMMAND, *words) as first:
        deadline = time.monotonic() + 60
        while not (out / "seed-000/metrics.jsonl").exists():
            assert time.monotonic() < deadline, "the training does not begin"
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGINT)
        told = "stopped, 0 of 1 seeds done; the same command, without --fresh, resumes\n"
        assert (first.stderr.read(), first.wait()) == (told, 130)
    assert not (out / "seed-000/measures.json").exists()
    newest = RunFolder(out / "seed-000").saved()[-1]
    assert newest.name < f"step-{steps:09d}.pt"
    assert run(*words).exit_code == 0
    assert re.search(r"going on from step \d+ of", Plan.read(out).trial(0).log.read_text())
    assert (state(out / "seed-000", steps).step, report(out)["successes"]) == (steps, 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0"], "A sweep needs seeds"),
        (["--threshold", "99"], "The threshold is a share of canvases"),
        (["--job", "a=1"], "--job is for submitit only"),
        (["--engine", "submitit", "--job", "a"], "Cannot read a job parameter"),
    ],
)
def test_what_the_command_refuses(home: Path, words: list[str], message: str) -> None:
    assert fails("sweep", *words).startswith(f"airkit: {message}\n")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", ["train --run", "sweep --out"])
@pytest.mark.parametrize("name", ["file", "link", "file/below"])
def test_a_file_in_the_way(tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    told = fails(*command.split(), tmp_path / name, "--data", data_file())
    where = tmp_path / name.partition("/")[0]
    assert told.startswith(f"airkit: A file is in the way\n  where     {where}\n")
    assert (tmp_path / "file").read_text() == "mine"


def test_info_tells_what_a_sweep_is(done: Path) -> None:
    stored = report(done)
    told = json.loads(run("info", done, "--json").stdout)
    assert told == {
        "path": str(done),
        "kind": "sweep",
        **{name: stored[name] for name in ("seeds", "attempted", "failed", "successes")},
        **{name: stored[name] for name in ("threshold", "median", "worst")},
        "runs": ["seed-000", "seed-001"],
        "data": stored["data"],
        "data_digest": state(done / "seed-000").data_digest,
        "config": json.loads((done / "sweep.json").read_text())["config"],
        "settled": told["settled"],
    }
    assert told["settled"]["model.slots"] == 3
    lines = run("info", done).stdout.splitlines()
    assert lines[0].split() == ["sweep", str(done)]
    assert "runs         seed-000, seed-001" in lines
    assert f"  train.steps              {TRAIN['train.steps']}" in lines

    (done / "report.json").unlink()
    told = json.loads(run("info", done, "--json").stdout)
    assert (told["seeds"], told["threshold"], len(told["runs"])) == (None, None, 2)


# Seeds that diverged


def test_a_seed_that_diverged_is_not_told_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, bad = data_file(), torch.full((9, 1, 24, 24), torch.nan)
    monkeypatch.setattr(step, "to_float", lambda images: bad[: len(images)])
    with pytest.raises(TrainingError) as caught:
        fit(tmp_path / "run", data)
    diverged, killed = caught.value.what, "killed by SIGKILL"
    again, anew = "without --fresh, tries {} again", "a new sweep, with another --out and"
    for failures, told, not_told in (
        ([diverged], anew, "again;"),
        ([killed], again.format("them"), anew),
        ([killed, diverged], again.format("the others"), "them"),
        ([killed, diverged], anew, "them"),
        (["A weight is no longer finite"], again.format("them"), anew),
    ):
        rows = [Row(n, f"s/seed-{n:03d}", why, None, None) for n, why in enumerate(failures)]
        with pytest.raises(TrainingError) as caught:
            _exit(SweepReport(Path("s"), Path("d"), 0.99, len(rows), tuple(rows), 1.0))
        assert told in caught.value.hint
        assert not_told not in caught.value.hint
