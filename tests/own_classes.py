"""What uses the classes of the module ``mine``, which is in the current folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_runs import reference

from airkit.data.make import make_data
from airkit.evaluation.evaluate import evaluate

SMALL = {
    "data.source": "mine:Bars",
    "data.canvas_size": 24,
    "data.digit_size": 8.0,
    "data.digit_size_sd": 0.5,
    "data.train": 30,
    "data.val": 8,
    "data.test": 6,
}
SWEPT: dict[str, Any] = {
    "guide.kind": "mine:Guide",
    "prior.kind": "mine:Prior",
    "eval.measures": ["counts", "mine:Seen"],
}
"""Settings of a sweep that names classes."""


def measured(*names: str) -> dict[str, Any]:
    return evaluate(reference(), settings={"eval.measures": list(names)}).to_dict()


def make(path: str, source: str = "mine:Bars") -> Path:
    return make_data(path, settings={**SMALL, "data.source": source}).path
