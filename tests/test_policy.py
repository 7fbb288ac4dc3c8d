"""The localisation policy: every window of a slot that is on, at its place, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pixels import assert_words_apart
from tiny_runs import Recorder, data_file, reference
from torch import Tensor

from airkit.config.schema import Config, RenderConfig
from airkit.figures.page import HEAT
from airkit.figures.policy import centres_and_counts, histogram, sheet, smoothed
from airkit.figures.render import render
from airkit.figures.sheet import Sheet
from airkit.model.scene import explain
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]
SIDE = 20


def drawn(centres: Tensor, counts: list[int], **render: Any) -> Sheet:
    """The sheet of some looks, at one screen pixel a canvas pixel unless told otherwise."""
    config = Config(render=RenderConfig(**{"scale": 1.0, **render}))
    return sheet(centres, torch.tensor(counts), (SIDE, SIDE), config)


def tiles(page: Sheet, count: int) -> list[Array]:
    """Darkness 0..1 of the maps of the first ``count`` cells."""
    found = []
    for index in range(count):
        left, top = page.corner(index)
        left, top = left + (page.cell[0] - SIDE) // 2, top + 16
        found.append(1 - page.pixels[top : top + SIDE, left : left + SIDE].mean(2) / 255)
    return found


def peak(tile: Array) -> tuple[int, int]:
    """Column and row of the darkest pixel."""
    row, column = np.unravel_index(tile.argmax(), tile.shape)
    return int(column), int(row)


def test_points_fall_into_the_pixel_they_are_on_or_the_nearest_one() -> None:
    inside = [[0.0, 0.0], [3.9, 7.1], [3.0, 7.99], [19.999, 5.0]]
    outside = [[-4.0, 7.5], [20.0, 20.0], [7.5, 1e6]]
    wanted = np.zeros((SIDE, SIDE), int)
    wanted[0, 0], wanted[7, 3], wanted[5, 19] = 1, 2, 1  # row, then column
    wanted[7, 0], wanted[19, 19], wanted[19, 7] = 1, 1, 1
    assert np.array_equal(histogram(np.array(inside + outside), (SIDE, SIDE)), wanted)
    assert not histogram(np.zeros((0, 2)), (SIDE, SIDE)).any()


@pytest.mark.parametrize(("side", "bins"), [(8, 8), (128, 128), (129, 65), (1024, 512)])
def test_bins_are_a_pixel_or_two(side: int, bins: int) -> None:
    found = histogram(np.array([[side - 0.01, 0.3 * side]]), (side, side))
    assert found.shape == (bins, bins)
    assert found[int(0.3 * bins), bins - 1] == found.sum() == 1


@pytest.mark.parametrize(("shape", "bins"), [((20, 50), (20, 50)), ((301, 40), (151, 20))])
def test_a_map_has_the_shape_of_the_canvas(shape: Any, bins: tuple[int, int]) -> None:
    found = histogram(np.array([[shape[1] - 0.01, 0.01], [0.0, 1e6]]), shape)
    assert found.shape == smoothed(found).shape == bins
    assert found[0, -1] == found[-1, 0] == 1
    assert smoothed(found).sum() == pytest.approx(2)


@pytest.mark.parametrize("at", [(10, 4), (0, 0), (0, 11), (49, 49)])
def test_smoothing_is_slight_and_keeps_the_sum_and_the_peak(at: tuple[int, int]) -> None:
    counts = np.zeros((50, 50))
    counts[at] = 7
    heat = smoothed(counts)
    assert heat.sum() == pytest.approx(7)
    assert peak(heat) == at[::-1]
    far = np.hypot(*(np.indices(heat.shape) - np.array(at)[:, None, None])) > 8
    assert heat[far].sum() < 0.01


def test_mass_is_where_the_windows_are_centred_and_off_slots_have_none() -> None:
    on, off = [[5.5, 14.5], [15.5, 4.5]], [[12.5, 12.5], [4.5, 4.5]]
    centres = torch.tensor([[on[0], on[1]], [on[0], off[1]], [off[0], off[1]]])
    first, second = tiles(drawn(centres, [2, 1, 0]), 2)
    assert peak(first) == (5, 14)
    assert peak(second) == (15, 4)
    assert first[12, 12] == second[4, 4] == 0


def test_slots_are_as_dark_as_they_are_often_on_and_the_bar_says_how_often() -> None:
    page = drawn(torch.full((3000, 4, 2), 10.5), [3] + [2] * 749 + [1] * 750 + [0] * 1500)
    first, second, third, fourth = (tile.max() for tile in tiles(page, 4))
    assert first > 0.7
    assert 0.4 * first < second < 0.7 * first
    assert third < 0.01
    assert fourth == 0
    words = [text.words for text in page.texts]
    assert words[-8:] == [
        "slot 1", "on in 50.0 %", "slot 2", "on in 25.0 %",
        "slot 3", "on in 0.03 %", "slot 4", "never on",
    ]  # fmt: skip
    assert words[1] == "test split, all 3,000 canvases; one look at each"
    (bar,) = page.keys
    most = 50 * smoothed(histogram(np.array([[10.5, 10.5]]), (SIDE, SIDE))).max()
    assert f"{most:.2g} % of all canvases" in bar.label
    assert bar.colours[0] == (255, 255, 255)


def test_a_map_has_one_hue() -> None:
    blue = HEAT(np.linspace(0.05, 1, 20))
    assert (np.diff(blue[:, :3].sum(1)) < 0).all(), "the more, the darker"
    assert (blue[:, 2] > blue[:, 1]).all()
    assert (blue[:, 1] > blue[:, 0]).all()


@pytest.mark.parametrize("scale", [0.5, 6.0])
def test_words_stay_on_the_page_and_apart(scale: float) -> None:
    page = drawn(torch.full((3, 12, 2), 4.0), [12, 3, 10], scale=scale, columns=5)
    assert_words_apart(page)


def test_looks_are_those_of_one_look_in_the_order_of_the_split() -> None:
    listener = Recorder()
    run = open_run(reference(), None, "best", {"eval.looks": 5, "eval.batch_size": 7}, SILENT)
    centres, counts = centres_and_counts(run, listener)
    with torch.inference_mode():
        scene = explain(run.air, run.images(torch.arange(20)))
    torch.testing.assert_close(centres, scene.centre)
    assert torch.equal(counts, scene.count)
    assert listener.told == [("looking", done, 20) for done in (7, 14, 20)]


@pytest.mark.parametrize("size", [16, 200])
def test_canvases_of_any_size_have_a_policy(size: int, tmp_path: Path) -> None:
    data = data_file(canvas_size=size, max_digits=1, train=1, val=1, test=3)
    given = {"render.scale": 1.0}
    picture = render(reference(), kind="policy", data=data, settings=given, out=tmp_path / "a.png")
    assert picture.canvases == 3
    with Image.open(picture.path) as image:
        assert image.width == max(360, 3 * max(size, 84) + 2 * 10 + 2 * 14)
