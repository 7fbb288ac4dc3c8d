"""A scale bar or a frame on all pictures is told, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_look import SIDE, bytes_of, discs, lumps, slope, texture

from airkit.config.schema import Config
from airkit.data.look.findings import look
from airkit.data.look.fixed import told, way_out

Array = np.ndarray[Any, Any]
_Y, _X = np.mgrid[:SIDE, :SIDE] + 0.5


def grey(many: int = 60, noise: float = 0.02) -> Array:
    """Grey levels of bright discs on grey, [N, H, H]."""
    return discs(lambda _: 0.2, levels=(0.5, 0.7), noise=noise, many=many)


def bar(levels: Array, value: float = 1.0) -> Array:
    """Pictures with a scale bar of 15 x 3 px."""
    levels[:, 40:43, 30:45] = value
    return levels


def frame(levels: Array) -> Array:
    """Pictures with a line of 2 px above and one of 1 px at the right."""
    levels[:, :2], levels[:, :, -1:] = 1, 1
    return levels


def stamp(levels: Array) -> Array:
    """Pictures with five strokes of 2 x 6 px, as of a time stamp."""
    for x in range(4, 24, 4):
        levels[:, 38:44, x : x + 2] = 1
    return levels


@pytest.mark.parametrize(
    ("levels", "places"),
    [
        (bar(grey()), "(15 x 3 px at x 30, y 40)"),
        (1 - bar(grey()), "(15 x 3 px at x 30, y 40)"),
        (bar(discs(lumps, noise=0.02, adds=True)), "(15 x 3 px at x 30, y 40)"),
        (frame(grey()), "(48 x 2 px at x 0, y 0; 1 x 48 px at x 47, y 0)"),
        (stamp(grey()), "2 x 6 px at x 8, y 38; 2 x 6 px at x 12, y 38 and 2 more)"),
        (bar(grey(16)), "(15 x 3 px at x 30, y 40)"),
    ],
    ids=["bar", "dark bar", "bar on lumps", "frame", "time stamp", "16 pictures"],
)
def test_what_is_on_all_pictures_is_told_with_its_place(levels: Array, places: str) -> None:
    assert places in told(look(bytes_of(levels)).fixed)


def test_a_bar_that_a_few_pictures_lack_is_told() -> None:
    levels = np.concatenate([bar(grey(57)), grey(3)])
    assert "15 x 3 px" in told(look(bytes_of(levels)).fixed)


def centred(rng: np.random.Generator) -> Array:
    """A cell that was cropped around its middle, to within a pixel."""
    off = np.hypot(_X - SIDE / 2 - rng.normal(), _Y - SIDE / 2 - rng.normal())
    cell: Array = 0.1 + 0.5 * np.clip(rng.uniform(8, 10) - off, 0, 1)
    return cell


def crowded(rng: np.random.Generator) -> Array:
    """Objects on half of the picture."""
    return 0.2 + 0.5 * (rng.random((SIDE // 8, SIDE // 8)) < 0.5).repeat(8, 0).repeat(8, 1)


def vignette(_: np.random.Generator) -> Array:
    """The same soft light on all pictures."""
    light: Array = 0.3 * np.exp(-((_X - 24) ** 2 + (_Y - 24) ** 2) / (2 * 25**2))
    return light


@pytest.mark.parametrize("background", [slope, lumps, texture, centred, crowded, vignette])
def test_backgrounds_and_objects_are_not_taken_for_a_bar(
    background: Callable[[np.random.Generator], Array],
) -> None:
    assert not look(bytes_of(discs(background, noise=0.02, many=60))).fixed


@pytest.mark.parametrize("levels", [bar(grey(15)), np.zeros((40, SIDE, SIDE)), grey(300)])
def test_few_empty_and_usual_pictures(levels: Array) -> None:
    assert not look(bytes_of(levels)).fixed


def imported(**pictures: Any) -> Config:
    """Settings of a data file of pictures of 48 x 40 px."""
    sizes = {"canvas_size": 48, "height": 40, "width": 48}
    return Config(data=sizes, pictures={"height": 40, "width": 48, **pictures})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("boxes", "pictures", "way"),
    [
        ([(30, 34, 15, 3)], {}, "crop=(0, 0, 0, 6),"),
        ([(30, 34, 15, 3)], {"scale": 0.4, "crop": (0, 10, 0, 2)}, "crop=(0, 10, 0, 17),"),
        ([(0, 0, 48, 2), (47, 0, 1, 40)], {}, "crop=(0, 2, 1, 0),"),
        ([(0, 3, 5, 8), (1, 30, 3, 2)], {}, "crop=(5, 0, 0, 0),"),
        ([(20, 18, 6, 6)], {}, "paint it over"),
        ([(30, 34, 15, 3)], {"height": 96, "width": 96}, "crop=(LEFT, TOP, RIGHT, BOTTOM)"),
        ([(30, 34, 15, 3)], {"height": 0, "width": 0}, "crop=(LEFT, TOP, RIGHT, BOTTOM)"),
    ],
    ids=["below", "scaled and cropped", "frame", "one edge for two", "inside", "tiles", "mixed"],
)
def test_the_way_out_names_the_least_edges(
    boxes: list[tuple[int, int, int, int]], pictures: dict[str, Any], way: str
) -> None:
    assert way in way_out(boxes, imported(**pictures))
