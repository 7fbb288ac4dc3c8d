"""The verdict where true counts are known: miscounts are told, with how they are off and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from test_infer import canvases, skilled
from test_trust import TOO_MANY, verdict

import airkit
from airkit.evaluation.miscounts import with_truth
from airkit.runs.trust import Trust
from airkit.web.report import headline

Ints = np.ndarray[Any, np.dtype[np.int64]]
TRUE = np.array([0, 1, 2, 3, 4, 5] * 5)
SHUFFLED = np.random.default_rng(0).permutation(TRUE)


def judged(found: Ints, true: Ints = TRUE, **signs: Any) -> Trust:
    """The verdict on counts found, of signs that are sound but for some."""
    return with_truth(verdict(**signs), true, found)


def off(*errors: int, true: Ints = TRUE) -> Ints:
    """Counts that are off by these, over and over, and never below 0."""
    found: Ints = np.maximum(true + np.resize(errors, len(true)), 0)
    return found


@pytest.mark.parametrize("errors", [(0,), (0, 0, 0, 1), (0, 1), (0, 0, -1, 2)])
def test_counts_that_are_right_as_often_as_not_leave_the_verdict(errors: tuple[int, ...]) -> None:
    assert judged(off(*errors)) == verdict()
    assert judged(off(*errors), **TOO_MANY) == verdict(**TOO_MANY)


def test_a_thing_on_every_picture_is_named() -> None:
    found = judged(off(2, 2, 2, 2, 2, 2, 2, 2, 2, 1))
    assert found.trouble == ("27 of 30 counts are 2 too high",)
    (advice,) = found.advice
    assert "counted as 2 objects, such as a scale bar, a label or a frame: leave it out" in advice
    assert "airkit render --kind errors" in advice
    assert "counted as an object," in judged(off(1)).advice[0]


def test_what_is_left_out_of_every_picture_is_named() -> None:
    found = judged(off(-1, true=TRUE + 1), TRUE + 1)
    assert found.trouble == ("30 of 30 counts are 1 too low",)
    assert "the border cuts off" in found.advice[0]


def test_signs_of_trouble_stay_with_their_causes() -> None:
    plain = verdict(**TOO_MANY)
    found = judged(off(2), **TOO_MANY)
    assert found.trouble == ("30 of 30 counts are 2 too high", *plain.trouble)
    assert "scale bar" in found.advice[0]
    assert found.advice[1:] == plain.advice
    other = judged(off(1, 2, 3), **TOO_MANY)
    assert other.trouble[0] == "0 of 30 counts are right, 30 too high, by 2.0 on average"
    assert other.advice == plain.advice


@pytest.mark.parametrize(
    ("found", "trouble", "cause"),
    [
        (off(1, 2, 3, 0), "7 of 30 counts are right, 23 too high, by 2.0", "taken for several"),
        (off(-1, -2, -3), "5 of 30 counts are right, 25 too low, by 1.8", "objects are missed"),
        (off(1, -1, 2), "0 of 30 counts are right, 20 too high and 10 too low", "--steps"),
        (SHUFFLED, "counts are right,", "each true count belongs to its picture"),
        (0 * TRUE, "5 of 30 counts are right, 25 too low, by 3.0", "objects are missed"),
    ],
    ids=["high", "low", "mixed", "shuffled", "nothing found"],
)
def test_miscounts_without_another_sign_have_causes(found: Ints, trouble: str, cause: str) -> None:
    told = judged(found)
    assert trouble in told.trouble[0]
    assert cause in told.advice[0]


def test_a_count_that_never_changes_is_no_thing_on_every_picture() -> None:
    ones = np.array([1] * 20 + [0, 2] * 5)
    found = judged(3 + 0 * ones, ones)
    assert found.trouble == ("20 of 30 counts are 2 too high",)
    assert "scale bar" not in found.advice[0]


def test_large_counts_may_be_off_by_a_tenth() -> None:
    many = np.arange(20, 50)
    assert judged(off(2, -2, 1, true=many), many) == verdict()
    found = judged(off(9, -7, 8, true=many), many)
    assert found.trouble[0].startswith("0 of 30 counts are right to within a tenth, 20 too high")
    assert judged(off(2, true=many), many).trouble == ("30 of 30 counts are 2 too high",)


def test_eval_and_the_report_say_so(home: Path) -> None:
    images = canvases()
    counts = [each.count + 2 for each in airkit.infer(images, skilled())]
    airkit.import_scenes(images, counts, path="off.h5", levels=(0, 255))
    words = ("--run", skilled(), "--data", "off.h5", "--split", "train")
    told = run("eval", *words).stdout
    assert "of 16 counts are 2 too low" in told
    assert "\ntry " in told
    assert "counted right, by 3 looks together; in doubt: see above for what to try\n" in told
    measures = airkit.evaluate(skilled(), "off.h5", settings={"eval.split": "train"})
    assert measures.to_dict()["trust"]["verdict"] == "doubt"
    assert headline(measures).doubtful
    text = airkit.report(
        skilled(), data="off.h5", out="off.html", settings={"eval.split": "train"}
    ).path.read_text("utf-8")
    trust = text.partition("Trust</h2>")[2].partition("<details")[0]
    assert "and from the true counts" in trust
    assert "counts are 2 too low" in trust
    assert "Try: the true counts include" in trust


def test_a_trained_model_is_not_in_doubt_for_its_counts() -> None:
    trust = airkit.evaluate(skilled()).trust
    assert trust is not None
    assert not any("counts" in each for each in trust.trouble)
    told = run("eval", "--run", skilled()).stdout
    assert ("in doubt: see above" in told) == (trust.verdict == "doubt")
