"""Why nothing was found on an image is told by a look at it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from airkit.config.schema import Config
from airkit.config.settings import layers, resolve
from airkit.evaluation.reasons import NOTHING, TEXTS, Reasons

Array = np.ndarray[Any, Any]
SIDE, SIZE = 64, 10


def config(background: str, polarity: str) -> Config:
    data = {"data.source": "pictures", "data.canvas_size": SIDE, "data.digit_size": SIZE / 0.95}
    pictures = {"background": background, "polarity": polarity, "contrast": 0.4, "noise": 0.02}
    return resolve(*layers({**data, **{f"pictures.{key}": pictures[key] for key in pictures}}))


def ground(background: str, seed: int) -> Array:
    """A background with noise of 2 %."""
    draws, ramp = np.random.default_rng(seed), np.linspace(0, 1, SIDE)
    level = {
        "none": np.zeros((SIDE, SIDE)),
        "constant": np.full((SIDE, SIDE), 0.5),
        "plane": 0.4 + 0.2 * ramp[:, None] + 0.1 * ramp,
        "smooth": 0.5 + 0.1 * np.sin(3 * ramp[:, None] + seed) * np.cos(2 * ramp),
    }[background]
    return level + draws.normal(0, 0.02, (SIDE, SIDE)) * (background != "none")


def with_discs(levels: Array, radius: float, contrast: float) -> Array:
    y, x = np.mgrid[:SIDE, :SIDE]
    image = levels.copy()
    for centre in ((16, 20), (45, 40)):
        image += contrast * (np.hypot(x - centre[0], y - centre[1]) < radius)
    return np.asarray(image.clip(0, 1), np.float32)[None]


GROUNDS = ["none", "constant", "plane", "smooth"]


@pytest.mark.parametrize("background", GROUNDS)
@pytest.mark.parametrize("seed", range(5))
def test_nothing_stands_out_of_an_empty_image(background: str, seed: int) -> None:
    image = with_discs(ground(background, seed), 1, 0)
    for polarity in ("bright", "dark", "both"):
        assert Reasons(config(background, polarity)).reason(image) == NOTHING


@pytest.mark.parametrize("background", GROUNDS)
@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_what_stands_out_gives_the_reason(background: str, polarity: str) -> None:
    sign = 1 if polarity == "bright" else -1
    if background == "none" and sign < 0:
        return  # nothing is darker than black
    reasons, levels = Reasons(config(background, polarity)), ground(background, 0)
    radius = SIZE / 2
    assert reasons.reason(with_discs(levels, radius, 0.4 * sign)) == "not taken for objects"
    assert reasons.reason(with_discs(levels, radius, 0.13 * sign)) == "too faint"
    assert reasons.reason(with_discs(levels, 2, 0.4 * sign)) in ("other size", NOTHING)
    if background != "smooth":  # which takes what is wide for background
        assert reasons.reason(with_discs(levels, 12, 0.4 * sign)) == "other size"
    if background != "none":
        assert reasons.reason(with_discs(levels, radius, -0.4 * sign)) == "other polarity"


def test_tiles_tell_the_most_common_reason() -> None:
    reasons, levels = Reasons(config("constant", "bright")), ground("constant", 0)
    empty = levels.astype(np.float32)[None]
    dark = with_discs(levels, 5, -0.4)
    assert reasons.common([empty, empty]) == NOTHING
    assert reasons.common([empty, empty, dark]) == "other polarity"
    assert set(TEXTS) == {"other polarity", "other size", "too faint"}
