"""What a user gets: from the defaults on held-out digits, and from a short training on pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import airkit

MNIST = os.environ.get("AIRKIT_TEST_MNIST", "")
"""A folder of real digits in MNIST's file layout, for the tests that want some."""

needs_mnist = pytest.mark.skipif(not Path(MNIST or "/none").is_dir(), reason="AIRKIT_TEST_MNIST")
SOURCES = ["strokes", pytest.param(MNIST, marks=needs_mnist, id="mnist")]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_the_defaults_count_digits_never_seen(home: Path, source: str) -> None:
    airkit.make_data("digits.h5", settings={"data.source": source, "data.test": 4000})
    airkit.train("digits.h5", "run")
    found = airkit.evaluate("run")
    assert found.count_accuracy_one_look >= 0.98
    assert found.count_accuracy >= 0.99
    assert found.mean_iou >= 0.8
    assert found.ap50 >= 0.97
    assert found.log_likelihood_bound > found.elbo


@pytest.mark.slow
@needs_mnist
def test_the_papers_guide_counts_digits_never_seen(home: Path) -> None:
    """The LSTM, with the exact estimator; without, it is known to take many times the steps."""
    airkit.make_data("digits.h5", settings={"data.source": MNIST, "data.test": 4000})
    airkit.train("digits.h5", "run", settings=[airkit.settings.from_preset("lstm")])
    found = airkit.evaluate("run", settings={"eval.likelihood_samples": 1})
    assert found.count_accuracy_one_look >= 0.98


# Pictures of every kind

SMALL: dict[str, Any] = {
    "train.steps": 600,
    "train.batch_size": 32,
    "train.learning_rate": 4e-3,
    "model.hidden_size": 64,
    "model.code_size": 16,
}
GREY, COLOURS = ((1.0, 1.0, 1.0),), ((1.0, 0.4, 0.4), (0.4, 0.4, 1.0))


def pictures(
    many: int, signs: tuple[int, ...], colours: tuple[Any, ...], *, opaque: bool
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pictures uint8 [N, 24, 24, 3] of 0 to 2 opaque discs, or rings that add up; their counts.

    Objects are brighter or darker than their grey background, as ``signs`` say.
    """
    draws = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24]
    images, counts = np.full((many, 24, 24, 3), 0.5), draws.integers(0, 3, many)
    for row in np.repeat(np.arange(many), counts):
        (left, top), radius = draws.uniform(5, 19, 2), draws.uniform(2.5, 3.5)
        away = np.hypot(x - left, y - top)[..., None] - radius
        change = draws.choice(signs) * np.array(colours[draws.integers(len(colours))])
        if opaque:
            disc = np.clip(0.5 - away, 0, 1)
            images[row] = (1 - disc) * images[row] + disc * (0.5 + 0.35 * change)
        else:
            images[row] += 0.3 * np.exp(-((away / 1.2) ** 2)) * change
    images += draws.normal(0, 0.02, (many, 24, 24, 1))
    return np.round(255 * images.clip(0, 1)).astype(np.uint8), counts


@pytest.mark.slow
@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("colours", [GREY, COLOURS])
@pytest.mark.parametrize("signs", [(1,), (-1,), (-1, 1)])
def test_pictures_of_every_kind_are_counted(
    home: Path, signs: tuple[int, ...], colours: tuple[Any, ...], opaque: bool
) -> None:
    images, counts = pictures(1_900, signs, colours, opaque=opaque)
    held_out = {"images": images[1500:], "counts": counts[1500:]}
    airkit.import_scenes(images[:1500], test=held_out, path="pictures.h5")
    airkit.train("pictures.h5", "run", settings=SMALL)
    assert airkit.evaluate("run", settings={"eval.looks": 1}).count_accuracy >= 0.9
