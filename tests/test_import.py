"""Importing pictures: splits, truth, grey levels, tiles; the file holds what was given."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_pictures import EXPECT, all_images, as_set, blobs, imported, save
from PIL import Image
from tiny_runs import TRAIN, Recorder

import airkit
from airkit.data.canvases import SPLITS
from airkit.data.reader import read_info, read_split, verify
from airkit.errors import ImageError

GIVEN = blobs()


def test_all_that_is_known_is_written(tmp_path: Path) -> None:
    report = imported(path=tmp_path / "a.h5", **GIVEN)
    assert report.splits == {"train": 32, "val": 4, "test": 4}
    assert report.truth["test"] == ("count", "label", "box", "mask")
    assert verify(report.path) == report.content_digest
    rows = {image.tobytes(): row for row, image in enumerate(GIVEN["images"])}
    for split in SPLITS:
        found = read_split(report.path, split)
        order = [rows[image.tobytes()] for image in found.image]
        for name, given in (("count", "counts"), ("label", "labels"), ("box", "boxes")):
            assert np.array_equal(found.known[name], GIVEN[given][order])
        assert np.array_equal(found.known["mask"], GIVEN["masks"][order])


def test_what_is_not_known_is_absent(tmp_path: Path) -> None:
    report = imported(GIVEN["images"], tmp_path / "a.h5")
    assert set(report.truth.values()) == {()}
    assert read_info(report.path).format_version == 2
    config = read_info(report.path).config
    assert (config.data.source, config.data.canvas_size) == ("pictures", 24)
    assert (config.data.max_digits, config.data.digit_size) == (3, 6.0)
    assert (config.pictures.height, config.pictures.width, config.pictures.channels) == (24, 24, 1)


def test_masks_alone_give_boxes_and_counts(tmp_path: Path) -> None:
    labelled = GIVEN["masks"].astype(np.int64) * 100
    report = imported(GIVEN["images"], tmp_path / "a.h5", masks=labelled)
    found = read_split(report.path, "train")
    other = imported(GIVEN["images"], tmp_path / "b.h5", boxes=GIVEN["boxes"])
    expected = read_split(other.path, "train")
    assert np.array_equal(found.known["count"], expected.known["count"])
    assert np.array_equal(np.sort(found.known["box"], 1), np.sort(expected.known["box"], 1))


def test_splits_depend_on_seed_and_content_alone(tmp_path: Path) -> None:
    one = imported(GIVEN["images"], tmp_path / "a.h5")
    other = imported(GIVEN["images"][::-1].copy(), tmp_path / "b.h5")
    third = imported(GIVEN["images"], tmp_path / "c.h5", settings={"data.seed": 1})
    tests = [as_set(read_split(each.path, "test").image) for each in (one, other, third)]
    assert tests[0] == tests[1] != tests[2]
    again = imported(GIVEN["images"], tmp_path / "d.h5")
    assert again.path.read_bytes() == one.path.read_bytes()


@pytest.mark.parametrize("copies", [2, 7])
def test_equal_pictures_are_in_one_split(tmp_path: Path, copies: int) -> None:
    report = imported(np.repeat(GIVEN["images"], copies, 0), tmp_path / "a.h5")
    found = [as_set(read_split(report.path, split).image) for split in SPLITS]
    assert sum(map(len, found)) == len(set.union(*found)) == 40
    assert sum(report.splits.values()) == 40 * copies


def test_pictures_of_a_held_out_split_are_left_out_of_train(tmp_path: Path) -> None:
    listener = Recorder()
    test = {"images": GIVEN["images"][:10], "counts": GIVEN["counts"][:10]}
    report = imported(GIVEN["images"], tmp_path / "a.h5", test=test, listener=listener)
    assert report.splits == {"train": 27, "val": 3, "test": 10}
    assert report.truth == {"train": (), "val": (), "test": ("count",)}
    assert any("10 train pictures left out" in note for note in listener.notes)
    assert np.array_equal(read_split(report.path, "test").known["count"], GIVEN["counts"][:10])


def test_blank_pictures_are_in_all_splits(tmp_path: Path) -> None:
    """They are equal, and yet tell nothing of one another."""
    images = np.concatenate([GIVEN["images"], np.zeros((160, 24, 24), np.uint8)])
    report = imported(images, tmp_path / "a.h5")
    assert report.splits == {"train": 160, "val": 20, "test": 20}
    blank = [(read_split(report.path, each).image == 0).all((1, 2)).sum() for each in SPLITS]
    assert sum(blank) == 160
    assert min(blank) > 5
    test = {"images": np.zeros((9, 24, 24), np.uint8)}
    assert sum(imported(images, tmp_path / "b.h5", test=test).splits.values()) == 209


def test_levels_are_of_all_places_and_all_pictures(tmp_path: Path) -> None:
    """Bright in the last column of the last pictures alone, where a regular sample would miss."""
    images = np.zeros((300, 64, 64), np.uint16)
    images[:, 30:34, 30:34] = 100
    images[150:, 20:40, 63] = 1000
    assert imported(images, tmp_path / "a.h5").high == 1000


def test_few_pictures_are_all_trained_on(tmp_path: Path) -> None:
    listener = Recorder()
    report = imported(GIVEN["images"][:2], tmp_path / "a.h5", listener=listener)
    assert report.splits == {"train": 2, "val": 0, "test": 0}
    assert any("too few" in note for note in listener.notes)


LEVELS: dict[str, tuple[Any, Any]] = {
    "12 bits in 16": (lambda x: x.astype(np.uint16) * 4, (0, 4 * 240)),
    "few levels of 16 bits": (lambda x: x.astype(np.uint16) // 10 + 7, (7, 31)),
    "floats of -1 to 1": (lambda x: x / 127.5 - 1, (-1, 240 / 127.5 - 1)),
    "signed": (lambda x: x.astype(np.int32) - 1000, (-1000, -760)),
    "bool": (lambda x: x > 100, (0, 255)),
}


@pytest.mark.parametrize("name", LEVELS)
def test_grey_levels_are_scaled_over_the_whole_set(tmp_path: Path, name: str) -> None:
    make, (low, high) = LEVELS[name]
    listener = Recorder()
    report = imported(make(GIVEN["images"]), tmp_path / "a.h5", listener=listener)
    assert (report.low, report.high) == pytest.approx((low, high), rel=1e-6)
    images = all_images(report.path)
    assert (images.min(), images.max()) == (0, 255)
    assert any("grey levels" in note for note in listener.notes) == (name != "bool")
    assert read_info(report.path).config.pictures.high == report.high


def test_a_hot_pixel_does_not_blacken_the_rest(tmp_path: Path) -> None:
    images = GIVEN["images"].astype(np.uint16)
    images[3, 0, 0] = 65_535
    report = imported(images, tmp_path / "a.h5")
    assert report.high == 240
    assert (all_images(report.path) > 128).mean() > 0.05


def test_objects_smaller_than_the_percentile_are_kept(tmp_path: Path) -> None:
    images = np.zeros((40, 64, 64), np.uint16)
    images[::4, 5, 5] = 900
    report = imported(images, tmp_path / "a.h5")
    assert (report.low, report.high) == (0, 900)


@pytest.mark.parametrize("levels", [(5,), (0, 5, 9), (5, 5), (0, float("inf"))])
def test_levels_that_are_none_are_refused(tmp_path: Path, levels: Any) -> None:
    with pytest.raises(ImageError, match="levels"):
        imported(GIVEN["images"], tmp_path / "a.h5", levels=levels)


def test_levels_can_be_named(tmp_path: Path) -> None:
    report = imported(GIVEN["images"], tmp_path / "a.h5", levels=(0, 510))
    assert all_images(report.path).max() == 120


def test_bright_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    report = imported(GIVEN["images"], tmp_path / "a.h5")
    assert as_set(all_images(report.path)) == as_set(GIVEN["images"])


SHAPES: dict[str, Any] = {
    "[N, H, W, 1]": lambda x: x[..., None],
    "[N, H, W, 3]": lambda x: np.repeat(x[..., None], 3, 3),
    "[N, 3, H, W]": lambda x: np.repeat(x[:, None], 3, 1),
    "[N, 1, H, W]": lambda x: x[:, None],
    "tensor": torch.from_numpy,
    "[N, H, W, 4], opaque": lambda x: np.stack([x, x, x, np.full_like(x, 255)], 3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_axes(tmp_path: Path, name: str) -> None:
    report = imported(SHAPES[name](GIVEN["images"]), tmp_path / "a.h5")
    assert as_set(all_images(report.path)) == as_set(GIVEN["images"])


def test_a_channel_is_chosen_and_colour_is_told(tmp_path: Path) -> None:
    images = np.zeros((40, 24, 24, 3), np.uint8)
    images[..., 2] = GIVEN["images"]
    listener = Recorder()
    report = imported(images, tmp_path / "a.h5", channel="blue", listener=listener)
    assert as_set(all_images(report.path)) == as_set(GIVEN["images"])
    assert any("40 pictures in colour" in note for note in listener.notes)
    with pytest.raises(ImageError, match="channel"):
        imported(images, tmp_path / "b.h5", channel="pink")


# Tiles


def test_tiles_of_a_picture_are_in_one_split(tmp_path: Path) -> None:
    given = blobs(many=30, height=40, width=40)
    report = imported(path=tmp_path / "a.h5", tile=20, **given)
    assert report.splits == {"train": 96, "val": 12, "test": 12}
    found = read_split(report.path, "test")
    tiles = given["images"].reshape(30, 2, 20, 2, 20).swapaxes(2, 3)
    rows = {tile.tobytes(): index // 4 for index, tile in enumerate(tiles.reshape(-1, 20, 20))}
    pictures = [rows[image.tobytes()] for image in found.image]
    assert sorted(pictures) == sorted(4 * list(set(pictures)))
    objects = found.known["count"].reshape(3, 4).sum(1)
    assert (objects >= given["counts"][pictures[::4]]).all(), "each object is in one tile at least"
    boxes = found.known["box"]
    there = boxes[..., 2] > 0
    assert ((boxes[..., :2] + boxes[..., 2:])[there] <= 20).all()
    assert (boxes[..., :2][there] >= 0).all()
    for mask, count in zip(found.known["mask"], found.known["count"], strict=True):
        assert set(np.unique(mask)) == set(range(count + 1))


def test_counts_alone_are_not_known_of_tiles(tmp_path: Path) -> None:
    given = blobs(many=30, height=40, width=40)
    options: dict[str, Any] = {"tile": 20, "counts": given["counts"]}
    told = Recorder()
    report = airkit.import_scenes(given["images"], path=tmp_path / "a.h5", listener=told, **options)
    assert report.truth["train"] == ()
    assert report.most_objects <= 4, "of a tile, not of a picture"
    assert any("30 true counts are of whole pictures" in note for note in told.notes)


def test_the_last_tile_ends_with_the_picture(tmp_path: Path) -> None:
    images = np.arange(50, dtype=np.uint8) * 5 + np.zeros((3, 30, 1), np.uint8)
    images[1:] += np.array([1, 2], np.uint8)[:, None, None]
    report = imported(images, tmp_path / "a.h5", tile=40)
    found = all_images(report.path)
    assert len(found) == 6
    assert {int(image[0, 0]) // 5 for image in found} == {0, 10}
    assert found.shape == (6, 30, 40)


# What it costs, and what comes of it


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    peaks = []
    for many in (500, 4_000):
        images = np.tile(blobs(500, 16, 16)["images"], (many // 500, 1, 1))
        np.save(tmp_path / "images.npy", images)
        tracemalloc.start()
        imported(tmp_path / "images.npy", tmp_path / "a.h5", force=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 5e6


def test_training_and_evaluation_go_on_from_there(tmp_path: Path) -> None:
    save(tmp_path / "pictures", GIVEN["images"])
    settings = {key: it for key, it in TRAIN.items() if key.startswith(("model.", "eval."))}
    report = imported(tmp_path / "pictures", tmp_path / "a.h5", settings=settings)
    given = {"train.steps": 2, "train.batch_size": 8, "train.device": "cpu"}
    airkit.train(report.path, tmp_path / "run", settings=given)
    found = airkit.evaluate(tmp_path / "run").to_dict()
    assert (found["canvases"], found["count_accuracy"]) == (4, None)
    assert EXPECT["most_objects"] + 1 == read_info(report.path).config.slots


def test_a_list_of_pictures_of_any_kind(tmp_path: Path) -> None:
    """Each mode of Pillow's is read as from a file: a palette is no grey level."""
    truth = blobs(8)
    images = truth["images"]
    grey = imported(images, tmp_path / "a.h5", counts=truth["counts"])
    save(tmp_path / "files", images[4:5])
    palette = Image.fromarray(255 - images[0]).convert("P")
    palette.putpalette([level for step in range(255, -1, -1) for level in [step] * 3])
    mixed: list[Any] = [
        palette,
        Image.fromarray(images[1]).convert("RGB"),
        Image.fromarray(images[2]).convert("RGBA"),
        torch.tensor(images[3])[None],
        tmp_path / "files" / "0.png",
        np.repeat(images[5][..., None], 3, 2),
        *images[6:],
    ]
    found = imported(iter(mixed), tmp_path / "b.h5", counts=truth["counts"])
    assert found.content_digest == grey.content_digest
    assert found.truth == grey.truth
    with pytest.raises(ImageError, match="not as many counts"):
        imported(mixed, tmp_path / "c.h5", counts=truth["counts"][1:])
    one = imported(Image.fromarray(images[0]), tmp_path / "d.h5")
    assert one.splits == {"train": 1, "val": 0, "test": 0}
