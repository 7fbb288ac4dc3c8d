"""What is trained for the paper's figures, on which canvases, and with how much of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """With how much of everything the experiments are made."""

    seeds: int
    """Trainings of each model."""
    labels: tuple[int, ...]
    """Numbers of labels that classifiers train with, as far as there are canvases."""
    steps: int
    """Most steps of a classifier."""
    settings: Mapping[str, Any]
    """Settings of all models."""
    published: Mapping[str, Any]
    """Further ones of the published guide and estimator."""


_PUBLISHED = {"guide.kind": "lstm", "train.estimator": "nvil", "train.learning_rate": 1e-3}
FULL = Budget(
    seeds=3,
    labels=(1_000, 10_000, 60_000),
    steps=15_000,
    settings={"train.val_early": 25},
    published={**_PUBLISHED, "train.steps": 10_000},
)
QUICK = Budget(
    seeds=1,
    labels=(1_000, 10_000),
    steps=3_000,
    settings={
        "data.train": 10_000,
        "data.val": 500,
        "data.test": 1_000,
        "train.steps": 1_000,
        "train.val_every": 250,
        "train.val_early": 25,
    },
    published={**_PUBLISHED, "train.steps": 2_000},
)
PRINT = {
    "render.format": "pdf",
    "render.width": "column",
    "render.titles": False,
    "render.rows": 3,
}
TRAINED: Mapping[str, tuple[int, ...]] = {"0, 1, 2": (0, 1, 2), "0, 1, 3": (0, 1, 3)}
"""Numbers of digits on the canvases of a training."""
_ANY = {"data.min_digits": 0, "data.count_weights": ()}
CANVASES: Mapping[str, Mapping[str, Any]] = {
    "0, 1, 2": {**_ANY, "data.max_digits": 2},
    "0, 1, 3": {**_ANY, "data.max_digits": 3, "data.count_weights": (1, 1, 0, 1)},
    "0 to 3": {**_ANY, "data.max_digits": 3, "data.train": 0, "data.val": 0},
    "pairs": {**_ANY, "data.min_digits": 2, "data.max_digits": 2},
}
"""What is in the data files."""
FIXED = (*_ANY, "data.max_digits", "train.seed")
"""Settings that the experiments fix."""
PIXELS = "convolutional net"
"""What reads pixels in place of a model's codes."""
FREE = ("render.", "train.device")
"""Prefixes of the settings that may change when a stopped call goes on."""
