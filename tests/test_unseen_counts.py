"""The benchmarks of counts never trained on: what they make, count and keep, and their table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import common
import measured
import pytest
import runs
from command_line import run
from tiny_runs import data_file, fit, reference

from airkit.data.dataset import CanvasDataset
from airkit.evaluation.evaluate import evaluate


def test_canvases_to_train_on_lack_a_count_and_those_to_count_on_none(tmp_path: Path) -> None:
    model = common.Model("gap", "tiny", counts=(0, 1, 3), canvas=40)
    test = common.Canvases(side=80, most=4, number=60)
    few = ("--train", "80", "--val", "8", "--test", "40")
    for name, options in (("gap", (*model.options(), *few)), ("test", test.options())):
        out = tmp_path / f"{name}.h5"
        done = run("make-data", "--out", out, "--source", "strokes", *options)
        assert done.exit_code == 0, done.output
    train = CanvasDataset(tmp_path / "gap.h5", "train")
    assert set(train.truth("counts").tolist()) == {0, 1, 3}
    assert train.images.shape == (80, 1, 40, 40)
    canvases = CanvasDataset(tmp_path / "test.h5", "test")
    assert set(canvases.truth("counts").tolist()) == {0, 1, 2, 3, 4}
    assert canvases.images.shape == (60, 1, 80, 80)
    assert len(CanvasDataset(tmp_path / "test.h5", "train")) == 0


def test_what_is_counted_is_what_eval_counts() -> None:
    larger = data_file(canvas_size=40, max_digits=4)
    found, measures = common.counted(reference(), larger), evaluate(reference(), larger)
    shares = {str(row["digits"]): row["right"] / row["canvases"] for row in found["counts"]}
    assert shares == measures.per_count_accuracy
    one_look = sum(row["right_one_look"] for row in found["counts"]) / measures.canvases
    assert one_look == measures.count_accuracy_one_look
    assert (found["slots"], found["looks"]) == (5, 3)


def test_a_canvas_that_the_guide_cannot_read_is_told(tmp_path: Path) -> None:
    fit(tmp_path, guide__kind="lstm", guide__rnn_size=12, train__steps=2)
    said = "The lstm guide of this run reads canvases of one size only"
    assert common.counted(tmp_path, data_file(canvas_size=30)) == {"refused": said}
    assert common.counted(tmp_path, data_file(max_digits=3))["slots"] == 4


def test_from_training_to_the_file_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(*arguments: str) -> str:
        sizes = {"make-data": ("--train", "40", "--val", "8"), "train": ("--steps", "2")}
        done = run(*arguments, *sizes[arguments[0]])
        assert done.exit_code == 0, done.output
        return done.stdout

    monkeypatch.setattr(runs, "airkit_command", few)
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    args = argparse.Namespace(
        source="strokes", seeds=[4, 7], lstm_seeds=[9], folder=tmp_path / "runs"
    )
    models = [common.Model("gap", "tiny", counts=(0, 1, 3), canvas=32)]
    tests = [common.Canvases(side=36, most=2, number=20)]
    common.measure("gap", args, models, tests)
    report = json.loads((tmp_path / "gap.json").read_text(encoding="utf-8"))
    said = "python benchmarks/paper/gap.py --source FOLDER --seeds 4 7 --lstm-seeds 9"
    assert report["command"] == said
    assert [(row["seed"], row["canvas"]) for row in report["rows"]] == [(4, 36), (7, 36)]
    for row in report["rows"]:
        assert row["preset"] == "tiny"
        assert row["trained_on"] == {"canvas": 32, "counts": [0, 1, 3]}
        assert sum(count["canvases"] for count in row["counts"]) == 20
    monkeypatch.setattr(common, "counted", None)
    common.measure("gap", args, models, tests)
    assert json.loads((tmp_path / "gap.json").read_text(encoding="utf-8")) == report
    assert [row[3:5] for row in measured.unseen(report["rows"])[1]] == [
        ("0", "yes"),
        ("1", "yes"),
        ("2", "no"),
    ]


def row(seed: int, *counts: tuple[int, int, int, int], looks: int = 16) -> dict[str, Any]:
    keys = ("digits", "canvases", "right_one_look", "right")
    return {
        "preset": "default",
        "trained_on": {"canvas": 50, "counts": [0, 1, 2]},
        "seed": seed,
        "canvas": 80,
        "looks": looks,
        "counts": [dict(zip(keys, count, strict=True)) for count in counts],
    }


def test_the_table_has_every_seed_and_the_interval_of_the_worst() -> None:
    heads, rows = measured.unseen(
        [row(0, (2, 50, 50, 50), (3, 100, 90, 98)), row(1, (2, 50, 49, 50), (3, 100, 88, 95))]
    )
    assert {len(heads)} == set(map(len, rows))
    model = ("default", "0, 1 and 2 digits, 50 px", "80 px")
    assert rows == [
        (*model, "2", "yes", "50", "100.0, 98.0 %", "100.0, 100.0 %", "92.9 to 100.0 %"),
        (*model, "3", "no", "100", "90.0, 88.0 %", "98.0, 95.0 %", "88.8 to 97.8 %"),
    ]


def test_the_table_tells_what_is_missing() -> None:
    """The best of several looks where there was one, and what was refused."""
    (only,) = measured.unseen([row(0, (3, 100, 88, 88), looks=1)])[1]
    assert only[-3:] == ("88.0 %", "", "80.2 to 93.0 %")
    refused = {**row(0), "refused": "no"}
    heads, (only,) = measured.unseen([refused, {**refused, "seed": 1}])
    assert only[2:] == ("80 px", "any", "", "", "refused", "refused", "")
    assert len(heads) == len(only)
