"""Scenes to draw, and what is found in pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from airkit.config.schema import Config, RenderConfig
from airkit.figures.examples import Example
from airkit.figures.page import Page

Array = np.ndarray[Any, Any]
Extent = tuple[int, int, int, int]
ROWS = [
    {"step": 2, "loss": 9.0, "elbo": -9.0, "learning_rate": 1e-3, "seconds": 1.0},
    {"step": 4, "val_elbo": -8.0, "val_count_accuracy": 0.25},
    {"step": 4, "loss": 7.0, "elbo": -7.0, "learning_rate": 1e-3, "seconds": 2.0},
]
"""Rows of metrics."""


def made(count: int, true_count: int, *, side: int = 20, slots: int = 3) -> Example:
    """A scene of blank canvases, with a box of 4 x 5 pixels at (5 t + 1, 2 t + 3) in slot t."""
    boxes = np.array([[5 * t + 1, 2 * t + 3, 4, 5] for t in range(slots)], np.float32)
    return Example(
        image=np.zeros((1, side, side), np.float32),
        true_count=true_count,
        true_boxes=boxes[:true_count] + np.array([0, 6, 0, 0], np.float32),
        count=count,
        boxes=boxes[:count],
        presence=np.ones(slots, np.float32),
        windows=np.zeros((slots, 1, 8, 8), np.float32),
        canvases=np.zeros((slots + 1, 1, side, side), np.float32),
    )


def sized(rows: int = 1, columns: int = 1, scale: float = 2.0) -> Config:
    return Config(render=RenderConfig(rows=rows, columns=columns, scale=scale))


def where(pixels: Array, colour: tuple[int, int, int]) -> list[Extent]:
    """Extents (left, top, right, bottom; ends excluded) of a colour, apart by rows of none."""
    rows = (pixels == colour).all(2)
    inked = np.flatnonzero(rows.any(1))
    parts = np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1) if len(inked) else []
    found = []
    for part in parts:
        columns = np.flatnonzero(rows[part[0] : part[-1] + 1].any(0))
        found.append((int(columns[0]), int(part[0]), int(columns[-1]) + 1, int(part[-1]) + 1))
    return found


def decoded(path: Path) -> Array:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def assert_words_apart(page: Page) -> None:
    """Every text is on the page, and no two overlap."""
    drawn = page.figure().texts[: len(page.texts)]  # the numbers of boxes may overlap
    extents = [text.get_window_extent() for text in drawn]
    for index, one in enumerate(extents):
        assert 0 <= one.x0 < one.x1 <= page.width * page.zoom
        assert 0 <= one.y0 < one.y1 <= page.height * page.zoom
        assert not any(one.overlaps(other) for other in extents[index + 1 :])
