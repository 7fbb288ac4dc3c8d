"""Several runs in one report: every seed, those that failed too, with the numbers of ``eval``."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import tiny_runs
from report_reader import Reader, commands, timeless
from sweeps import InTurn

import airkit
from airkit.errors import AirkitError
from airkit.runs.sweep_report import SweepReport
from airkit.sweeps.sweep import sweep
from airkit.system.callbacks import Listener
from airkit.system.statistics import wilson
from airkit.web.comparison import THRESHOLD


@cache
def failing() -> Path:
    """A sweep of three seeds, the second of which is killed."""
    path = tiny_runs.folder() / "failing"
    sweep(
        tiny_runs.data_file(), path,
        seeds=3, threshold=0.1, settings=tiny_runs.TRAIN, engine=InTurn(fail=[1]),
    )  # fmt: skip
    return path


@cache
def reported() -> tuple[tuple[airkit.Measures, ...], str]:
    written = airkit.report(failing(), out=tiny_runs.folder() / "several" / "page.html")
    return written.measures, written.path.read_text(encoding="utf-8")


def test_every_seed_of_a_sweep_is_there_and_a_failure_counts() -> None:
    measures, text = reported()
    reader = Reader(text)
    rows = reader.table("run")[1:]
    assert [row[:2] for row in rows] == [["seed-000", "0"], ["seed-001", "1"], ["seed-002", "2"]]
    assert rows[1][2] == "failed: killed by SIGKILL"
    assert [rows[0][3], rows[2][3]] == [f"{100 * it.count_accuracy:.1f}" for it in measures]
    bounds = [[f"{100 * bound:.1f}" for bound in it.count_accuracy_interval] for it in measures]
    assert [rows[0][4], rows[2][4]] == [" to ".join(each) for each in bounds]
    stored = SweepReport.read(failing())
    low, high = (100 * bound for bound in wilson(stored.successes, 3))
    assert (
        f"Runs that reach 10.0 % {stored.successes} of 3 "
        f"95 % interval of the rate {low:.1f} to {high:.1f}" in reader.text
    )
    assert f"Median count accuracy {100 * stored.median:.1f} %" in reader.text
    assert "Worst count accuracy 0.0 % seed-001" in reader.text
    assert "Failed 1 did not finish" in reader.text


def test_the_numbers_are_those_that_the_sweep_measured() -> None:
    measures, _ = reported()
    rows = [row for row in SweepReport.read(failing()).rows if row.measures]
    ours = [json.loads(json.dumps(it.to_dict())) for it in measures]
    for one, row in zip(ours, rows, strict=True):
        theirs = json.loads(json.dumps(row.measures))
        assert {**one, "seconds": 0} == {**theirs, "seconds": 0}


def test_measures_have_mean_and_deviation_over_seeds() -> None:
    measures, text = reported()
    page = tiny_runs.folder() / "several" / "again.html"
    (found,) = airkit.report(failing(), out=page).over_seeds
    assert found.runs == ("seed-000", "seed-002")
    for name in ("count_accuracy", "elbo", "mse"):
        values = [getattr(it, name) for it in measures]
        assert found.mean[name] == pytest.approx(np.mean(values))
        assert found.sd[name] == pytest.approx(np.std(values, ddof=1))
    assert not {"seconds", "looks", "canvases"} & found.mean.keys()
    (row,) = Reader(text).table("mean of")[1:]
    assert row[0] == "seed-000, seed-002"
    assert row[5] == f"{found.mean['elbo']:.1f} ± {found.sd['elbo']:.1f}"
    assert "mean of" not in airkit.report(tiny_runs.reference(), out=page).path.read_text()


def test_two_sweeps_are_compared_side_by_side(tmp_path: Path) -> None:
    other, settings = tmp_path / "other", {**tiny_runs.TRAIN, "train.learning_rate": 1e-4}
    sweep(tiny_runs.data_file(), other, seeds=2, settings=settings, engine=InTurn())
    out = tmp_path / "both.html"
    told = command_line.run("report", "--run", failing(), "--run", other, "--out", out, "--json")
    found = json.loads(told.stdout)
    ours = [f"{failing()}/seed-00{n}" for n in range(3)]
    theirs = [f"{other}/seed-00{n}" for n in range(2)]
    assert [each["runs"] for each in found["over_seeds"]] == [ours[::2], theirs]
    rows = Reader(out.read_text()).table("run")[1:]
    assert [row[0] for row in rows] == [*ours, *theirs]
    assert rows[1][2] == "failed: killed by SIGKILL"
    assert "train.learning_rate" in Reader(out.read_text()).text


def test_curves_of_all_seeds_are_overlaid() -> None:
    text = reported()[1]
    for name in ("seed-000", "seed-002"):
        assert len(re.findall(rf'<title>{name}</title>\s*<path d="M [\d.]+ ', text)) == 2
    assert "None, the seed of the training aside." in text
    assert "stroke: var(--bad)" in text


def test_settings_of_the_sweep_and_those_given_are_used() -> None:
    out = tiny_runs.folder() / "several" / "val.html"
    measures = airkit.report(failing(), out=out, settings={"eval.split": "val"}).measures
    theirs = airkit.evaluate(failing() / "seed-000", settings={"eval.split": "val"})
    assert measures[0] == theirs
    assert "Measured on the 12 canvases of the val split" in Reader(out.read_text()).text


def test_runs_are_compared_on_the_data_of_the_first(tmp_path: Path) -> None:
    odd = tmp_path / "<b>odd"
    tiny_runs.fit(
        odd, tiny_runs.data_file(seed=5), guide__kind="lstm", guide__rnn_size=8, train__seed=4
    )
    out = tmp_path / "both.html"
    result = command_line.run(
        "report", "--run", tiny_runs.reference(), "--run", odd, "--out", out
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    text = out.read_text(encoding="utf-8")
    reader = Reader(text)
    assert "2 runs" in reader.text
    rows = reader.table("run")[1:]
    assert [row[:2] for row in rows] == [["reference", "0"], ["<b>odd", "4"]]
    theirs = airkit.evaluate(odd, tiny_runs.data_file())
    assert rows[1][3] == f"{100 * theirs.count_accuracy:.1f}"
    assert rows[1][9] == f"{theirs.elbo:.1f}"
    differing = {row[0]: row[1:] for row in reader.table("setting")[1:]}
    assert differing == {
        "data.seed": ["0", "5"],
        "guide.kind": ["saliency", "lstm"],
        "guide.rnn_size": ["256", "8"],
    }
    assert text.count(f"Runs that reach {100 * THRESHOLD:.1f} %") == 1
    assert text.count("that measured on") == 1
    assert "<b>odd" not in text


def test_runs_of_one_name_are_told_apart_and_odd_names_escaped(tmp_path: Path) -> None:
    run, odd = tiny_runs.trained(tmp_path / "reference"), tmp_path / os.fsdecode(b"run-\xff")
    tiny_runs.trained(odd)
    both = airkit.report([tiny_runs.reference(), run], out=tmp_path / "both.html").path
    rows = Reader(both.read_text()).table("run")[1:]
    assert [row[0] for row in rows] == [str(tiny_runs.reference()), str(run)]
    assert rows[0][2:-1] == rows[1][2:-1]
    both = airkit.report([tiny_runs.reference(), odd], out=tmp_path / "both.html").path
    assert Reader(both.read_text(encoding="utf-8")).table("run")[2][0] == r"run-\udcff"


def test_the_commands_make_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_runs.data_file(), "data.h5")
    sweep("data.h5", "sweep", seeds=2, threshold=0.2, settings=tiny_runs.TRAIN, engine=InTurn())
    first = airkit.report("sweep")
    text = first.path.read_text(encoding="utf-8")
    shutil.rmtree("sweep")
    Path("data.h5").unlink()
    monkeypatch.setattr("airkit.cli.sweep._engine", lambda *_: InTurn())
    for command in commands(text):
        result = command_line.run(*shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    again = Path("sweep/report.html").read_text(encoding="utf-8")
    assert timeless(again) == timeless(text)


def test_commands_name_what_was_trained_on_and_settings_of_the_call(tmp_path: Path) -> None:
    data, copy = tiny_runs.data_file(), tmp_path / "copy.h5"
    shutil.copy(data, copy)
    given = {"guide.kind": "lstm", "eval.split": "val", "train.seed": 9}
    second = tmp_path / "second"
    tiny_runs.fit(second, copy, render__columns=3)
    runs = [tiny_runs.reference(), second]
    for asked, made in (([failing()], ["sweep"]), (runs, ["train", "train"])):
        out = tmp_path / "page.html"
        airkit.report(asked, data=copy, settings=given, out=out, listener=Listener())
        found = commands(out.read_text(encoding="utf-8"))
        assert [line.split()[1] for line in found] == ["make-data", *made, "report"]
        assert found[0].endswith(f" --out {data}"), "the same canvases are made once"
        assert all(f" --data {data} " in line for line in found[1:])
        named = " ".join(f"--run {run}" for run in asked)
        expected = f"airkit report {named} --data {data} --checkpoint best --set eval.split=val"
        assert found[-1] == expected
    assert found[-2].endswith(" --set render.columns=3")


def test_a_sweep_of_failures_alone_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "sweep"
    sweep(
        tiny_runs.data_file(), path, seeds=2, settings=tiny_runs.TRAIN, engine=InTurn(fail=[0, 1])
    )
    written = airkit.report(path)
    assert written.measures == ()
    text = Reader(written.path.read_text(encoding="utf-8")).text
    assert f"None finished on {tiny_runs.data_file().name} (digits: strokes)" in text
    high = 100 * wilson(0, 2)[1]
    assert f"0 of 2 95 % interval of the rate 0.0 to {high:.1f}" in text
    assert text.count("failed: killed by SIGKILL") == 2
    assert "The run folders hold no validations." in text


def test_what_cannot_be_compared_is_told(home: Path) -> None:
    run, out, link = tiny_runs.reference(), home / "it.html", Path("link")
    link.symlink_to(run)
    file = next((run / "checkpoints").glob("*.pt"))
    for runs, options, message in (
        ([], {}, "A report needs a run"),
        ([run, failing()], {"checkpoint": str(file)}, "have no checkpoint file in common"),
        ([run, home / "none"], {}, "There is no trained run here"),
        ([run, failing() / "seed-000"], {"settings": {"eval.measures": ["boxes"]}}, "Counts"),
        ([run, link], {}, f"A run is named twice[^$]*got       the same folder as {run}"),
    ):
        given: Any = options
        with pytest.raises(AirkitError, match=message):
            airkit.report(runs, out=out, **given)
        assert not out.exists()


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        ({"threshold": "0.99"}, "threshold"),
        ({"seeds": True}, "seeds"),
        ({"data": "\0"}, "data"),
        ({"rows": [[]]}, "rows.0"),
        ({"rows": [{"seed": 0}]}, "rows.0.run"),
        ({"rows.run": "../.."}, "rows.0.run"),
        ({"rows.failure": "killed"}, "rows.0"),
        ({"rows.measures": None}, "rows.0"),
        ({"rows.measures": {"count_accuracy": "1"}}, "rows.0.measures.count_accuracy"),
    ],
)
def test_a_damaged_report_of_a_sweep_is_told(
    damage: dict[str, Any], where: str, tmp_path: Path
) -> None:
    content = json.loads((failing() / "report.json").read_text())
    for key, value in damage.items():
        part, _, name = key.partition(".")
        (content["rows"][0] if name else content)[name or part] = value
    shutil.copy(failing() / "sweep.json", tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(content))
    told = command_line.fails("report", "--run", tmp_path)
    assert told.startswith("airkit: The sweep's report cannot be read\n")
    assert f"  got       {where}: " in told
