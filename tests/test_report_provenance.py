"""A report tells where its runs come from, and how to make it anew."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import command_line
import tiny_runs
from report_reader import Reader, commands, timeless
from reports import plain, text_of

import airkit
from airkit.config import settings
from airkit.config.schema import Config
from airkit.data.reader import read_info
from airkit.figures import Request
from airkit.runs.folder import RunFolder
from airkit.runs.trained import open_model
from airkit.system.callbacks import SILENT, Listener
from airkit.web import provenance

USUAL = dict(settings.flatten(Config().model_dump()))


def test_settings_beside_the_nearest_preset() -> None:
    tiny = settings.resolve(
        settings.from_preset("tiny"), *settings.layers({"train.seed": 7, "guide.kind": "lstm"})
    )
    changed = {"guide.kind": ("saliency", "lstm"), "train.seed": ("0", "7")}
    assert provenance.from_preset(tiny) == ("tiny", changed)
    assert provenance.from_preset(Config()) == ("default", {})
    rows = {row[0]: row[1:] for row in plain().table("setting")[1:]}
    config = open_model(tiny_runs.reference(), "last", (), SILENT).state.config
    nearest, differing = provenance.from_preset(config)
    assert rows == {key: list(values) for key, values in differing.items()}
    assert plain().table("setting")[0] == ["setting", nearest, "this run"]
    assert rows["data.canvas_size"][1] == "24"


def test_provenance_names_digests_seeds_and_versions() -> None:
    rows, info = plain().facts, read_info(tiny_runs.data_file())
    assert rows["data digest"] == rows["content digest"] == info.content_digest
    assert rows["source digest"] == info.source_digest
    assert rows["airkit"] == airkit.__version__
    assert [rows[f"{name}.seed"] for name in ("data", "train", "eval")] == ["0", "0", "0"]


def test_commands_make_it_anew(home: Path) -> None:
    data = home / "it's data.h5"
    given = [f"--set={key}={settings.spelled(value)}" for key, value in tiny_runs.TRAIN.items()]
    made = [f"--set={key}={settings.spelled(value)}" for key, value in tiny_runs.DATA.items()]
    assert command_line.run("make-data", "--out", data, *made).exit_code == 0
    assert command_line.run("train", "--data", data, "--run", "run", *given).exit_code == 0
    assert command_line.run("report", "--run", "run", "--looks", 2).exit_code == 0
    report = home / "run" / "report.html"
    first = report.read_text(encoding="utf-8")
    (home / "run").rename("first")
    data.unlink()
    for command in commands(first):
        result = command_line.run(*shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    assert timeless(report.read_text(encoding="utf-8")) == timeless(first)


def test_what_the_run_was_is_not_what_the_call_says(tmp_path: Path) -> None:
    """The call says how to measure and draw; its other settings do not change the run."""
    data, moved, run = (tmp_path / name for name in ("data.h5", "moved.h5", "run"))
    shutil.copy(tiny_runs.data_file(source="auto"), data)
    tiny_runs.fit(run, data)
    data.rename(moved)
    measuring = {"eval.looks": 2, "eval.seed": 4, "train.device": "auto", "render.columns": 3}
    run_as = {"guide.kind": "lstm", "train.steps": 9, "train.seed": 9}
    made_as = {"data.seed": 9, "data.canvas_size": 99, "data.max_digits": 3, "data.digit_size": 20}
    asked = {**measuring, **run_as, **made_as}
    text = text_of(tmp_path, run, data=moved, settings=asked, listener=Listener())
    reader = Reader(text)
    assert (
        "Attend-Infer-Repeat with the saliency guide, trained by the exact estimator for 23 of "
        f"23 steps on 60 canvases of {data.name}: 24 × 24 px, 0 to 2 digits each. Measured on "  # noqa: RUF001
        f"the 20 canvases of the test split of {moved.name} (digits: strokes), with 3 slots."
        in reader.text
    )
    rows = reader.facts
    assert [rows[f"{name}.seed"] for name in ("data", "train", "eval")] == ["0", "0", "4"]
    trained = spoken({**tiny_runs.TRAIN, "train.backward": "fast"})
    given = f"--run {run} --data {data} --checkpoint best {spoken(measuring, but={})}"
    expected = [
        f"airkit make-data {spoken(tiny_runs.DATA)} --out {data}",
        f"airkit train --data {data} --run {run} {trained}",
        f"airkit eval {given}",
        f"airkit report {given}",
    ]
    assert [sorted(line.split()) for line in commands(text)] == [
        sorted(line.split()) for line in expected
    ]


def spoken(values: Mapping[str, Any], but: Mapping[str, Any] = USUAL) -> str:
    """Settings as on a command line, without those that are so by default."""
    told = {key: value for key, value in values.items() if key not in but or but[key] != value}
    return " ".join(f"--set {key}={settings.spelled(value)}" for key, value in told.items())


def test_other_canvases_than_those_trained_on_have_a_file_of_their_own(tmp_path: Path) -> None:
    """The data file was replaced since: both are made anew, side by side."""
    data, second, run = (tmp_path / name for name in ("data.h5", "data-2.h5", "run"))
    shutil.copy(tiny_runs.data_file(source="auto"), data)
    tiny_runs.fit(run, data)
    shutil.copy(tiny_runs.data_file(seed=5), data)
    text = text_of(tmp_path, run, data=data)
    assert "This is another data file than that of the training." in Reader(text).text
    assert "another data file" not in plain().text
    first, train, other, *measured = commands(text)
    assert first.startswith("airkit make-data --set data.source=strokes ")
    assert first.endswith(f" --out {data}")
    assert train.startswith(f"airkit train --data {data} --run {run} ")
    assert "--set data.seed=5" in other
    assert other.endswith(f" --out {second}")
    named = f"--run {run} --data {second} --checkpoint best"
    assert measured == [f"airkit eval {named}", f"airkit report {named}"]


def told(given: Mapping[str, Any], **changed: Any) -> list[str]:
    """Commands of a report on the reference run, whose training differs as ``changed`` says."""
    run = RunFolder(tiny_runs.reference())
    trained_on = replace(open_model(run.path, "best", (), SILENT).data, **changed)
    request = Request(run, None, "best", settings.layers(given), SILENT)
    return provenance.of_runs([(run, trained_on)], airkit.describe(tiny_runs.data_file()), request)


def test_digits_that_an_older_run_did_not_record_are_told() -> None:
    first = told({}, digest="0" * 64, config=Config(), source=None)[0]
    assert first.endswith("  # with --source mnist or strokes, as auto took then")


def test_a_class_from_outside_is_named_in_the_commands() -> None:
    named = "--set guide.kind=package.module:Class --set eval.looks=2"
    assert told({"guide.kind": "package.module:Class", "eval.looks": 2})[-1].endswith(named)
