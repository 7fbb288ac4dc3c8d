"""What ``airkit eval`` found is kept in the run folder, and a report uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
from report_reader import timeless
from reports import reported, text_of

import airkit
from airkit.evaluation import result_cache
from airkit.evaluation.evaluate import Evaluation
from airkit.runs.folder import RunFolder

LOOKED = RuntimeError("looked at the canvases again")


def run_in(path: Path) -> Path:
    """A copy of the reference run of which nothing is kept yet."""
    shutil.copytree(tiny_runs.reference(), path / "run")
    kept_in(path / "run").unlink(missing_ok=True)
    return path / "run"


def kept_in(run: Path) -> Path:
    return RunFolder(run).evaluation


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Refuses to look at a whole split from its call on."""

    def refuse() -> None:
        def all_(*_: object) -> None:
            raise LOOKED

        monkeypatch.setattr(Evaluation, "all", all_)

    return refuse


def test_a_report_after_eval_is_the_same_and_looks_no_more(tmp_path: Path, once: Any) -> None:
    run = run_in(tmp_path)
    airkit.evaluate(run)
    moved = run.rename(tmp_path / tiny_runs.reference().name)
    fresh = timeless(reported()[1]).replace(str(tiny_runs.reference()), str(moved))
    once()
    written = airkit.report(moved, out=tmp_path / "it.html")
    assert written.measures[0].run == str(moved)
    assert timeless(written.path.read_text(encoding="utf-8")) == fresh


def test_two_runs_are_compared_by_what_was_kept(tmp_path: Path, once: Any) -> None:
    one, other = run_in(tmp_path / "a"), run_in(tmp_path / "b")
    expected = [airkit.evaluate(run).count_accuracy for run in (one, other)]
    once()
    written = airkit.report([one, other], out=tmp_path / "it.html")
    assert [each.count_accuracy for each in written.measures] == expected


@pytest.mark.parametrize(
    "keys",
    [
        {"settings": {"eval.looks": 2}},
        {"settings": {"eval.split": "val"}},
        {"settings": {"model.slots": 5}},
        {"checkpoint": "first"},
        {"data": {"seed": 5}},
    ],
    ids=str,
)
def test_other_settings_checkpoints_and_canvases_are_measured(
    keys: dict[str, Any], tmp_path: Path, once: Any
) -> None:
    run = run_in(tmp_path)
    airkit.evaluate(run)
    once()
    if "data" in keys:
        keys = {"data": tiny_runs.data_file(**keys["data"])}
    if "checkpoint" in keys:
        keys = {"checkpoint": str(RunFolder(run).saved()[0])}
    with pytest.raises(RuntimeError, match="again"):
        text_of(tmp_path, run, **keys)
    text_of(tmp_path, run, settings={"render.columns": 2})


def test_results_of_other_code_are_measured_again(
    tmp_path: Path, once: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path)
    airkit.evaluate(run)
    monkeypatch.setattr(result_cache, "_code", result_cache._code.__wrapped__)
    monkeypatch.setattr(result_cache, "__file__", str(tmp_path / "package" / "result_cache.py"))
    once()
    with pytest.raises(RuntimeError, match="again"):
        text_of(tmp_path, run)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"measures": {', '"measures": {"seconds": "x", "y": ', 1),
        lambda text: text.replace('"canvases": ["', '"canvases": ["AAAA', 1),
        lambda text: json.dumps({**json.loads(text), "canvases": [1, 2]}),
        lambda text: json.dumps({**json.loads(text), "measures": {"canvases": 1}}),
    ],
)
def test_a_damaged_file_is_as_none(damage: Any, tmp_path: Path, once: Any) -> None:
    run = run_in(tmp_path)
    airkit.evaluate(run)
    kept_in(run).write_text(damage(kept_in(run).read_text()))
    once()
    with pytest.raises(RuntimeError, match="again"):
        text_of(tmp_path, run)


def test_where_nothing_can_be_kept_all_goes_on(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    kept_in(run).mkdir()
    assert airkit.evaluate(run).canvases == 20
    assert [*kept_in(run).iterdir()] == []


def test_results_of_classes_from_outside_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "from airkit.evaluation.measures import Reconstruction\nclass Own(Reconstruction): ..."
    (tmp_path / "kept_own.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    run = run_in(tmp_path)
    airkit.evaluate(run, settings={"eval.measures": ["counts", "kept_own:Own"]})
    assert not kept_in(run).exists()


def test_a_new_training_removes_it(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    airkit.evaluate(run)
    tiny_runs.fit(run, fresh=True, train__steps=1)
    assert not kept_in(run).exists()
