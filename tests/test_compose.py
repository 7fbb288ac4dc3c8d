"""Composed canvases and their truth, resized digits, and the extent of their ink."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airkit.config.schema import DataConfig
from airkit.data import raster
from airkit.data.canvases import Canvases
from airkit.data.compose import compose
from airkit.data.digits import Digits
from airkit.data.placement import draw_counts, side_edges
from airkit.data.raster import INK, SCALE, extents, resize, resize_matrix
from airkit.errors import CanvasError

MANY = settings(deadline=None, max_examples=25)


def pool(many: int = 30, side: int = 28, seed: int = 0) -> Digits:
    """Filled ellipses of soft edge, each of its own shape and brightness; labels 0 to 9."""
    rng = np.random.default_rng(seed)
    grid = (np.arange(side) + 0.5) / side - 0.5
    width, height = rng.uniform(0.12, 0.42, (2, many, 1, 1))
    radius = np.sqrt((grid[None, None, :] / width) ** 2 + (grid[None, :, None] / height) ** 2)
    ink = rng.uniform(150, 255, (many, 1, 1)) * np.clip((1.1 - radius) * 4, 0, 1)
    labels = np.arange(many) % 10
    index = np.arange(many, dtype=np.int32) * 7 + 1000
    return Digits(ink.astype(np.uint8), labels.astype(np.uint8), index)


POOL = pool()


def iou(one: list[float], two: list[float]) -> float:
    across = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    down = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (one[2] * one[3] + two[2] * two[3] - shared)


def same(one: Canvases, two: Canvases) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in vars(one))


def rows(canvases: Canvases, low: int, high: int) -> Canvases:
    return Canvases(**{name: array[low:high] for name, array in canvases.known.items()})


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> DataConfig:
    """Any settings that leave digits room enough to be laid out."""
    size = draw(st.integers(24, 72))
    least = draw(st.integers(0, 2))
    values: dict[str, Any] = {
        "canvas_size": size,
        "min_digits": least,
        "max_digits": draw(st.integers(least, 3)),
        "digit_size": draw(st.floats(6.5, size / 3)),
        "digit_size_sd": draw(st.floats(0, 0.8)),
        "overlap": draw(st.sampled_from(["sum", "none", 0.0, 0.25, 1.0])),
        "seed": draw(st.integers(0, 2**63 - 1)),
    }
    return DataConfig(**(values | fixed))


@MANY
@given(configs())
def test_truth_is_in_bounds_and_padded(config: DataConfig) -> None:
    canvases = compose(config, "train", POOL, 0, 40)
    size, places = config.canvas_size, max(config.max_digits, 1)
    assert canvases.image.shape == (40, size, size)
    assert canvases.box.shape == (40, places, 4)
    types = [array.dtype.str for array in canvases.known.values()]
    assert types == ["|u1", "|u1", "|i1", "<f4", "<i4"]
    assert config.min_digits <= canvases.count.min()
    assert canvases.count.max() <= config.max_digits
    used = np.arange(places) < canvases.count[:, None]
    x, y, width, height = np.moveaxis(canvases.box, 2, 0)
    inside = (x >= 0) & (y >= 0) & (x + width <= size) & (y + height <= size)
    assert (inside & (width >= 1) & (height >= 1))[used].all()
    assert (canvases.box[~used] == -1).all()
    assert (canvases.label[~used] == -1).all()
    assert (canvases.source_index[~used] == -1).all()
    pick = (canvases.source_index[used] - 1000) // 7
    np.testing.assert_array_equal(canvases.source_index[used], POOL.index[pick])
    np.testing.assert_array_equal(canvases.label[used], POOL.labels[pick])


@MANY
@given(configs(min_digits=1, max_digits=1))
def test_a_lone_digits_box_is_tight(config: DataConfig) -> None:
    canvases = compose(config, "val", POOL, 0, 40)
    for image, box in zip(canvases.image, canvases.box[:, 0], strict=True):
        y, x = np.nonzero(image >= INK)
        wanted = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
        assert box.tolist() == wanted


@MANY
@given(configs(overlap="sum", digit_size_sd=0.0))
def test_sum_keeps_all_ink(config: DataConfig) -> None:
    """No pixel was cut: an image has just the ink of its digits."""
    canvases = compose(config, "train", POOL, 0, 30)
    side = math.floor(config.digit_size + 0.5)
    for row, count in enumerate(canvases.count):
        digits = POOL.images[(canvases.source_index[row, :count] - 1000) // 7]
        assert canvases.image[row].sum(dtype=np.int64) == resize(digits, side).sum(dtype=np.int64)


def greatest_iou(config: DataConfig, many: int) -> float:
    canvases = compose(config, "train", POOL, 0, many)
    boxes = [box[:count].tolist() for box, count in zip(canvases.box, canvases.count, strict=True)]
    pairs = [pair for placed in boxes for pair in combinations(placed, 2)]
    return max((iou(*pair) for pair in pairs), default=0)


@MANY
@given(configs(min_digits=2, max_digits=3), st.sampled_from(["none", 0.0, 0.25]))
def test_the_rule_on_boxes_is_kept(config: DataConfig, overlap: Any) -> None:
    limit = 0 if overlap == "none" else overlap
    assert greatest_iou(config.model_copy(update={"overlap": overlap}), 40) <= limit
    assert greatest_iou(DataConfig(overlap=0.25, min_digits=3, max_digits=3), 40) > 0.2


@MANY
@given(configs(), st.data())
def test_a_canvas_depends_on_seed_split_and_number_alone(
    config: DataConfig, data: st.DataObject
) -> None:
    low = data.draw(st.integers(0, 59))
    high = data.draw(st.integers(low, 60))
    assert same(
        compose(config, "train", POOL, low, high),
        rows(compose(config, "train", POOL, 0, 60), low, high),
    )


def test_a_canvas_does_not_depend_on_its_block() -> None:
    """Canvases so large that 64 fill a block."""
    config = DataConfig(canvas_size=512, digit_size=200.0, digit_size_sd=5.0, train=80)
    whole = compose(config, "train", POOL, 0, 70)
    assert same(compose(config, "train", POOL, 60, 70), rows(whole, 60, 70))
    assert whole.box[whole.count > 0, 0, 2].max() > 150


def test_seeds_and_splits_differ() -> None:
    images = [
        compose(DataConfig(min_digits=1, seed=seed), split, POOL, 0, 20).image.tobytes()
        for seed in (0, 1, 2**63 - 1)
        for split in ("train", "val", "test")
    ]
    assert len(set(images)) == 9


def test_counts_are_uniform_and_no_layout_changes_them() -> None:
    by_rule = [
        compose(DataConfig(overlap=rule, canvas_size=32, digit_size=12.0), "train", POOL, 0, 3000)
        for rule in ("sum", "none")
    ]
    counts = by_rule[0].count
    np.testing.assert_array_equal(counts, by_rule[1].count)
    seen = np.bincount(counts, minlength=3)
    assert ((seen - 1000) ** 2 / 1000).sum() < 13.8  # chi-square, 2 degrees: 1 in 1000
    weighted = DataConfig(min_digits=1, max_digits=4, count_weights=(0.0, 3.0, 1.0, 0.0))
    seen = np.bincount(draw_counts(weighted, "train", 0, 4000), minlength=5)
    assert seen / 4000 == pytest.approx([0, 0, 0.75, 0.25, 0], abs=0.03)
    assert seen[[1, 4]].tolist() == [0, 0]


def test_sides_follow_the_cut_normal() -> None:
    least, edges = side_edges(DataConfig(digit_size=20.0, digit_size_sd=2.0))
    shares = np.diff(np.concatenate([[0], edges.astype(float)])) / 2**32
    sides = least + np.arange(len(edges))
    assert (sides[0], sides[-1]) == (14, 26)
    assert shares.sum() == 1
    assert (shares * sides).sum() == pytest.approx(20, abs=1e-4)
    assert np.sqrt((shares * (sides - 20) ** 2).sum()) == pytest.approx(1.99, abs=0.03)
    assert side_edges(DataConfig(digit_size=20.4, digit_size_sd=0.0))[0] == 20


def test_digits_places_and_sizes_spread_over_their_range() -> None:
    config = DataConfig(min_digits=1, max_digits=1)
    canvases = compose(config, "train", POOL, 0, 4000)
    seen = np.bincount((canvases.source_index[:, 0] - 1000) // 7, minlength=30)
    assert ((seen - 4000 / 30) ** 2 / (4000 / 30)).sum() < 58.3  # 29 degrees: 1 in 1000
    centre = canvases.box[:, 0, :2] + canvases.box[:, 0, 2:] / 2
    np.testing.assert_allclose(centre.mean(0), 25, atol=0.6)
    np.testing.assert_allclose(centre.std(0), 30 / np.sqrt(12), atol=0.4)


def test_a_hundred_digits() -> None:
    many: Any = {"canvas_size": 256, "max_digits": 100, "min_digits": 100, "digit_size": 12.0}
    canvases = compose(DataConfig(**many, overlap="none"), "train", POOL, 0, 3)
    assert (canvases.label >= 0).all()
    assert canvases.count.tolist() == [100] * 3


def test_no_digits_need_no_pool() -> None:
    config = DataConfig(max_digits=0)
    canvases = compose(config, "train", pool(0), 0, 5)
    assert not canvases.image.any()
    assert canvases.label.tolist() == [[-1]] * 5


@pytest.mark.parametrize(
    ("overlap", "rule"),
    [
        ("sum", "no pixel above full ink"),
        ("none", "boxes of ink disjoint"),
        (0.01, "no two boxes of ink above an IoU of 0.01"),
    ],
)
def test_digits_that_cannot_be_laid_out(overlap: Any, rule: str) -> None:
    config = DataConfig(min_digits=12, max_digits=12, overlap=overlap)
    with pytest.raises(CanvasError, match="Cannot lay out 12 digits of about 21 px") as error:
        compose(config, "train", POOL, 300, 301)
    assert "train canvas 300, drawn up to" in str(error.value)
    assert f"{rule} (data.overlap = {overlap})" in str(error.value)
    assert ("data.overlap to none" in error.value.hint) == (overlap == "sum")


@MANY
@given(st.integers(1, 80), st.integers(1, 80))
def test_weights_are_whole_and_add_up(old: int, new: int) -> None:
    matrix = resize_matrix(old, new)
    assert (matrix.sum(1) == SCALE).all()
    assert (matrix >= 0).all()
    assert (matrix == np.rint(matrix)).all()


@pytest.mark.parametrize("side", [1, 2, 5, 19, 28, 61])
def test_resizing_is_exact(side: int) -> None:
    matrix = resize_matrix(28, side).astype(np.int64)
    images = np.random.default_rng(side).integers(0, 256, (500, 28, 28), np.uint8)
    exact = matrix @ images.astype(np.int64) @ matrix.T
    resized = resize(images, side)
    np.testing.assert_array_equal(resized, (exact + SCALE**2 // 2) // SCALE**2)
    if side == 28:
        np.testing.assert_array_equal(resized, images)


def test_patches_go_to_their_corners_and_are_clipped_at_full() -> None:
    canvases = np.full((3, 5, 5), 200, np.uint8)
    patches = np.array([[[0, 54], [0, 0]], [[0, 55], [1, 2]], [[9, 56], [9, 9]]], np.uint8)
    corners = np.array([[3, 0], [1, 2], [0, 3]])
    whole = raster.add(canvases, np.array([2, 0, 1]), corners, patches)
    assert whole.tolist() == [True, True, False]
    wanted = np.full((3, 5, 5), 200, np.uint8)
    wanted[2, 0:2, 3:5] = [[200, 254], [200, 200]]
    wanted[0, 2:4, 1:3] = [[200, 255], [201, 202]]
    wanted[1, 3:5, 0:2] = [[209, 255], [209, 209]]
    np.testing.assert_array_equal(canvases, wanted)


def test_patches_on_blank_canvases_are_added_as_on_others() -> None:
    rng = np.random.default_rng(0)
    patches, corners = rng.integers(0, 256, (6, 4, 4), np.uint8), rng.integers(0, 7, (6, 2))
    row, found = rng.permutation(6), np.zeros((2, 6, 10, 10), np.uint8)
    for canvases, blank in zip(found, (False, True), strict=True):
        assert raster.add(canvases, row, corners, patches, blank=blank).all()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("side", [1, 7, 31, 32, 33, 63, 64, 65, 130])
def test_extents_of_any_side(side: int) -> None:
    """Rows shorter and longer than a 64-bit word."""
    spots = np.random.default_rng(side).integers(0, side, (20, 2, 2))
    patches = np.full((20, side, side), INK - 1, np.uint8)
    for patch, spot in zip(patches, spots, strict=True):
        patch[spot[:, 1], spot[:, 0]] = INK
    least, most = spots.min(1), spots.max(1)
    np.testing.assert_array_equal(extents(patches), np.hstack([least, most - least + 1]))


def test_extents_of_faint_and_blank_patches() -> None:
    patches = np.zeros((3, 6, 6), np.uint8)
    patches[0, 1, 2] = INK
    patches[0, 4, 4] = INK - 1
    patches[1, 1, 2] = 1
    patches[1, 4, 4] = INK - 1
    assert extents(patches).tolist() == [[2, 1, 1, 1], [2, 1, 3, 4], [0, 0, 6, 6]]
