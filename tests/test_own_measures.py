"""Measures and figures from outside airkit."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from own_classes import measured
from PIL import Image
from tiny_runs import reference, trained

from airkit.errors import AirkitError, ExtensionError, OutputError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import Evaluation, evaluate
from airkit.evaluation.measures import MEASURES, Measure
from airkit.figures import Drawing
from airkit.figures.render import render
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

pytestmark = pytest.mark.usefixtures("mine")


def test_measures_in_python_and_on_the_command_line() -> None:
    mine = {"seen": 20, "last": [[8, 3, 4], [8]], "none": None}
    plain, found = evaluate(reference()).to_dict(), measured(*MEASURES, "mine:Seen")
    assert found == {**plain, "seconds": found["seconds"], "mine:Seen": mine}
    assignment = 'eval.measures=["counts", "mine:Seen"]'
    told = json.loads(run("eval", "--run", reference(), "--json", "--set", assignment).stdout)
    assert list(told) == list(found)
    assert told["mine:Seen"] == mine
    assert (told["count_accuracy"], told["elbo"]) == (plain["count_accuracy"], None)
    lines = run("eval", "--run", reference(), "--set", assignment).stdout
    assert re.search(r"^ELBO +-$", lines, re.MULTILINE)
    assert re.search(rf"^mine:Seen +{re.escape(json.dumps(mine))}$", lines, re.MULTILINE)


def test_the_example_of_a_measure(home: Path) -> None:
    text = (Measure.__doc__ or "").partition("::\n")[2]
    (home / "docs_example.py").write_text(textwrap.dedent(text))
    assert 0 < measured("docs_example:MissingInk")["docs_example:MissingInk"] < 1


@pytest.mark.parametrize("needs", ['frozenset({"count"})', '["masks", "mask"]', '"counts"'])
def test_a_truth_that_there_is_not_is_told(home: Path, needs: str) -> None:
    text = f"""
        from airkit.evaluation.measures import Measure

        class Needy(Measure):
            needs = {needs}

            def add(self, batch): ...

            def result(self): ...
    """
    name = f"needy_{len(needs)}"
    (home / f"{name}.py").write_text(textwrap.dedent(text))
    with pytest.raises(ExtensionError, match="needs of counts, boxes, masks"):
        measured(f"{name}:Needy")


def test_measures_left_out_are_null_and_change_no_other() -> None:
    plain, boxes = evaluate(reference()).to_dict(), measured("boxes", "mine:Draws")
    kept = [
        "canvases",
        "mean_iou",
        "ap",
        "ap50",
        "ap75",
        "ap50_voc",
        "looks",
        "run",
        "data",
        "data_digest",
        "split",
        "trust",
    ]
    for name, value in plain.items():
        if name not in ("seconds", "likelihood_samples", "checkpoint"):
            assert boxes[name] == (value if name in kept else None), name
    assert measured("likelihood", "mine:Draws")["elbo"] == plain["elbo"]
    assert boxes["mine:Draws"] == measured("mine:Draws")["mine:Draws"]


def test_measures_of_a_truth_that_the_data_lacks_are_null() -> None:
    names = [*MEASURES, "mine:Draws"]
    opened = open_run(reference(), None, "best", {"eval.measures": names}, SILENT)
    dataset: Any = opened.canvases
    dataset.counts = dataset.boxes = None
    found = Evaluation(opened).all(SILENT).measures("").to_dict()
    absent = ("count_accuracy", "confusion", "ap50", "mine:Draws")
    assert [found[name] for name in absent] == [None] * 4
    whole = evaluate(reference())
    assert (found["canvases"], found["elbo"], found["mse"]) == (20, whole.elbo, whole.mse)


def test_a_comparison_needs_counts() -> None:
    with pytest.raises(AirkitError, match="Counts are needed here") as caught:
        compare(reference(), reference(), settings={"eval.measures": ["boxes"]})
    assert 'got       ["boxes"]' in str(caught.value)


def test_the_example_of_a_figure(home: Path) -> None:
    example = textwrap.dedent((inspect.getdoc(Drawing) or "").partition("::\n")[2])
    (home / "counts.py").write_text(example)
    words = ("--kind", "counts:Counts", "--out", "a.png", "--json")
    found = json.loads(run("render", "--run", reference(), *words).stdout)
    with Image.open(home / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (found["width"], found["height"]))
    assert (found["kind"], found["canvases"]) == ("counts:Counts", 20)


@pytest.mark.parametrize("how", ["--kind", "--set", "--config"])
def test_a_figure_may_be_named_by_flag_setting_or_file(how: str, home: Path) -> None:
    (home / "it.toml").write_text('[render]\nkind = "mine:Large"\n')
    words = {"--kind": "mine:Large", "--set": "render.kind=mine:Large", "--config": "it.toml"}
    result = run("render", "--run", trained(home / "run"), how, words[how])
    assert result.exit_code == 0, result.output
    with Image.open(home / "run" / "figures" / "Large.png") as image:
        assert image.size == (1000, 400), "the figure's own size and resolution"


def test_an_error_of_airkit_that_a_figure_raises_stays() -> None:
    with pytest.raises(OutputError, match="No place for it"):
        render(reference(), kind="mine:Refusing", out=Path("a.png"))
