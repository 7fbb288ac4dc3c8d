"""Two runs on the same canvases: who is right where, and whether that is chance."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import data_file, fit, folder, reference

from airkit.config.settings import layers
from airkit.errors import CheckpointError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import evaluate
from airkit.system.statistics import mcnemar, paired_interval


@pytest.fixture(scope="module")
def other() -> Path:
    """A run that counts otherwise."""
    path = folder() / "other"
    fit(path, train__seed=5, train__steps=9)
    return path


def test_it_is_the_two_measured_apart(other: Path) -> None:
    measures, comparison = compare(reference(), other)
    ours, theirs = evaluate(reference()), evaluate(other)
    for found, wanted in ((measures, ours), (comparison.against, theirs)):
        assert {**vars(found), "seconds": 0} == {**vars(wanted), "seconds": 0}
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
    assert comparison.against.split == "val"
    assert comparison.against.canvases == 12
    assert comparison.against.data == str(data_file(seed=9))


def test_settings_that_can_be_read_but_once_are_for_both(other: Path) -> None:
    given = {"eval.looks": 1, "eval.seed": 3}
    ours, both = compare(reference(), other, settings=iter(layers(given)))
    theirs, wanted = compare(reference(), other, settings=given)
    assert untimed(ours.to_dict()) == untimed(theirs.to_dict())
    assert untimed(both.to_dict()) == untimed(wanted.to_dict())
    assert (ours.looks, both.against.looks) == (1, 1)


def untimed(values: dict[str, Any]) -> dict[str, Any]:
    """Measures, or a comparison, without the time that measuring took."""
    inner = {"against": untimed(values["against"])} if "against" in values else {}
    return {**values, "seconds": 0, **inner}


def test_the_other_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no trained run here"):
        compare(reference(), tmp_path)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_binomial_test(one: int, other: int) -> None:
    total = one + other
    tail = sum(comb(total, k) for k in range(min(one, other) + 1)) / 2**total
    assert mcnemar(one, other) == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert mcnemar(one, other) == mcnemar(other, one)


def test_mcnemar_of_many_pairs() -> None:
    assert mcnemar(0, 10_000) < 1e-300
    assert mcnemar(5_000, 5_000) == 1
    assert mcnemar(5, 15) == pytest.approx(0.0414, abs=1e-4)


@pytest.mark.parametrize(("one", "other"), [(0.02, 0.01), (0.0, 0.0), (0.3, 0.2)])
def test_the_interval_covers_the_difference(one: float, other: float) -> None:
    """In about 95 of 100 draws of 500 canvases, whatever the truth."""
    draws = np.random.default_rng(0).multinomial(500, [one, other, 1 - one - other], size=4000)
    inside = 0
    for ours, theirs, _ in draws:
        low, high = paired_interval(int(ours), int(theirs), 500)
        inside += low <= one - other <= high
    assert inside / 4000 >= 0.935


def test_on_the_command_line(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("eval", "--run", reference(), "--against", other).stdout
    assert f"\nagainst                   {other} (" in told
    assert "right in the run alone" in told
    assert "p, McNemar's exact test" in told
    monkeypatch.setattr("airkit.evaluation.compare.mcnemar", lambda *_: 0.0)
    told = run("eval", "--run", reference(), "--against", other).stdout
    assert "\np, McNemar's exact test   less than 1e-300\n" in told
    values = json.loads(run("eval", "--run", reference(), "--against", other, "--json").stdout)
    assert values["comparison"]["against"]["run"] == str(other)
    assert values["comparison"]["only_run"] >= 0
