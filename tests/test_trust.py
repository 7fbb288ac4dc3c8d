"""The verdict without truth: what is flagged, with which cause, and that sound results are not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from airkit.config import settings
from airkit.config.schema import Config
from airkit.data.look.findings import TEXTURED, Findings
from airkit.data.look.fixed import told, way_out
from airkit.runs.signs import Signs
from airkit.runs.trust import ENOUGH, Trust, judge

SOUND = Signs(
    pictures=250,
    full=0.0,
    empty=0.2,
    slot_rates=(0.8, 0.5, 0.3, 0.1, 0.0),
    objects=480,
    box_size=11.0,
    object_size=11.0,
    large=0.0,
    background_explains=0.9,
    residual=0.03,
    noise=0.02,
    residual_correlation=0.4,
    unexplained=0.1,
    candidates=400,
    missed=0.0,
    needless=0.0,
    doubled=0.0,
    looks=4,
    unstable=0.01,
    certainty=0.99,
)
SEEN = Findings(
    background="smooth",
    polarity="bright",
    compositing="add",
    noise=0.02,
    contrast=0.4,
    object_size=11.0,
    object_sizes=(9.0, 14.0),
    most_objects=4,
)


def config_of(seen: Findings = SEEN, **given: Any) -> Config:
    """The settings that follow from a look, and others."""
    layers = settings.layers(
        {
            "data.source": "pictures",
            "data.max_digits": 4,
            "data.digit_size": seen.digit_size,
            "data.digit_size_sd": 0.0,
            **{f"pictures.{key}": value for key, value in seen.pictures().model_dump().items()},
            **{key.replace("__", "."): value for key, value in given.items()},
        }
    )
    return settings.resolve(*layers)


def verdict(config: Config | None = None, seen: Findings = SEEN, **signs: Any) -> Trust:
    """The verdict on signs that are sound but for some."""
    return judge(replace(SOUND, **signs), seen, config or config_of(seen))


def test_what_is_shared_by_all_pictures_is_tested_on_all() -> None:
    """Three in a hundred of 60 objects compared may be chance, of 16,000 on all pictures not."""
    many: dict[str, Any] = {"objects": 60, "large": 0.03}
    assert verdict(**many, pictures=30).verdict == "trust"
    assert verdict(**many, pictures=10_000).verdict == "doubt"


def test_sound_results_are_trusted_whatever_the_settings() -> None:
    assert verdict().verdict == "trust"
    assert verdict().rows() == [("trust", "no sign of trouble")]
    other = config_of(model__object_size=30.0, model__pixel_sd=0.9, model__background="none")
    assert verdict(other).verdict == "trust"
    assert verdict(looks=1, unstable=math.nan).verdict == "trust"
    assert verdict(objects=0, candidates=0, box_size=math.nan, empty=1.0).verdict == "trust"


def test_what_is_at_the_same_place_in_all_pictures_is_in_doubt() -> None:
    seen = replace(SEEN, fixed=((3, 2, 9, 2),))
    found, advice = verdict(seen=seen), way_out(seen.fixed, config_of(seen))
    assert (found.verdict, found.trouble, found.advice) == ("doubt", (told(seen.fixed),), (advice,))


TOO_MANY: dict[str, Any] = {"full": 0.3}
NEEDLESS: dict[str, Any] = {"full": 0.2, "needless": 0.4, "certainty": 0.8}
UNSURE: dict[str, Any] = {"unstable": 0.2, "certainty": 0.9}
MISSED: dict[str, Any] = {"empty": 1.0, "missed": 1.0, "unexplained": 1.0}


def test_few_pictures_do_not_correct_the_settings() -> None:
    config = config_of(model__object_size=21.0)
    for pictures, wanted in ((ENOUGH, "--object-size 11"), (ENOUGH - 1, "--steps")):
        (advice,) = verdict(config, pictures=pictures, **UNSURE).advice
        assert wanted in advice


CAUSES: dict[str, tuple[dict[str, Any], dict[str, Any], Findings, str]] = {
    "found twice": (UNSURE | {"doubled": 0.5}, {}, SEEN, "--object-size 16"),
    "too few slots": (TOO_MANY, {}, SEEN, "--most-objects 8"),
    "half the size": (UNSURE | TOO_MANY, {"model__object_size": 5.0}, SEEN, "--object-size 11"),
    "twice the size": (UNSURE, {"model__object_size": 21.0}, SEEN, "--object-size 11"),
    "polarity": (NEEDLESS, {"model__polarity": "dark"}, SEEN, "model.polarity=bright"),
    "both kinds": (MISSED, {}, replace(SEEN, polarity="both"), "model.polarity=both"),
    "no background": (NEEDLESS, {"model__background": "none"}, SEEN, "background=rolling-ball"),
    "low noise": (NEEDLESS, {"model__pixel_sd": 0.05}, SEEN, "model.pixel_sd=0.2"),
    "high noise": (MISSED, {"model__pixel_sd": 0.8}, SEEN, "model.pixel_sd=0.2"),
    "low price": (NEEDLESS, {"prior__ratio": 0.95}, SEEN, "prior.ratio="),
    "high price": (MISSED, {"prior__ratio": 1e-40}, SEEN, "prior.ratio="),
    "faint": (MISSED, {"model__stretch": 0.0}, replace(SEEN, stretch=0.05), "model.stretch=0.05"),
    "hidden": (UNSURE, {"model__compositing": "over"}, SEEN, "model.compositing=add"),
    "added": (UNSURE, {"model__compositing": "add"}, replace(SEEN, compositing="over"), "=over"),
    "stretched": (UNSURE, {"model__stretch": 0.03}, SEEN, "model.stretch=0"),
    "texture": (UNSURE, {}, replace(SEEN, doubts=(TEXTURED,)), "textured"),
    "noise": (UNSURE, {}, replace(SEEN, noise=0.1, object_size=4.0), "noise"),
    "too short to blame the light": (NEEDLESS, {"train__steps": 60}, SEEN, "--steps 2000"),
    "large": ({"large": 0.4}, {}, SEEN, "as large as"),
    "too short": (UNSURE | TOO_MANY, {"train__steps": 60}, SEEN, "--steps 2000"),
    "far too short": (
        {"unstable": 0.9, "certainty": 0.7},
        {"train__steps": 60},
        SEEN,
        "--steps 2000",
    ),
}


@pytest.mark.parametrize(("signs", "given", "seen", "cause"), CAUSES.values(), ids=CAUSES)
def test_the_likeliest_cause_comes_with_the_way_out(
    signs: dict[str, Any], given: dict[str, Any], seen: Findings, cause: str
) -> None:
    usual = config_of(seen, **given)
    found = verdict(usual.updated("pictures", polarity="bright"), seen, **signs)
    assert found.verdict == "doubt"
    assert cause in found.advice[0]
    assert [label for label, _ in found.rows()] == ["in doubt", *["try"] * len(found.advice)]


def test_drawn_scenes_are_told_settings_in_place_of_options_of_import() -> None:
    drawn = config_of(data__source="cells")
    assert "--set model.slots=" in verdict(drawn, full=0.4).advice[0]
    wrong = config_of(data__source="cells", model__object_size=25.0)
    assert "--set model.object_size=11" in verdict(wrong, unstable=0.3).advice[0]


def test_a_size_that_a_person_named_is_not_taken_back() -> None:
    named = config_of(data__digit_size=40.0)
    assert not any("--object-size" in each for each in verdict(named, **UNSURE).advice)
    shrunk = replace(SEEN, object_size=SEEN.object_size / 3)
    assert any("--object-size" in each for each in verdict(named, shrunk, **UNSURE).advice)


@pytest.mark.parametrize("name", ["full", "unstable", "missed", "needless", "doubled", "large"])
def test_a_few_of_few_pictures_are_chance(name: str) -> None:
    few: dict[str, Any] = {"pictures": 9, "objects": 9, "candidates": 9, "slot_rates": (0.6, 0.4)}
    share: dict[str, Any] = {name: 0.12}
    assert verdict(**few, **share).verdict == "trust"
    assert verdict(**share).verdict == "doubt"


def test_all_numbers_are_told() -> None:
    plain = json.loads(json.dumps(verdict(**NEEDLESS).to_dict()))
    assert plain["verdict"] == "doubt"
    assert plain["slot_rates"] == [0.8, 0.5, 0.3, 0.1, 0.0]
    assert len(verdict(objects=0, box_size=math.nan, looks=1).facts()) == 13
