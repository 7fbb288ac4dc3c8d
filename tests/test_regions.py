"""One large picture is enough: its regions are splits, and no tile is in two of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_pictures import Array, imported, save
from PIL import Image
from tiny_runs import Recorder

from airkit.data.canvases import SPLITS
from airkit.data.imports.geometry import divided, starts
from airkit.data.imports.pictures import Picture
from airkit.data.imports.regions import regions
from airkit.data.imports.survey import Levels, Survey
from airkit.data.reader import read_split
from airkit.errors import ImageError

LARGE = 30
"""Most tiles on a side."""


def scene(height: int, width: int, seed: int = 0, every: int = 24) -> dict[str, Any]:
    """A picture of many squares of 6 px, one a cell of a grid, with boxes and mask."""
    draws = np.random.default_rng(seed)
    image = draws.integers(0, 20, (height, width)).astype(np.uint8)
    mask, boxes = np.zeros((height, width), np.int64), []
    for top in range(0, height - every + 1, every):
        for left in range(0, width - every + 1, every):
            x, y = np.array([left, top]) + draws.integers(0, every - 6, 2)
            boxes.append((x, y, 6, 6))
            image[y : y + 6, x : x + 6] = draws.integers(150, 250)
            mask[y : y + 6, x : x + 6] = len(boxes)
    return {"images": image[None], "boxes": np.array(boxes, float)[None], "masks": mask[None]}


def patches(images: Array) -> set[bytes]:
    """All squares of 8 x 8 pixels; by their noise, no two of a scene are equal."""
    every = np.lib.stride_tricks.sliding_window_view(images, (1, 8, 8)).reshape(-1, 64)
    return {patch.tobytes() for patch in every}


def tiles(path: Path) -> dict[str, Array]:
    return {split: read_split(path, split).image for split in SPLITS}


@settings(max_examples=100, deadline=None)
@given(
    st.integers(8, 8 * LARGE),
    st.integers(8, 8 * LARGE),
    st.sampled_from([8, 12, 16]),
    st.sampled_from([["test", "val"], ["val"], ["test"]]),
)
def test_regions_share_no_pixel(height: int, width: int, side: int, held: Sequence[str]) -> None:
    owners = np.zeros((height, width), int)
    found = regions(height, width, side, held)
    for window in found.values():
        assert owners[window].size > 0
        owners[window] += 1
    assert (owners == 1).all()
    assert set(found) in ({"train"}, {"train", *held})
    many = max(height // side, 1) * max(width // side, 1)
    if many > 3:
        shares = {split: owners[window].size / owners.size for split, window in found.items()}
        assert all(shares[split] < 0.67 for split in held)
    if many > 100 and min(height, width) > 4 * side:
        assert shares["train"] > 0.6


@pytest.mark.parametrize(("height", "width"), [(200, 330), (330, 200), (130, 121)])
def test_one_picture_is_split_by_region(tmp_path: Path, height: int, width: int) -> None:
    given = scene(height, width)
    listener = Recorder()
    report = imported(path=tmp_path / "a.h5", tile=24, most_objects=9, listener=listener, **given)
    assert min(report.splits.values()) >= 2
    assert not any("too few" in note for note in listener.notes)
    assert any("regions" in note for note in listener.notes)
    pixels = {split: patches(images) for split, images in tiles(report.path).items()}
    assert not pixels["train"] & pixels["test"]
    assert not pixels["train"] & pixels["val"]
    assert not pixels["val"] & pixels["test"]
    again = imported(path=tmp_path / "b.h5", tile=24, most_objects=9, **given)
    assert again.content_digest == report.content_digest


def test_truth_of_a_region(tmp_path: Path) -> None:
    report = imported(path=tmp_path / "a.h5", tile=48, most_objects=9, **scene(240, 480))
    total = 0
    for split in SPLITS:
        found = read_split(report.path, split).known
        total += int(found["count"].sum())
        for count, box, mask in zip(found["count"], found["box"], found["mask"], strict=True):
            assert set(np.unique(mask)) == set(range(count + 1))
            for place, (x, y, wide, high) in enumerate(box[:count].astype(int), 1):
                assert (mask[y : y + high, x : x + wide] == place).all()
    assert total == 200, "sides are whole tiles, so that none is in two of them"


def test_most_objects_are_of_a_tile_not_of_the_picture(tmp_path: Path) -> None:
    given = scene(480, 480)
    report = imported(path=tmp_path / "a.h5", tile=48, most_objects=9, **given)
    assert sum(read_split(report.path, it).known["count"].sum() for it in SPLITS) == 400
    found = imported(path=tmp_path / "b.h5", tile=48, most_objects=None, **given)
    assert found.most_objects < 12


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_file_or_a_folder_of_one_picture(tmp_path: Path, ending: str) -> None:
    folder = save(tmp_path / "f", scene(200, 200)["images"], ending)
    one = imported(folder, tmp_path / "a.h5", tile=24)
    other = imported(folder / f"0{ending}", tmp_path / "b.h5", tile=24)
    assert one.splits == other.splits
    assert min(one.splits.values()) >= 4


def test_pages_are_split_as_pictures(tmp_path: Path) -> None:
    pages = [Image.fromarray(scene(96, 96, seed)["images"][0]) for seed in range(10)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert imported(tmp_path / "a.tif", tmp_path / "a.h5", tile=48).splits["train"] == 8 * 4


def test_two_pictures_of_two_sizes(tmp_path: Path) -> None:
    folder = save(tmp_path / "f", scene(200, 200)["images"])
    Image.fromarray(scene(30, 30, 1)["images"][0]).save(folder / "1.png")
    report = imported(folder, tmp_path / "a.h5", tile=24)
    whole = imported(folder / "0.png", tmp_path / "b.h5", tile=24)
    assert report.splits["test"] == whole.splits["test"]
    assert report.splits["train"] == whole.splits["train"] + 4, "the small one is for train"


@pytest.mark.parametrize("held", ["val", "test"])
def test_a_split_that_is_named_is_not_taken_from_the_picture(tmp_path: Path, held: str) -> None:
    other = {held: scene(96, 96, 7)["images"]}
    report = imported(scene(200, 200)["images"], tmp_path / "a.h5", tile=24, **other)
    assert report.splits[held] == 16
    assert sum(report.splits.values()) == 16 + 81


def test_a_picture_smaller_than_a_tile(tmp_path: Path) -> None:
    listener = Recorder()
    given = scene(30, 40, every=15)
    report = imported(path=tmp_path / "a.h5", tile=64, most_objects=9, listener=listener, **given)
    assert report.splits == {"train": 1, "val": 0, "test": 0}
    assert any("too few" in note for note in listener.notes)
    known = read_split(report.path, "train").known
    assert known["image"].shape == known["mask"].shape == (1, 30, 40)


def test_objects_that_borders_cut_are_told(tmp_path: Path) -> None:
    given = scene(240, 240)
    many = divided(given["boxes"][0], (240, 240), 40)
    borders = np.array(starts(240, 40))[1:]
    low, high = given["boxes"][0][:, :2, None], given["boxes"][0][:, :2, None] + 6
    assert many == ((low < borders) & (high > borders)).any((1, 2)).sum() > 5
    listener = Recorder()
    test = imported(path=tmp_path / "a.h5", tile=40, most_objects=9, listener=listener,
                    val=given, test=scene(240, 240, 2), **scene(240, 240, 1))  # fmt: skip
    assert any("objects are cut" in note for note in listener.notes)
    boxes = read_split(test.path, "test").known["box"]
    assert ((boxes[..., :2] + boxes[..., 2:]).max(), boxes[..., 2].max()) == (40, 6)


def test_a_look_sees_many_tiles_of_one_picture() -> None:
    levels = scene(400, 300)["images"][0]
    survey = Survey(0, 40, ("train",))
    survey.add("train", Picture("a", levels), 0)
    survey.end_of("train")
    tiles = [*survey.sample()]
    assert {tile.shape for tile in tiles} == {(40, 40)}
    assert len({tile.tobytes() for tile in tiles}) == 10 * 8
    assert all(patches(tile[None]) <= patches(levels[None]) for tile in tiles[:3])


def test_a_look_sees_tiles_of_large_pictures_as_often_as_small_ones() -> None:
    rng, survey = np.random.default_rng(0), Survey(0, 16, ("train",))
    for number in range(2_000):
        side, level = (32, 200) if number % 2 else (16, 100)
        levels = rng.integers(level, level + 50, (side, side), np.uint8)
        survey.add("train", Picture(str(number), levels), number)
    survey.end_of("train")
    large = [bool((tile >= 200).all()) for tile in survey.sample()]
    assert np.mean(large) == pytest.approx(0.8, abs=4 * (0.16 / len(large)) ** 0.5)


def test_few_levels_of_a_large_picture_are_kept() -> None:
    levels = np.arange(2**21, dtype=np.uint32).reshape(2**11, 2**10)
    kept = Levels()
    tracemalloc.start()
    try:
        kept.add(levels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < levels.nbytes
    low, high = kept.percentiles(10, 90)
    assert (low / 2**21, high / 2**21) == pytest.approx((0.1, 0.9), abs=0.01)


def test_too_many_objects_on_a_tile(tmp_path: Path) -> None:
    given = scene(160, 160, every=8)
    with pytest.raises(ImageError, match="at most 100"):
        imported(path=tmp_path / "a.h5", tile=100, most_objects=None, **given)


@pytest.mark.parametrize("tile", [0, -5, 7, 1025])
def test_sides_of_tiles(tmp_path: Path, tile: int) -> None:
    with pytest.raises(ImageError, match="tile=64"):
        imported(scene(60, 60)["images"], tmp_path / "a.h5", tile=tile)
