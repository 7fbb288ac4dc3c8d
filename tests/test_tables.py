"""Tables of results: the same numbers as CSV, Markdown and LaTeX, whatever is in them."""

from __future__ import annotations

import csv
import math
import re
import shutil
import subprocess
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from command_line import fails
from test_trust import TOO_MANY, verdict
from tiny_runs import reference

from airkit.errors import OutputError
from airkit.evaluation.evaluate import evaluate
from airkit.evaluation.results import Measures, measures_table
from airkit.runs.sweep_report import Row, SweepReport
from airkit.system.tables import Number, Table, checked, number, percent

HOSTILE = r"a|b & 50% $x$ #1 _y_ {z} ~ ^ \c <b>"


def rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(table.csv())))


def measured(**more: object) -> Measures:
    given = {"canvases": 40, "looks": 3, "likelihood_samples": 2, "seconds": 1.0}
    names = ("run", "data", "data_digest", "split", "checkpoint")
    return Measures(**given, **dict.fromkeys(names, "x"), **more)  # type: ignore[arg-type]


def test_a_row_for_each_measure_with_its_interval_and_none_for_what_was_not_measured() -> None:
    measures = measured(
        count_accuracy=0.9871,
        count_accuracy_interval=(0.95, 0.99),
        per_count_accuracy={"0": 1.0, "2": 0.5},
        per_count_accuracy_interval={"0": (0.9, 1.0), "2": (0.25, 0.75)},
        elbo=-1652.04,
        outside={"mine": 3.5, "words": "no"},
    )
    found = {row["measure"]: row for row in rows(measures.table())}
    assert found["count accuracy"] == {
        "measure": "count accuracy", "value": "0.9871", "low": "0.95", "high": "0.99"
    }  # fmt: skip
    assert found["per count accuracy, 2"]["high"] == "0.75"
    assert (found["ELBO"]["value"], found["ELBO"]["low"]) == ("-1652.04", "")
    assert found["mine"]["value"] == "3.5"
    assert not {"mean IoU", "words", "trust", "looks", "seconds"} & set(found)
    assert "| count accuracy | 98.71 % | 95.00 % | 99.00 % |" in measures.table().markdown()
    assert r"98.71 \% & 95.00 \%" in measures.table().latex()
    assert "<td>98.71 %</td>" in measures._repr_html_()


def test_whole_numbers_have_no_decimals() -> None:
    measures = replace(measured(elbo=300.0), canvases=10_000)
    assert "| canvases | 10,000 |" in measures.table().markdown()
    assert "| ELBO | 300.0 |" in measures.table().markdown()
    assert "<td>10,000</td>" in measures._repr_html_()


def test_a_notebook_shows_the_verdict_that_eval_prints() -> None:
    doubt = verdict(**TOO_MANY)
    shown = measured(count_accuracy=0.9, trust=doubt)._repr_html_()
    assert f"<th>in doubt</th><td>{doubt.trouble[0]}</td>" in shown
    assert "<th>try</th>" in shown
    assert "no sign of trouble" in measured(trust=verdict())._repr_html_()
    assert "trust" not in measured(count_accuracy=0.9, trust=verdict())._repr_html_()


def test_another_run_stands_beside_it() -> None:
    one, two = measured(count_accuracy=0.5, mse=0.1), measured(count_accuracy=0.25)
    found = {row["measure"]: row for row in rows(one.table(two))}
    assert found["count accuracy"]["against"] == "0.25"
    assert found["MSE"]["against"] == ""


def test_measures_are_equal_where_all_but_the_time_is_the_same() -> None:
    one, again = measured(mse=float("nan"), ap=0.5), measured(mse=float("nan"), ap=0.5)
    assert one == again == replace(again, seconds=9.0)
    assert one not in (replace(again, ap=0.25), replace(again, mse=0.5), replace(again, run="y"))


def test_the_numbers_are_those_of_eval() -> None:
    measures = evaluate(reference())
    found = {row["measure"]: row["value"] for row in rows(measures.table())}
    assert float(found["count accuracy"]) == measures.count_accuracy
    assert float(found["ELBO"]) == measures.elbo
    assert not any("nan" in value.lower() for value in found.values())


def test_a_sweep_has_a_row_a_seed_and_tells_failures() -> None:
    known = {
        "count_accuracy": 0.5,
        "count_accuracy_interval": [0.25, 0.75],
        "count_accuracy_one_look": 0.4,
        "elbo": None,
    }
    good, bad = Row(3, "seed-3", None, 12.5, known), Row(4, "seed-4", "out of memory", None, None)
    report = SweepReport(Path("s"), Path("d"), 0.99, 2, (good, bad), 1.0)
    one, two = rows(report.table())
    assert (one["seed"], one["high"], one["ELBO"], one["failure"]) == ("3", "0.75", "", "")
    assert (two["count accuracy"], two["failure"]) == ("", "out of memory")
    assert "out of memory" in report._repr_html_()


def test_any_text_keeps_the_columns_apart(tmp_path: Path) -> None:
    table = Table(("name", "n"), ((HOSTILE, number(1.5)), ("two\nlines", number(-1.5))))
    assert rows(table)[0] == {"name": HOSTILE, "n": "1.5"}
    lines = table.markdown().splitlines()
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}
    assert not set("`*_<") & {*re.sub(r"\\.", "", table.markdown())}
    assert "<b>" not in table._repr_html_()
    compiled(table, tmp_path)
    table.write(str(tmp_path / "it.csv"))
    assert (tmp_path / "it.csv").read_text() == table.csv()


def compiled(table: Table, folder: Path) -> None:
    """Compile a table where there is a LaTeX; else see to it that nothing is left unescaped."""
    (body,) = [line for line in table.latex().splitlines() if line.startswith("a|b")]
    assert body.replace(r"\&", "").count("&") == 1
    if shutil.which("pdflatex") is None:
        return
    table.write(folder / "table.tex")
    head = r"\documentclass{article}\usepackage{booktabs}"
    page = rf"{head}\begin{{document}}\input{{table}}\end{{document}}"
    (folder / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_blank(value: float) -> None:
    table = Table(("n",), ((number(value),), (percent(value),), (Number(2, "2"),)))
    assert [row["n"] for row in rows(table)] == ["2"] or rows(table)[-1]["n"] == "2"
    assert "nan" not in table.latex() + table.markdown()
    assert "inf" not in table.latex() + table.markdown()
    assert not measures_table({"mse": None, "elbo": True, "ok": "text"}).rows


@pytest.mark.parametrize("name", ["table.txt", "table", "folder.csv"])
def test_other_formats_are_refused_before_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError) as caught:
        checked(tmp_path / name)
    assert "--table" in str(caught.value)
    assert "--out" not in str(caught.value)
    told = fails("eval", "--run", tmp_path / "none", "--table", tmp_path / name)
    assert "--table" in told
