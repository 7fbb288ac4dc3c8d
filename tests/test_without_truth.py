"""Every command on a data file that has images alone: it works, or says in one message why not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from command_line import fails, run
from some_truth import knowing, write
from tiny_runs import TRAIN, Recorder, data_file, fit, metrics, reference, state

import airkit
from airkit.data.reader import read_split
from airkit.web.session import open_session

STEPS = 10


@pytest.fixture(name="blind", scope="module")
def _blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data file without truth, and a run on it."""
    folder = tmp_path_factory.mktemp("blind")
    fit(folder / "run", write(folder / "data.h5", knowing()), train__steps=STEPS)
    return folder


def told(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return str(result.output)


def test_training_keeps_the_checkpoint_of_the_best_elbo(blind: Path) -> None:
    rows = [row for row in metrics(blind / "run") if "val_elbo" in row]
    best = max(rows, key=lambda row: row["val_elbo"])
    assert all("val_count_accuracy" not in row for row in rows)
    found = state(blind / "run", STEPS).best
    assert found is not None
    assert (found.step, found.count_accuracy) == (best["step"], None)
    assert airkit.describe(blind / "run").to_dict()["best"]["count_accuracy"] is None


def test_weights_do_not_depend_on_truth(blind: Path, tmp_path: Path) -> None:
    fit(tmp_path / "run", train__steps=STEPS)
    seen, not_seen = (state(each / "run", STEPS).model for each in (tmp_path, blind))
    assert all(np.array_equal(seen[name], not_seen[name]) for name in seen)


def test_evaluation_measures_what_needs_no_truth(blind: Path) -> None:
    listener = Recorder()
    found = airkit.evaluate(blind / "run", listener=listener)
    assert any("no true counts and boxes" in note for note in listener.notes)
    plain = found.to_dict()
    unknown = ("count_accuracy", "per_count_accuracy", "confusion", "mean_iou", "ap50",
               "calibration", "calibration_one_look", "per_count_accuracy_one_look")  # fmt: skip
    assert all(plain[name] is None for name in unknown)
    assert all(math.isfinite(plain[name]) for name in ("elbo", "log_likelihood_bound", "mse"))


COMMANDS = {
    "train": "train --data {0}/data.h5 --run {1}/run --steps 2 --set train.val_every=1",
    "train again": "train --run {0}/run --steps 10",
    "eval": "eval --run {0}/run",
    "infer": "infer {1}/image.npy --run {0}/run",
    "predict": "predict {0}/run --out {1}/found.jsonl",
    "report": "report --run {0}/run --out {1}/report.html",
    "info of data": "info {0}/data.h5 --verify",
    "info of a run": "info {0}/run",
    "export": "export {0}/data.h5 --out {1}/out",
    **{
        kind: f"render --kind {kind} --run {{0}}/run --out {{1}}/a.png"
        for kind in ("reconstructions", "steps", "policy", "data", "curves", "prior")
    },
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work(blind: Path, tmp_path: Path, command: str) -> None:
    np.save(tmp_path / "image.npy", read_split(blind / "data.h5", "test").image[0])
    words = COMMANDS[command].format(blind, tmp_path).split()
    if command == "train":
        words += [f"--set={key}={it}" for key, it in TRAIN.items() if key.startswith("model.")]
    assert "nan" not in told(*words).lower()


@pytest.mark.parametrize(
    "command",
    [
        "eval --run {0}/run --against {0}/run",
        "render --kind errors --run {0}/run --out {1}/a.png",
        "sweep --data {0}/data.h5 --out {1}/sweep --seeds 2",
        "report --run {0}/run --run {2} --data {0}/data.h5 --out {1}/a.html",
    ],
)
def test_commands_that_need_counts_say_so(blind: Path, tmp_path: Path, command: str) -> None:
    message = fails(*command.format(blind, tmp_path, reference()).split())
    assert "no true counts" in message
    assert "data.h5" in message
    assert [*tmp_path.rglob("*.png"), *tmp_path.rglob("*.html"), *tmp_path.rglob("*.json")] == []


def test_what_is_exported_without_boxes(blind: Path, tmp_path: Path) -> None:
    listener = Recorder()
    done = airkit.export(blind / "data.h5", tmp_path / "out", listener=listener)
    assert dict(done.counts) == {"images": 20, "annotations": 0}
    assert any("without annotations" in note for note in listener.notes)
    found = json.loads((tmp_path / "out/annotations.json").read_text())
    assert (len(found["images"]), found["categories"]) == (20, [])
    assert "annotations" not in found, "an empty list would say that there are no objects"
    again = airkit.import_scenes(tmp_path / "out", path=tmp_path / "again.h5")
    assert set(again.truth.values()) == {()}


def test_boxes_without_labels_are_of_one_category(tmp_path: Path) -> None:
    data = write(tmp_path / "data.h5", knowing("count", "box"))
    done = airkit.export(data, tmp_path / "out")
    found = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [each["name"] for each in found["categories"]] == ["object"]
    assert len(found["annotations"]) == done.counts["annotations"] > 0
    assert {each["category_id"] for each in found["annotations"]} == {1}


def test_counts_alone_are_enough_to_be_measured(blind: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.h5", knowing("count", splits=["test"]))
    found = airkit.evaluate(blind / "run", data).to_dict()
    assert found["mean_iou"] is None
    assert found["count_accuracy"] == airkit.evaluate(blind / "run", data_file()).count_accuracy
    told("report", "--run", blind / "run", "--data", data, "--out", tmp_path / "a.html")
    told(
        "render",
        "--kind",
        "errors",
        "--run",
        blind / "run",
        "--data",
        data,
        "--out",
        tmp_path / "a.png",
    )


def test_the_demo_shows_a_canvas_whose_count_is_not_known(blind: Path) -> None:
    session = open_session(blind / "run", "best", (), Recorder())
    seen = session.random()
    assert seen is not None
    assert seen["true_count"] is None


def test_eval_tells_how_many_objects_it_finds(blind: Path) -> None:
    told = run("eval", "--run", str(blind / "run")).stdout
    assert "on a canvas, on average; true counts are not known" in told
    assert not any(line.endswith(" -") for line in told.splitlines())
