"""Two runs on the same canvases: who is right where, and whether that is chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from tiny_runs import data_file, fit, folder, reference

from airkit.config.settings import layers
from airkit.errors import CheckpointError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import evaluate


@pytest.fixture(scope="module")
def other() -> Path:
    """A run that counts otherwise."""
    path = folder() / "other"
    fit(path, train__seed=5, train__steps=9)
    return path


def test_it_is_the_two_measured_apart(other: Path) -> None:
    measures, comparison = compare(reference(), other)
    ours, theirs = evaluate(reference()), evaluate(other)
    assert measures == ours
    assert comparison.against == theirs
    difference = ours.count_accuracy - theirs.count_accuracy
    assert comparison.difference == pytest.approx(difference)
    assert comparison.only_run - comparison.only_against == pytest.approx(20 * difference)
    assert comparison.only_run + comparison.only_against > 0
    low, high = comparison.difference_interval
    assert low < comparison.difference < high


def test_a_run_against_itself() -> None:
    _, comparison = compare(reference(), reference())
    assert (comparison.only_run, comparison.only_against) == (0, 0)
    assert (comparison.difference, comparison.p_value) == (0, 1)


def test_both_see_the_canvases_of_the_first(other: Path) -> None:
    _, comparison = compare(reference(), other, data_file(seed=9), settings={"eval.split": "val"})
    assert (comparison.against.split, comparison.against.canvases) == ("val", 12)
    assert comparison.against.data == str(data_file(seed=9))


def test_settings_that_can_be_read_but_once_are_for_both(other: Path) -> None:
    given = {"eval.looks": 1, "eval.seed": 3}
    ours, both = compare(reference(), other, settings=iter(layers(given)))
    assert ours == evaluate(reference(), settings=given)
    assert both.against == evaluate(other, settings=given)


def test_the_other_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no trained run here"):
        compare(reference(), tmp_path)


def test_it_shows_itself_in_a_few_lines(other: Path) -> None:
    _, comparison = compare(reference(), other)
    told = str(comparison).splitlines()
    assert told[0] == f"against                   {other} ({comparison.against.checkpoint})"
    assert f" {comparison.only_run} of {comparison.against.canvases} canvases" in told[1]
    assert len(told) == 5
    assert f"<th>against</th><td>{other} (" in comparison._repr_html_()


def test_on_the_command_line(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("eval", "--run", reference(), "--against", other)
    told = run(*command).stdout
    assert f"\nagainst                   {other} (" in told
    assert "right in the run alone" in told
    values = json.loads(run(*command, "--json").stdout)
    assert values["comparison"]["against"]["run"] == str(other)
    assert values["comparison"]["only_run"] >= 0
    monkeypatch.setattr("airkit.evaluation.compare.mcnemar", lambda *_: 0.0)
    assert " 1e-300\n" in run(*command).stdout, "no p value is 0"
