"""Many seeds: the same runs as one by one, side by side, and none left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import names
from sweeps import InTurn, report, swept
from tiny_runs import TRAIN, Recorder, assert_as_if_never_stopped, data_file, fit

import airkit
from airkit.errors import AirkitError, CheckpointError, DataFileError, OutputError
from airkit.evaluation.evaluate import evaluate
from airkit.runs.sweep_folder import Plan, Trial
from airkit.runs.sweep_report import SweepReport
from airkit.sweeps.engines import Ended
from airkit.sweeps.sweep import sweep
from airkit.sweeps.trial import run_trial
from airkit.system.statistics import wilson


@pytest.fixture(name="done")
def _done(tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(swept(), tmp_path / "sweep"))


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
    inside = ["best.json", "checkpoints", "config.toml", "evaluation.json", "measures.json"]
    assert names(swept() / "seed-001") == [*inside, "metrics.jsonl", "output.log"]
    assert "step 21 of 23: ELBO" in (swept() / "seed-001/output.log").read_text()


def test_finished_seeds_are_kept_and_more_are_added(done: Path) -> None:
    engine, listener = InTurn(), Recorder()
    before = {file: file.read_bytes() for file in done.rglob("seed-*/*") if file.is_file()}
    found = sweep(folder=done, seeds=3, engine=engine, listener=listener)
    assert engine.ran == [2]
    assert listener.notes == [
        "2 of 3 seeds are finished already",
        f"seed 2: count accuracy {100 * found.rows[2].count_accuracy:.2f} %",
    ]
    assert {file: file.read_bytes() for file in before} == before
    assert [row.seed for row in found.rows] == [0, 1, 2]
    fewer = sweep(folder=done, seeds=1, engine=engine)
    assert (engine.ran, [row.seed for row in fewer.rows]) == ([2], [0])


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
    weights = "seed-000/checkpoints/step-000000023.pt"
    assert (done / weights).read_bytes() == (swept() / weights).read_bytes()


def test_settings_without_effect_keep_the_measures(done: Path) -> None:
    engine = InTurn()
    given = {"train.log_every": 1, "train.keep": 9, "render.rows": 1}
    sweep(folder=done, seeds=2, settings=given, engine=engine)
    assert engine.ran == []


def test_a_sweep_from_before_settings_existed_goes_on(done: Path) -> None:
    """They had their defaults then; its seeds are measured again."""
    plan = json.loads((done / "sweep.json").read_text())
    del plan["config"]["train"]["backward"], plan["config"]["eval"]["measures"]
    (done / "sweep.json").write_text(json.dumps(plan))
    assert [row.failure for row in sweep(folder=done, seeds=2, engine=InTurn()).rows] == [
        None,
        None,
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        *("", "{", "[]", '{"config": {}}', "[" * 100_000),
        *({"train_seconds": "1 s"}, {"measures": None}, {"measures": {"count_accuracy": 1}}),
    ],
)
def test_spoilt_measures_are_taken_anew(done: Path, spoil: str | dict[str, Any]) -> None:
    file = done / "seed-001/measures.json"
    damaged = isinstance(spoil, dict) and json.dumps({**json.loads(file.read_text()), **spoil})
    file.write_text(damaged or str(spoil))
    engine = InTurn()
    found = sweep(folder=done, seeds=2, engine=engine)
    assert engine.ran == [1]
    kept = [row["measures"]["count_accuracy"] for row in report(swept())["rows"]]
    assert [row.count_accuracy for row in found.rows] == kept


@pytest.mark.parametrize("setting", ["train.steps", "train.val_every", "train.clip_norm"])
def test_seeds_stay_comparable(done: Path, setting: str) -> None:
    """A run may go on with other steps; a sweep may not, or its seeds would differ in them."""
    with pytest.raises(CheckpointError, match="started with other settings") as caught:
        sweep(folder=done, seeds=3, settings={setting: 30}, engine=InTurn())
    assert f"  where     {done}\n" in str(caught.value)
    assert f"  got       {setting} = 30" in str(caught.value)
    assert "--fresh" in caught.value.hint


@pytest.mark.parametrize("other", [{"seed": 9}, {"canvas_size": 30}])
def test_other_data_are_refused(done: Path, other: dict[str, int]) -> None:
    with pytest.raises(CheckpointError, match="The sweep was trained on other data"):
        sweep(data_file(**other), done, seeds=2, engine=InTurn())


def test_a_data_file_that_was_replaced_meanwhile_is_refused(tmp_path: Path) -> None:
    data, out = tmp_path / "data.h5", tmp_path / "sweep"
    shutil.copy(data_file(), data)
    sweep(data, out, seeds=1, settings=TRAIN, engine=InTurn())
    shutil.copy(data_file(seed=9), data)
    what = "The data file is not the one that the sweep was trained on"
    other = f"--data {data} takes this one all the same; "
    for read in (
        lambda: run_trial(Plan.read(out).trial(1), Recorder()),
        lambda: airkit.report(out),
    ):
        with pytest.raises(DataFileError, match=what) as caught:
            read()
        assert caught.value.hint.startswith(other + "airkit make-data ")
    with pytest.raises(DataFileError, match=what) as caught:
        sweep(folder=out, seeds=2, engine=InTurn())
    assert caught.value.hint.startswith("airkit make-data "), "a sweep has one data file"
    assert names(out) == ["report.json", "seed-000", "sweep.json"]
    assert airkit.report(out, data=data).measures[0].data == str(data)


@pytest.mark.parametrize(
    ("data", "given", "told"),
    [
        ({"test": 0}, {}, "The data file has no canvases in its test split"),
        ({}, {"eval.measures": ["boxes"]}, "Counts are needed here, but are not measured"),
    ],
)
def test_nothing_to_measure_is_told_before_the_training(
    tmp_path: Path, data: dict[str, int], given: dict[str, Any], told: str
) -> None:
    engine = InTurn()
    with pytest.raises(AirkitError, match=told):
        sweep(data_file(**data), tmp_path, settings={**TRAIN, **given}, engine=engine)
    assert engine.ran == []


class Broken(InTurn):
    def check(self) -> None:
        raise AirkitError("No engine", hint="another")


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


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "seed-000").mkdir()
    (tmp_path / "seed-000/notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="no sweep"):
        sweep(data_file(), tmp_path, seeds=1, settings=TRAIN, fresh=fresh, engine=InTurn())
    assert names(tmp_path) == ["seed-000"]
    assert (tmp_path / "seed-000/notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "spoil", ["", "{}", '{"data": "x", "data_digest": "y", "config": {"a": 1}}']
)
def test_a_spoilt_plan_is_told(done: Path, spoil: str) -> None:
    (done / "sweep.json").write_text(spoil)
    with pytest.raises(CheckpointError, match="The sweep's plan cannot be read") as caught:
        sweep(folder=done, engine=InTurn())
    assert "--fresh" in caught.value.hint
    with pytest.raises(CheckpointError, match="The sweep's plan cannot be read") as caught:
        Plan.read(done)
    assert "--fresh" not in caught.value.hint


@pytest.mark.parametrize(
    ("given", "got"),
    [
        *(({"seeds": seeds}, repr(seeds)) for seeds in (0, 1.0, "2", True, None)),
        ({"seeds": np.int64(-1)}, "-1"),
        *(({"threshold": share}, repr(share)) for share in (99.0, "0.9", True, None)),
        ({"threshold": np.float32("nan")}, "nan"),
    ],
)
def test_numbers_that_cannot_be(given: dict[str, Any], got: str) -> None:
    with pytest.raises(AirkitError, match="seeds" if "seeds" in given else "threshold") as caught:
        sweep(data_file(), **given)
    assert f"  got       {got}\n" in str(caught.value)
    assert caught.value.hint.startswith("--")


def test_numbers_of_numpy_are_taken(done: Path) -> None:
    numbers: Any = {"seeds": np.int64(2), "threshold": np.float32(0.5)}
    found = sweep(folder=done, **numbers, engine=InTurn())
    assert (report(done)["seeds"], report(done)["threshold"]) == (2, 0.5)
    assert SweepReport.read(done).rows == found.rows
