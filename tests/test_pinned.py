"""Canvases and strokes that every airkit makes from these settings: they must never change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from test_compose import POOL

from airkit.config.schema import DataConfig
from airkit.data.compose import compose
from airkit.data.strokes import draw

PINNED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "sum": ({}, "6fe0a8c3a611fe92"),
    "sum of seven": (
        {"canvas_size": 64, "digit_size": 14.0, "min_digits": 7, "max_digits": 7},
        "4c449ab180163fce",
    ),
    "none": ({"overlap": "none"}, "f34b1872cf6bbbf2"),
    "IoU": ({"overlap": 0.2, "max_digits": 4, "canvas_size": 64}, "d883cd8920c17fa7"),
    "cut": ({"overlap": 1.0, "min_digits": 3, "max_digits": 3}, "414b14602678d293"),
    "large": ({"canvas_size": 150, "digit_size": 80.0, "digit_size_sd": 4.0}, "0b9b047f10d2808e"),
    "same side": ({"digit_size_sd": 0.0, "count_weights": (1.0, 0.0, 3.0)}, "04374a00deb3f62e"),
}


@pytest.mark.parametrize("name", PINNED)
def test_canvases_never_change(name: str) -> None:
    given, wanted = PINNED[name]
    canvases = compose(DataConfig(**given), "test", POOL, 1000, 1200)
    content = b"".join(array.tobytes() for array in canvases.known.values())
    assert hashlib.sha256(content).hexdigest()[:16] == wanted


def test_strokes_never_change() -> None:
    images, labels = draw(300, 0, "val")
    content = images.tobytes() + labels.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "7f9316fec602c3fe"
