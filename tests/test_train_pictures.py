"""``airkit.train(images=...)``: pictures are kept in the run folder, and the same call goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import command_line
import numpy as np
import pytest
import tiny_runs
import torch
from own_pictures import blobs, save
from test_trust import TOO_MANY, verdict

import airkit
from airkit.cli.train import _tell
from airkit.errors import AirkitError, CheckpointError, ImageError

SMALL: dict[str, Any] = {
    "model.window_size": 8,
    "model.hidden_size": 16,
    "train.steps": 2,
    "train.batch_size": 8,
    "train.device": "cpu",
    "eval.looks": 1,
}
IMAGES = blobs(60)["images"]


def trained(run: Path, images: Any = IMAGES, steps: int = 2, **more: Any) -> Any:
    """Train a few steps on pictures."""
    return airkit.train(run=run, images=images, settings={**SMALL, "train.steps": steps}, **more)


def files(run: Path) -> dict[str, bytes]:
    """All files of a run folder."""
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_same_call_goes_on_and_the_run_can_be_evaluated(tmp_path: Path) -> None:
    run, heard = tmp_path / "run", tiny_runs.Recorder()
    first = trained(run, listener=heard)
    assert first.data == run / "pictures.h5"
    assert any("background" in note for note in heard.notes)
    assert airkit.evaluate(run).canvases == 6
    assert first.trust is not None
    assert first.trust.signs.pictures == 6
    second = trained(run, steps=3)
    assert (second.resumed_from, second.steps) == (2, 3)
    assert [path.name for path in run.glob("pictures*")] == ["pictures.h5"]
    assert airkit.train(run=run, settings={"train.steps": 4}).resumed_from == 3


@pytest.mark.parametrize("given", ["folder", "tensor", "file", "colour"])
def test_whatever_import_takes_is_taken(tmp_path: Path, given: str) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    images = {
        "folder": save(tmp_path / "pictures", IMAGES),
        "tensor": torch.from_numpy(IMAGES),
        "file": str(tmp_path / "a.npy"),
        "colour": np.repeat(IMAGES[..., None], 3, -1),
    }[given]
    assert trained(tmp_path / "run", images).steps == 2
    assert trained(tmp_path / "run", images, steps=3).resumed_from == 2


def test_other_pictures_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    trained(run := tmp_path / "run")
    before = files(run)
    for images in (IMAGES[:50], 255 - IMAGES):
        with pytest.raises(CheckpointError, match="other pictures"):
            trained(run, images)
    assert files(run) == before
    assert trained(run, 255 - IMAGES, fresh=True).resumed_from == 0
    assert trained(run, 255 - IMAGES, steps=3).resumed_from == 2


def test_pictures_stay_where_a_new_training_of_others_cannot_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(run := tmp_path / "run")
    before = files(run)
    with monkeypatch.context() as patch:
        patch.setattr("airkit.training.train.Loop", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trained(run, 255 - IMAGES, fresh=True)
    assert files(run) == before
    assert trained(run, steps=3).resumed_from == 2


def test_a_run_on_a_data_file_takes_no_pictures(tmp_path: Path) -> None:
    airkit.import_scenes(IMAGES, path=tmp_path / "a.h5")
    airkit.train(tmp_path / "a.h5", run := tmp_path / "run", settings=SMALL)
    before = files(run)
    with pytest.raises(CheckpointError, match="other pictures"):
        trained(run)
    assert files(run) == before


def test_bad_pictures_leave_nothing(tmp_path: Path) -> None:
    bad: list[Any] = [np.zeros((9, 24, 24)), tmp_path / "none", np.zeros(3), []]
    for images in bad:
        with pytest.raises(ImageError):
            trained(tmp_path / "run", images)
    assert not files(tmp_path)


def test_one_of_data_and_images_is_given(tmp_path: Path) -> None:
    with pytest.raises(AirkitError, match="Both"):
        airkit.train("a.h5", tmp_path, images=IMAGES)
    with pytest.raises(AirkitError, match="images="):
        airkit.train(IMAGES, tmp_path)  # type: ignore[arg-type]


def test_a_verdict_ends_a_training_on_pictures_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = trained(tmp_path / "run")
    _tell(report)
    assert ("in doubt" in capsys.readouterr().out) == (report.trust.verdict == "doubt")
    assert trained(tmp_path / "run").trust is None, "nothing was trained"
    _tell(replace(report, trust=replace(report.trust, trouble=("all wet",), advice=("dry it",))))
    assert "try              dry it" in capsys.readouterr().out
    digits = tiny_runs.fit(tmp_path / "digits", train__steps=1)
    assert digits.trust is None


def test_a_verdict_that_was_not_reached_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = mock.Mock(side_effect=KeyboardInterrupt)
    with monkeypatch.context() as patch:
        patch.setattr("airkit.training.loop.judge_results", stopped)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run")
    again = trained(tmp_path / "run")
    assert (again.resumed_from, again.trust is None) == (2, False)


def test_a_listener_hears_the_verdict_and_the_command_tells_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubted = verdict(**TOO_MANY)
    monkeypatch.setattr("airkit.training.loop.judge_results", lambda *_: doubted)
    heard = tiny_runs.Recorder()
    report = trained(tmp_path / "run", listener=heard)
    assert [note for note in heard.notes if note.startswith(("in doubt: ", "try: "))] == [
        f"{label}: {value}" for label, value in doubted.rows()
    ]
    assert doubted.trouble[0] in str(report)
    assert f"<th>in doubt</th><td>{doubted.trouble[0]}" in report._repr_html_()
    words = ("--data", report.data, "--run", tmp_path / "again", "--set", "train.steps=1")
    told = command_line.run("train", *words)
    assert told.exit_code == 0, told.output
    assert (told.stdout.count(doubted.trouble[0]), told.stderr.count("in doubt")) == (1, 0)


def test_evaluation_says_whether_to_trust_what_nobody_counted(tmp_path: Path) -> None:
    trained(run := tmp_path / "run")
    told = command_line.run("eval", "--run", run).stdout
    assert told.count("\ntrust ") + told.count("\nin doubt ") == 1
    plain = json.loads(command_line.run("eval", "--run", run, "--json").stdout)
    assert plain["trust"]["verdict"] in ("trust", "doubt")
    text = airkit.report(run).path.read_text("utf-8")
    assert "Trust</h2>" in text
