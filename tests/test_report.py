"""A report is one file with the numbers of ``airkit eval``."""

from __future__ import annotations

import base64
import json
import os
import re
from io import BytesIO
from pathlib import Path

import command_line
import numpy as np
import pytest
import tiny_runs
import torch
from PIL import Image
from report_reader import Reader, timeless
from reports import page, plain, reported, text_of

import airkit
from airkit.evaluation.result_cache import PerCanvas
from airkit.runs.folder import RunFolder
from airkit.web.gather import WORST, worst
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


# --- the numbers


def test_the_numbers_are_those_of_eval() -> None:
    ours, text = reported()
    theirs = airkit.evaluate(tiny_runs.reference())
    assert ours == theirs
    assert theirs.calibration is not None
    assert theirs.calibration_one_look is not None
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
        "; for new digits {:.1f} to {:.1f}".format(
            *(100 * it for it in theirs.count_accuracy_interval_new_digits)
        ),
        f"Brier score {theirs.calibration.brier:.4f} {theirs.calibration.brier_constant:.4f}",
        f"points {100 * theirs.calibration_one_look.error:.2f} Brier",
    ):
        assert words in tiles


def test_the_numbers_are_those_of_eval_on_another_file_and_split(tmp_path: Path) -> None:
    given = {"eval.split": "val", "eval.looks": 2, "eval.counts": "sampled"}
    data = tiny_runs.data_file(seed=5, max_digits=3)
    written = airkit.report(
        tiny_runs.reference(), data=data, settings=given, out=tmp_path / "it.html"
    )
    theirs = airkit.evaluate(tiny_runs.reference(), data, settings=given)
    assert written.measures[0] == theirs


def test_tables_hold_every_canvas() -> None:
    measures, text = reported()
    reader = Reader(text)
    confusion = [[int(cell) for cell in row[1:]] for row in reader.table("true")[1:]]
    assert confusion == measures.confusion
    assert sum(map(sum, confusion)) == measures.canvases == 20
    bins = [(int(row[1]), float(row[3])) for row in reader.table("probability of the count, %")[1:]]
    assert sum(canvases for canvases, _ in bins) == 20
    right = sum(canvases * share for canvases, share in bins) / 100
    assert right == pytest.approx(20 * measures.count_accuracy, abs=0.01)
    by_count = reader.table("true count")[1:]
    one = measures.per_count_accuracy_one_look
    assert [[row[0], row[1], row[3]] for row in by_count] == [
        [count, f"{100 * share:.1f}", f"{100 * one[count]:.1f}"]
        for count, share in measures.per_count_accuracy.items()
    ]


def test_the_worst_are_the_counts_farthest_off_then_the_greatest_errors() -> None:
    def seen(*found: tuple[int, float]) -> PerCanvas:
        counts, errors = map(np.array, zip(*found, strict=True))
        return PerCanvas(counts, counts, errors, np.zeros((len(found), 3, 2)))

    found = seen((2, 0.9), (1, 0.1), (5, 0.2), (3, 0.3), (1, 0.3), (0, 0.1))
    assert worst(torch.full((6,), 2), found) == [2, 5, 3, 4, 1]
    assert worst(None, found) == []
    assert len(worst(torch.zeros(20), seen(*[(1, 0.1)] * 20))) == WORST


def test_what_is_not_defined_is_a_dash(tmp_path: Path) -> None:
    assert number(float("nan"), 3) == "–"  # noqa: RUF001
    assert number(-0.12345, 3) == "-0.123"
    empty = tiny_runs.data_file(count_weights=(1.0, 0.0, 0.0))
    run = tmp_path / "lstm"
    tiny_runs.fit(run, empty, guide__kind="lstm", guide__rnn_size=8)
    reader = page(tmp_path, run)
    assert "Attend-Infer-Repeat with the lstm guide" in reader.text
    for name in ("Mean IoU", "AP", "AP50", "AP75"):
        assert f"{name} –" in reader.text  # noqa: RUF001
    assert "ARI" not in reader.text
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
    assert "There were no validations, or their true counts are not known." in text
    assert "ELBO, nats per canvas" in text
    assert "validation canvases counted right" not in text
    assert "There are no validations" not in plain().text
    (run / "metrics.jsonl").unlink()
    assert "The run folder holds no metrics of its training." in page(tmp_path, run).text


# --- the file


def test_the_file_needs_no_other_and_is_small() -> None:
    text = reported()[1]
    assert len(text) < 1_500_000
    addresses = Reader(text).addresses
    inside = [each for each in addresses if each.startswith("data:image/png;base64,")]
    assert len(inside) > 30
    assert all(each.startswith("#") for each in {*addresses} - {*inside})
    bare = re.sub(r"data:image/png;base64,[\w+/=]+", "", text)
    assert not re.findall(r"<(?:script|link|iframe|object)\b|url\((?!#)|@import|https?://", bare)


def test_a_report_that_would_be_large_has_smaller_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"eval.looks": 1, "render.rows": 1}
    whole = text_of(tmp_path, tiny_runs.reference(), settings=given)
    monkeypatch.setattr("airkit.web.html.MOST", len(whole) - 1)
    monkeypatch.setattr("airkit.web.html._SIDES", (512, 24, 12, 6))
    reduced = text_of(tmp_path, tiny_runs.reference(), settings=given)
    assert len(reduced) < len(whole)
    (address, *_) = re.findall(r"data:image/png;base64,([^\"]+)", reduced)
    with Image.open(BytesIO(base64.b64decode(address))) as picture:
        assert picture.size == (12, 12), "the largest that do"
    sides = r'<image [^>]*width="\d+" height="\d+"'
    assert re.findall(sides, reduced) == re.findall(sides, whole), "they are as large to see"


def test_odd_names_are_escaped(tmp_path: Path) -> None:
    text = text_of(tmp_path, tiny_runs.trained(tmp_path / "<b>&\"'"))
    reader = Reader(text)
    assert "<b>&\"'" in reader.text
    assert "airkit report --run" in reader.text
    assert "<h1>&lt;b&gt;&amp;&#34;&#39;</h1>" in text
    assert text.count("<b>") == 1  # that of the template


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
