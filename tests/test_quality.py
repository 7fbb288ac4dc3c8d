"""The main job at full size: what a user gets from the defaults, on held-out digits."""

from __future__ import annotations

from pathlib import Path

import pytest

import airkit

MNIST = Path(__file__).parents[2] / "shared" / "mnist-mini"

SOURCES = [
    "strokes",
    pytest.param(
        str(MNIST), marks=pytest.mark.skipif(not MNIST.exists(), reason="no folder of MNIST digits")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: Path(source).name)
def test_the_defaults_count_digits_never_seen(home: Path, source: str) -> None:
    airkit.make_data("digits.h5", settings={"data.source": source, "data.test": 4000})
    airkit.train("digits.h5", "run")
    found = airkit.evaluate("run")
    assert found.count_accuracy_one_look >= 0.98
    assert found.count_accuracy >= 0.99
    assert found.mean_iou >= 0.8
    assert found.ap50 >= 0.97
    assert found.log_likelihood_bound > found.elbo
