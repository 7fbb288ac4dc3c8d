"""The main job at full size: what a user gets from the defaults, on held-out digits."""

from __future__ import annotations

import os
from pathlib import Path

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
