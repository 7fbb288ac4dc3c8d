"""The localisation policy: every window of a slot that is on, at its place, and no other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import data_file, reference
from torch import Tensor

from airkit.config.schema import Config, RenderConfig
from airkit.figures.page import Sheet
from airkit.figures.policy import histogram, looks, sheet, smoothed
from airkit.figures.render import render
from airkit.model.scene import explain
from airkit.runs.trained import TrainedRun, open_run
from airkit.system.callbacks import SILENT, Listener

Array = np.ndarray[Any, Any]
SIDE = 20


def opened(**given: Any) -> TrainedRun:
    """The reference run beside its test split of 20 canvases."""
    keys = {key.replace("__", "."): value for key, value in given.items()}
    return open_run(reference(), None, "best", keys, SILENT)


def drawn(centres: Tensor, counts: list[int], **render: Any) -> Sheet:
    """The sheet of some looks, at one screen pixel a canvas pixel unless told otherwise."""
    config = Config(render=RenderConfig(**{"scale": 1.0, **render}))
    return sheet(centres, torch.tensor(counts), SIDE, config)


def tiles(page: Sheet, count: int, side: int = SIDE) -> list[Array]:
    """Darkness 0..1 of each map, all in one row: 84 pixels a cell, 10 between them."""
    top = _top(page)
    lefts = [14 + 94 * slot + (84 - side) // 2 for slot in range(count)]
    return [1 - page.pixels[top : top + side, left : left + side].mean(2) / 255 for left in lefts]


def _top(page: Sheet) -> int:
    """Where the first row of maps begins: under their edge."""
    edge = (page.pixels != 255).any(2).any(1)
    return int(np.flatnonzero(edge)[0]) + 1


def peak(tile: Array) -> tuple[int, int]:
    """Column and row of the darkest pixel."""
    row, column = np.unravel_index(tile.argmax(), tile.shape)
    return int(column), int(row)


def words(page: Sheet) -> list[str]:
    return [text.words for text in page.texts]


# --- counting


def test_points_fall_into_the_pixel_they_are_on() -> None:
    points = np.array([[0.0, 0.0], [3.9, 7.1], [3.0, 7.99], [19.999, 5.0]])
    found = histogram(points, SIDE)
    wanted = np.zeros((SIDE, SIDE), int)
    wanted[0, 0], wanted[7, 3], wanted[5, 19] = 1, 2, 1  # row, then column
    assert np.array_equal(found, wanted)


def test_points_beyond_the_canvas_count_at_its_edge() -> None:
    points = np.array([[-4.0, 7.5], [20.0, 20.0], [7.5, 1e6]])
    found = histogram(points, SIDE)
    assert found.sum() == 3
    assert found[7, 0] == found[19, 19] == found[19, 7] == 1


@pytest.mark.parametrize(("side", "bins"), [(8, 8), (50, 50), (128, 128), (129, 65), (1024, 512)])
def test_bins_are_a_pixel_or_two(side: int, bins: int) -> None:
    found = histogram(np.array([[side - 0.01, 0.3 * side]]), side)
    assert found.shape == (bins, bins)
    assert found[int(0.3 * bins), bins - 1] == found.sum() == 1


def test_no_points_make_an_empty_map() -> None:
    assert not histogram(np.zeros((0, 2)), SIDE).any()


@pytest.mark.parametrize("at", [(10, 4), (0, 0), (0, 11), (49, 49)])
def test_smoothing_keeps_the_sum_and_the_peak(at: tuple[int, int]) -> None:
    counts = np.zeros((50, 50))
    counts[at] = 7
    heat = smoothed(counts)
    assert heat.sum() == pytest.approx(7)
    assert peak(heat) == at[::-1]
    far = np.hypot(*(np.indices(heat.shape) - np.array(at)[:, None, None])) > 8
    assert heat[far].sum() < 0.01, "light"


# --- the sheet


def test_mass_is_where_the_windows_are_centred_and_off_slots_have_none() -> None:
    on, off = [[5.5, 14.5], [15.5, 4.5]], [[12.5, 12.5], [4.5, 4.5]]
    centres = torch.tensor([[on[0], on[1]], [on[0], off[1]], [off[0], off[1]]])
    first, second = tiles(drawn(centres, [2, 1, 0]), 2)
    assert peak(first) == (5, 14)
    assert peak(second) == (15, 4)
    assert first[12, 12] == second[4, 4] == 0


def test_every_slot_has_a_scale_of_its_own() -> None:
    centres = torch.full((100, 2, 2), 10.5)
    first, second = tiles(drawn(centres, [1] * 99 + [2]), 2)
    assert np.array_equal(first, second)
    assert first.max() > 0.98


def test_captions_tell_the_share_of_canvases() -> None:
    page = drawn(torch.full((3000, 4, 2), 10.5), [3] + [2] * 749 + [1] * 750 + [0] * 1500)
    assert words(page)[-8:] == [
        "slot 1", "on in 50.0 %", "slot 2", "on in 25.0 %",
        "slot 3", "on in 0.03 %", "slot 4", "never on",
    ]  # fmt: skip
    assert not tiles(page, 4)[3].any()
    assert words(page)[1] == "test split, all 3,000 canvases; one look at each"


@pytest.mark.parametrize("scale", [0.5, 2.0, 6.0])
def test_words_stay_on_the_page_and_apart(scale: float) -> None:
    page = drawn(torch.full((3, 12, 2), 4.0), [12, 3, 10], scale=scale, columns=5)
    boxes = [text.get_window_extent() for text in page.figure().texts]
    for index, one in enumerate(boxes):
        assert 0 <= one.x0 < one.x1 <= page.width
        assert 0 <= one.y0 < one.y1 <= page.height
        assert not any(one.overlaps(other) for other in boxes[index + 1 :])


# --- from a run


def test_looks_are_those_of_one_look_in_the_order_of_the_split() -> None:
    run = opened(eval__looks=5)
    centres, counts = looks(run, SILENT)
    with torch.inference_mode():
        scene = explain(run.air, run.images(torch.arange(20)))
    torch.testing.assert_close(centres, scene.centre)
    assert torch.equal(counts, scene.count)
    slots = range(centres.shape[1])
    maps = [histogram(centres[counts > slot, slot].numpy(), 24) for slot in slots]
    assert sum(int(each.sum()) for each in maps) == int(counts.sum()) > 0


def test_progress_is_told_by_the_canvas() -> None:
    class Heard(Listener):
        def progress(self, task: str, done: int, total: int) -> None:
            told.append((task, done, total))

    told: list[tuple[str, int, int]] = []
    looks(opened(eval__batch_size=7), Heard())
    assert told == [("looking", done, 20) for done in (7, 14, 20)]


def test_the_looks_of_evaluation_change_nothing(tmp_path: Path) -> None:
    pictures = {
        render(
            reference(), kind="policy", out=tmp_path / "a.png", settings={"eval.looks": many}
        ).path.read_bytes()
        for many in (1, 3)
    }
    assert len(pictures) == 1


@pytest.mark.parametrize("size", [16, 60, 200])
def test_canvases_of_any_size_have_a_policy(size: int, tmp_path: Path) -> None:
    run = shutil.copytree(reference(), tmp_path / "run")
    data = data_file(canvas_size=size, max_digits=1, train=1, val=1, test=3)
    picture = render(run, kind="policy", data=data, settings={"render.scale": 1.0})
    assert picture.canvases == 3
    with Image.open(picture.path) as image:
        assert image.width == max(360, 3 * max(size, 84) + 2 * 10 + 2 * 14)
