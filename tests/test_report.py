"""A report is one file with the numbers of ``airkit eval``, and tells how to make it anew."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import command_line
import numpy as np
import pytest
import tiny_runs
from report_reader import Reader, commands, timeless

import airkit
from airkit.config import settings
from airkit.config.schema import Config
from airkit.data.reader import read_info
from airkit.figures import Request
from airkit.runs.folder import RunFolder
from airkit.runs.trained import open_model
from airkit.system.callbacks import SILENT
from airkit.web import provenance
from airkit.web.gather import WORST, calibration, calibration_error, worst
from airkit.web.html import number

OWN = """
from airkit.evaluation.measures import Measure

class Canvases(Measure):
    half = 0
    def add(self, batch):
        self.half += len(batch.images) / 2
    def result(self):
        return {"half": int(self.half)}
"""
USUAL = dict(settings.flatten(Config().model_dump()))


@cache
def reported() -> tuple[airkit.Measures, str]:
    """The measures and the text of the report of the reference run."""
    written = airkit.report(tiny_runs.reference(), out=tiny_runs.folder() / "reported" / "it.html")
    return written.measures[0], written.path.read_text(encoding="utf-8")


def plain() -> Reader:
    """The report of the reference run, read."""
    return Reader(reported()[1])


def text_of(path: Path, run: Path, **keys: Any) -> str:
    return airkit.report(run, out=path / "page.html", **keys).path.read_text(encoding="utf-8")


def page(path: Path, run: Path, **keys: Any) -> Reader:
    return Reader(text_of(path, run, **keys))


# --- the numbers


def test_the_numbers_are_those_of_eval() -> None:
    ours, text = reported()
    theirs = airkit.evaluate(tiny_runs.reference())
    assert replace(ours, seconds=0.0) == replace(theirs, seconds=0.0)
    tiles = Reader(text).text
    for words in (
        f"Count accuracy, one look {100 * theirs.count_accuracy_one_look:.1f} %",
        f"Count accuracy, 3 looks {100 * theirs.count_accuracy:.1f} % 95 % interval "
        "{:.1f} to {:.1f}".format(*(100 * it for it in theirs.count_accuracy_interval)),
        f"Mean IoU {theirs.mean_iou:.3f}",
        f"AP50 {theirs.ap50:.3f}",
        f"ELBO {theirs.elbo:.1f}",
        f"IWAE {theirs.log_likelihood_bound:.1f}",
        f"Squared error {theirs.mse:.5f}",
    ):
        assert words in tiles


def test_the_numbers_are_those_of_eval_on_another_file_and_split(tmp_path: Path) -> None:
    given = {"eval.split": "val", "eval.looks": 2, "eval.counts": "sampled"}
    data = tiny_runs.data_file(seed=5, max_digits=3)
    written = airkit.report(
        tiny_runs.reference(), data=data, settings=given, out=tmp_path / "it.html"
    )
    theirs = airkit.evaluate(tiny_runs.reference(), data, settings=given)
    assert replace(written.measures[0], seconds=0.0) == replace(theirs, seconds=0.0)


def test_tables_hold_every_canvas() -> None:
    measures, text = reported()
    reader = Reader(text)
    confusion = [[int(cell) for cell in row[1:]] for row in reader.table("true")[1:]]
    assert confusion == measures.confusion
    assert sum(map(sum, confusion)) == measures.canvases == 20
    bins = [(int(row[1]), float(row[3])) for row in reader.table("greatest q(n), %")[1:]]
    assert sum(canvases for canvases, _ in bins) == 20
    right = sum(canvases * share for canvases, share in bins) / 100
    assert right == pytest.approx(20 * measures.count_accuracy_one_look, abs=0.01)
    by_count = reader.table("true count")[1:]
    assert [row[:2] for row in by_count] == [
        [count, f"{100 * share:.1f}"] for count, share in measures.per_count_accuracy.items()
    ]


def test_calibration_by_hand() -> None:
    confidence = np.array([0.41, 0.45, 0.99, 1.0, 1.0], np.float32)
    bins = calibration(confidence, np.array([True, False, True, True, False]))
    assert [(each.low, each.high, each.canvases) for each in bins] == [(0.4, 0.5, 2), (0.9, 1.0, 3)]
    assert [each.share for each in bins] == [0.5, pytest.approx(2 / 3)]
    assert bins[0].confidence == pytest.approx(0.43)
    expected = (2 * 0.07 + 3 * (2.99 / 3 - 2 / 3)) / 5
    assert calibration_error(bins) == pytest.approx(expected)
    none_right = calibration(np.array([0.95] * 10), np.zeros(10, bool))[0]
    assert none_right.interval == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_the_worst_are_the_counts_farthest_off_then_the_greatest_errors() -> None:
    def scene(count: int, error: float) -> Any:
        return SimpleNamespace(count=count, true_count=2, squared_error=error)

    found = worst([scene(1, 0.1), scene(5, 0.2), scene(3, 0.3), scene(1, 0.3), scene(0, 0.1)])
    ranked = [(each.count, each.squared_error) for each in found]
    assert ranked == [(5, 0.2), (0, 0.1), (3, 0.3), (1, 0.3), (1, 0.1)]
    assert len(worst([scene(1, 0.1)] * 20)) == WORST


def test_what_is_not_defined_is_a_dash(tmp_path: Path) -> None:
    assert number(float("nan"), 3) == "–"  # noqa: RUF001
    assert number(-0.12345, 3) == "-0.123"
    empty = tiny_runs.data_file(count_weights=(1.0, 0.0, 0.0))
    run = tmp_path / "lstm"
    tiny_runs.fit(run, empty, guide__kind="lstm", guide__rnn_size=8)
    reader = page(tmp_path, run)
    assert "Attend-Infer-Repeat with the lstm guide" in reader.text
    assert "Mean IoU – AP50 –" in reader.text.replace("a missed box counts as 0 ", "")  # noqa: RUF001
    assert [row[0] for row in reader.table("true count")[1:]] == ["0"]


def test_measures_that_were_not_taken_are_left_out_and_own_ones_are_in(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(home)
    given = {"eval.measures": ["boxes", "own:Canvases"]}
    reader = page(home, tiny_runs.reference(), settings=given)
    assert reader.facts["own:Canvases"] == "half 10"
    assert "Mean IoU" in reader.text
    for absent in ("Count accuracy", "Confusion", "Accuracy by count", "ELBO 1"):
        assert absent not in reader.text


def test_without_metrics_or_validations_there_is_no_chart_of_them(tmp_path: Path) -> None:
    run = tiny_runs.trained(tmp_path / "run")
    rows = [row for row in RunFolder(run).rows() if "val_elbo" not in row]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = page(tmp_path, run).text
    assert "There are no validations, and no count accuracy of theirs." in text
    assert "ELBO, nats per canvas" in text
    assert "validation canvases counted right" not in text
    assert "There are no validations" not in plain().text
    (run / "metrics.jsonl").unlink()
    assert "The run folder holds no metrics of its training." in page(tmp_path, run).text


# --- the file


def test_the_file_needs_no_other_and_is_small() -> None:
    text = reported()[1]
    assert len(text) < 2_000_000
    addresses = Reader(text).addresses
    assert len(addresses) > 30
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    bare = re.sub(r"data:image/png;base64,[\w+/=]+", "", text)
    assert not re.findall(r"<(?:script|link|iframe|object)\b|url\((?!#)|@import|https?://", bare)


def test_odd_names_are_escaped(tmp_path: Path) -> None:
    text = text_of(tmp_path, tiny_runs.trained(tmp_path / "<b>&\"'"))
    reader = Reader(text)
    assert "<b>&\"'" in reader.text
    assert "airkit report --run" in reader.text
    assert "<h1>&lt;b&gt;&amp;&#34;&#39;</h1>" in text
    assert text.count("<b>") == 2  # those of the template


def test_the_same_call_writes_the_same_file(tmp_path: Path) -> None:
    assert timeless(text_of(tmp_path, tiny_runs.reference())) == timeless(reported()[1])


def test_a_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(airkit.errors.OutputError, match="No space left on device"):
        airkit.report(tiny_runs.reference(), out=out)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert out.read_text() == "old"


def test_by_default_it_is_in_the_run_folder(tmp_path: Path) -> None:
    run = tiny_runs.trained(tmp_path / "run")
    result = command_line.run("report", "--run", run, "--looks", 1, "--split", "val")
    assert result.exit_code == 0
    assert result.stdout == f"{run / 'report.html'}\n"
    text = Reader((run / "report.html").read_text(encoding="utf-8")).text
    assert "Measured on the 12 canvases of the val split" in text
    assert "Count accuracy, one look" in text
    assert not re.search(r"Count accuracy, \d", text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "report.pdf"], "A report is written as HTML alone\n"),
        (["--out", "report"], "got       a name without an ending"),
        (["--out", "."], "A folder is in the way"),
        (["--data", "none.h5"], "none.h5"),
        (["--run", "none"], "There is no trained run here"),
    ],
)
def test_what_cannot_be_reported_is_told(options: list[str], message: str, home: Path) -> None:
    run = [] if "--run" in options else ["--run", tiny_runs.trained(home / "run")]
    assert message in command_line.fails("report", *run, *options)
    assert not list(home.rglob("*.html"))


# --- where it comes from


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
    text = text_of(tmp_path, run, data=moved, settings={**measuring, **run_as, **made_as})
    reader = Reader(text)
    assert (
        "Attend-Infer-Repeat with the saliency guide, trained by the exact estimator for 23 of "
        f"23 steps on 60 canvases of {data} : 24 × 24 px, 0 to 2 digits each. Measured on the 20 "  # noqa: RUF001
        f"canvases of the test split of {moved} (digits: strokes), with 3 slots." in reader.text
    )
    rows = reader.facts
    assert [rows[f"{name}.seed"] for name in ("data", "train", "eval")] == ["0", "0", "4"]
    notes = [re.findall("under the prior [0-9.]+ %", each.text) for each in (reader, plain())]
    assert notes[0] == notes[1] != []
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
