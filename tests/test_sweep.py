"""Many seeds: the same runs as one by one, side by side, and none left out of the report."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from command_line import fails, run
from tiny_runs import (
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    folder,
    same,
    state,
)

from airkit.errors import AirkitError, CheckpointError, DataFileError, OutputError
from airkit.evaluation import evaluate
from airkit.settings import spelled
from airkit.statistics import wilson
from airkit.sweeping.engines import Ended, Engine, Processes
from airkit.sweeping.report import Row, SweepReport
from airkit.sweeping.sweep import sweep
from airkit.sweeping.trial import Trial


class InTurn(Engine):
    """Runs trials in this process, but for the seeds that are to fail or to stop it."""

    def __init__(self, *, fail: Sequence[int] = (), stop_at: int | None = None) -> None:
        self.fail, self.stop_at = fail, stop_at
        self.ran: list[int] = []

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
        for trial in trials:
            if trial.seed == self.stop_at:
                signal.raise_signal(signal.SIGTERM)
            if stop():
                return
            self.ran.append(trial.seed)
            if trial.seed in self.fail:
                yield trial, "killed by SIGKILL"
            else:
                assert trial.go(Recorder())
                yield trial, None


@cache
def swept() -> Path:
    """A sweep of two seeds by processes of their own."""
    path = folder() / "sweep"
    sweep(data_file(), path, seeds=2, settings=TRAIN, engine=Processes(workers=2))
    return path


@pytest.fixture(name="done")
def _done(tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(swept(), tmp_path / "sweep"))


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "report.json").read_text())
    return found


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_each_seed_is_the_run_of_train_and_the_measures_of_eval(tmp_path: Path) -> None:
    for seed, row in enumerate(report(swept())["rows"]):
        fit(tmp_path / str(seed), train__seed=seed)
        assert_as_if_never_stopped(swept() / f"seed-{seed:03d}", tmp_path / str(seed))
        apart = ("run", "checkpoint", "seconds")
        measures = json.loads(json.dumps(evaluate(tmp_path / str(seed)).to_dict()))
        for name in measures.keys() - set(apart):
            assert row["measures"][name] == measures[name], name
        assert (row["seed"], row["failure"]) == (seed, None)


def test_its_folder() -> None:
    assert names(swept()) == ["report.json", "seed-000", "seed-001", "sweep.json"]
    inside = ["best.json", "checkpoints", "config.toml", "measures.json", "metrics.jsonl"]
    assert names(swept() / "seed-001") == [*inside, "output.log"]
    assert "step 21 of 23: ELBO" in (swept() / "seed-001/output.log").read_text()


def test_finished_seeds_are_kept_and_more_are_added(done: Path) -> None:
    engine, listener = InTurn(), Recorder()
    before = {file: file.read_bytes() for file in done.rglob("seed-*/*") if file.is_file()}
    found = sweep(folder=done, seeds=3, engine=engine, listener=listener)
    assert engine.ran == [2]
    assert listener.notes[0] == "2 of 3 seeds are finished already"
    assert listener.notes[1] == f"seed 2: count accuracy {100 * found.rows[2].count_accuracy:.2f} %"
    assert {file: file.read_bytes() for file in before} == before
    assert [row.seed for row in found.rows] == [0, 1, 2]


def test_fewer_seeds_are_reported_alone(done: Path) -> None:
    found = sweep(folder=done, seeds=1, engine=InTurn())
    assert [row.seed for row in found.rows] == [0]
    assert (done / "seed-001").exists()


def test_seeds_are_counted_up_from_the_first(tmp_path: Path) -> None:
    engine = InTurn()
    sweep(data_file(), tmp_path, seeds=2, settings={**TRAIN, "train.seed": 7}, engine=engine)
    assert engine.ran == [7, 8]
    assert "seed = 8" in (tmp_path / "seed-008/config.toml").read_text()


def test_a_failure_leaves_the_others_and_counts_against(tmp_path: Path) -> None:
    found = sweep(
        data_file(), tmp_path, seeds=3, settings=TRAIN, threshold=0, engine=InTurn(fail=[1])
    )
    assert [row.failure for row in found.rows] == [None, "killed by SIGKILL", None]
    assert (found.successes, found.stopped, found.worst.seed) == (2, False, 1)
    assert found.success_interval == wilson(2, 3)
    again = InTurn()
    found = sweep(folder=tmp_path, seeds=3, threshold=0, engine=again)
    assert again.ran == [1]
    assert found.successes == 3


def test_a_stop_begins_no_more_seeds(tmp_path: Path) -> None:
    found = sweep(data_file(), tmp_path, seeds=3, settings=TRAIN, engine=InTurn(stop_at=1))
    assert found.stopped
    assert [row.seed for row in found.rows] == [0]
    engine = InTurn()
    assert not sweep(folder=tmp_path, seeds=3, engine=engine).stopped
    assert engine.ran == [1, 2]


def test_measures_of_other_settings_are_taken_anew(done: Path) -> None:
    engine = InTurn()
    found = sweep(folder=done, seeds=2, settings={"eval.looks": 1}, engine=engine)
    assert engine.ran == [0, 1]
    assert [row.measures["looks"] for row in found.rows if row.measures] == [1, 1]
    assert (done / "seed-000/checkpoints/step-000000023.pt").read_bytes() == (
        swept() / "seed-000/checkpoints/step-000000023.pt"
    ).read_bytes()


@pytest.mark.parametrize("setting", ["train.steps", "train.val_every", "train.clip_norm"])
def test_seeds_stay_comparable(done: Path, setting: str) -> None:
    """A run may go on with other steps; a sweep may not, or its seeds would differ in them."""
    with pytest.raises(CheckpointError, match=f"got       {setting} = 30"):
        sweep(folder=done, seeds=3, settings={setting: 30}, engine=InTurn())


def test_settings_without_effect_keep_the_measures(done: Path) -> None:
    engine = InTurn()
    given = {"train.log_every": 1, "train.keep": 9, "render.rows": 1}
    sweep(folder=done, seeds=2, settings=given, engine=engine)
    assert engine.ran == []


@pytest.mark.parametrize("spoil", ["", "{", "[]", '{"config": {}}'])
def test_spoilt_measures_are_taken_anew(done: Path, spoil: str) -> None:
    (done / "seed-001/measures.json").write_text(spoil)
    engine = InTurn()
    found = sweep(folder=done, seeds=2, engine=engine)
    assert engine.ran == [1]
    kept = [row["measures"]["count_accuracy"] for row in report(swept())["rows"]]
    assert [row.count_accuracy for row in found.rows] == kept


def test_other_settings_are_refused(done: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        sweep(folder=done, seeds=2, settings={"train.batch_size": 4}, engine=InTurn())
    assert str(caught.value) == (
        "The sweep was started with other settings\n"
        f"  where     {done}\n"
        "  expected  train.batch_size = 8\n"
        "  got       train.batch_size = 4\n"
        "  try       leave those out to go on, name another --out, or start anew with --fresh"
    )


@pytest.mark.parametrize("other", [{"seed": 9}, {"canvas_size": 30}])
def test_other_data_are_refused(done: Path, other: dict[str, int]) -> None:
    with pytest.raises(CheckpointError, match="The sweep was trained on other data"):
        sweep(data_file(**other), done, seeds=2, engine=InTurn())


def test_nothing_to_measure_is_told_before_the_training(tmp_path: Path) -> None:
    engine = InTurn()
    with pytest.raises(DataFileError, match="The data file has no canvases in its test split"):
        sweep(data_file(test=0), tmp_path, settings=TRAIN, engine=engine)
    assert engine.ran == []


class Broken(InTurn):
    def check(self) -> None:
        raise AirkitError("No engine")


def test_fresh_removes_nothing_for_an_engine_that_cannot_run(done: Path) -> None:
    before = names(done)
    with pytest.raises(AirkitError, match="No engine"):
        sweep(data_file(), done, settings=TRAIN, fresh=True, engine=Broken())
    assert names(done) == before


def test_another_sweep_in_the_folder_is_refused(done: Path) -> None:
    class Second(InTurn):
        def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> Iterator[Ended]:
            with pytest.raises(OutputError, match="Another sweep is at work in this folder"):
                sweep(folder=done, engine=InTurn())
            yield from super().run(trials, stop)

    assert sweep(folder=done, seeds=3, engine=Second()).rows[2].failure is None


def test_fresh_removes_the_runs_and_nothing_else(done: Path) -> None:
    (done / "notes.txt").write_text("mine")
    (done / "seed-of-doubt").mkdir()
    engine = InTurn()
    sweep(
        data_file(), done, seeds=1, settings={**TRAIN, "train.steps": 5}, fresh=True, engine=engine
    )
    assert engine.ran == [0]
    kept = ["notes.txt", "report.json", "seed-000", "seed-of-doubt", "sweep.json"]
    assert names(done) == kept
    assert not (done / "seed-000/checkpoints/step-000000023.pt").exists()


def test_fresh_touches_no_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "seed-000").mkdir()
    (tmp_path / "seed-000/notes.txt").write_text("mine")
    sweep(data_file(), tmp_path, seeds=1, settings=TRAIN, fresh=True, engine=InTurn())
    assert (tmp_path / "seed-000/notes.txt").exists()


@pytest.mark.parametrize(
    "spoil", ["", "{}", '{"data": "x", "data_digest": "y", "config": {"a": 1}}']
)
def test_a_spoilt_plan_is_told(done: Path, spoil: str) -> None:
    (done / "sweep.json").write_text(spoil)
    with pytest.raises(CheckpointError, match="The sweep's plan cannot be read"):
        sweep(folder=done, engine=InTurn())


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(AirkitError, match="A sweep needs seeds"):
        sweep(data_file(), seeds=0)
    with pytest.raises(AirkitError, match="The threshold is a share of canvases"):
        sweep(data_file(), threshold=99)


# The report


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


def test_a_failed_seed_is_no_success_at_any_threshold() -> None:
    rows = (row(0, None),)
    assert SweepReport(Path("s"), Path("d"), 0.0, 1, rows, 1.0).successes == 0


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
    assert [values[name] for name in ("success_rate", "success_interval", "median", "worst")] == [
        None
    ] * 4


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


def test_the_command_as_json(done: Path) -> None:
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
    assert result.stderr.splitlines()[-4:] == [
        "airkit: 1 of 2 seeds failed",
        f"  where     {done}/seed-001",
        "  got       This checkpoint cannot be read",
        "  try       the same command, without --fresh, tries those again; remove the folder of "
        "a seed to train it anew",
    ]


def test_interrupted_and_gone_on(tmp_path: Path) -> None:
    """As in a shell: Ctrl-C in the midst of a training, then the same command again."""
    out, steps = tmp_path / "sweep", 600
    where = ("--data", str(data_file()), "--out", str(out), "--seeds", "1")
    command = [sys.executable, "-m", "airkit", "sweep", *where, *options(), "--steps", str(steps)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "seed-000/metrics.jsonl").exists():
        assert time.monotonic() < deadline, "the training does not begin"
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=60)[1]
    assert said == "stopped, 0 of 1 seeds done; the same command, without --fresh, goes on\n"
    assert first.returncode == 130
    assert not (out / "seed-000/measures.json").exists()
    subprocess.run(command, capture_output=True, check=True)
    fit(tmp_path / "whole", train__steps=steps)
    assert same(state(out / "seed-000", steps).model, state(tmp_path / "whole", steps).model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0"], "A sweep needs seeds"),
        (["--threshold", "99"], "The threshold is a share of canvases"),
        (["--engine", "cloud"], "No such engine"),
        (["--job", "a=1"], "--job is told to submitit only"),
        (["--engine", "submitit", "--job", "a"], "Cannot read a job parameter"),
    ],
)
def test_what_the_command_refuses(home: Path, words: list[str], message: str) -> None:
    assert fails("sweep", *words).startswith(f"airkit: {message}\n")
    assert list(home.iterdir()) == []
