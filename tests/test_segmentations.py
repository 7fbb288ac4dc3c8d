"""COCO's segmentations and masks of several layouts become the masks of a data file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from own_pictures import Array, blobs, imported, save
from pycocotools import mask as coco_mask
from some_truth import knowing, write
from tiny_runs import Recorder

import airkit
from airkit.data.canvases import SPLITS
from airkit.data.coco import run_lengths
from airkit.data.imports.segmentations import paint
from airkit.data.reader import read_split
from airkit.errors import ImageError

GIVEN = blobs(20)
STACKS = GIVEN["masks"][:, None] == np.arange(1, 4)[None, :, None, None]


def painted(segmentation: Any, height: int, width: int) -> Array:
    mask = np.zeros((height, width), np.uint16)
    paint(mask, 1, segmentation)
    return mask


def truth(path: Path) -> dict[str, list[Any]]:
    """Count, boxes and mask by picture."""
    found: dict[str, list[Any]] = {}
    for split in SPLITS:
        known = read_split(path, split).known
        for row, image in enumerate(known["image"]):
            found[image.tobytes().hex()] = [known[name][row].tolist() for name in [*known][1:]]
    return found


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths(share: float) -> None:
    inside = np.random.default_rng(0).random((37, 53)) < share
    text = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))["counts"].decode()
    for counts in (run_lengths(inside)["counts"], text):
        assert np.array_equal(painted({"size": [37, 53], "counts": counts}, 37, 53), inside)


@pytest.mark.parametrize("seed", range(3))
def test_polygons_are_those_of_pycocotools_but_for_their_rim(seed: int) -> None:
    turns = np.sort(np.random.default_rng(seed).random(9)) * 2 * np.pi
    corners = (np.array([30, 25]) + 28 * np.stack([np.cos(turns), np.sin(turns)], 1)).ravel()
    found = painted([corners.tolist()], 60, 50)
    runs = coco_mask.frPyObjects([corners.tolist()], 60, 50)
    expected = painted({"size": [60, 50], "counts": runs[0]["counts"].decode()}, 60, 50)
    assert (found != expected).mean() < 0.02
    assert int(found.sum()) == pytest.approx(int(expected.sum()), rel=0.03)


def test_whole_pixels_of_polygons_are_exact() -> None:
    expected = np.zeros((9, 8), np.uint16)
    expected[2:5, 1:4] = expected[6:, 5:] = 1
    parts = [[1, 2, 4, 2, 4, 5, 1, 5], [5, 6, 20, 6, 20, 30, 5, 30]]
    assert np.array_equal(painted(parts, 9, 8), expected)
    assert not painted([[3, 3, 5, 3], [-9, -9, -2, -9, -2, -1], []], 9, 8).any()


BAD = {
    "odd": [[1, 2, 3]],
    "words": ["polygon"],
    "nan": [[1, 2, float("nan"), 4, 5, 6]],
    "another size": {"size": [8, 9], "counts": [72]},
    "too few pixels": {"size": [9, 8], "counts": [3, 4]},
    "too many pixels": {"size": [9, 8], "counts": [10**18]},
    "negative": {"size": [9, 8], "counts": [80, -8]},
    "no counts": {"size": [9, 8]},
    "other text": {"size": [9, 8], "counts": "\u1234"},
    "endless text": {"size": [9, 8], "counts": "P" * 10**6},
    "floats": {"size": [9, 8], "counts": [70.5, 1.5]},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_segmentation(name: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        painted(BAD[name], 9, 8)


def test_an_exported_file_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", knowing("count", "label", "box", "mask"))
    airkit.export(path, tmp_path / "coco", split="train")
    report = imported(tmp_path / "coco", tmp_path / "b.h5", most_objects=2)
    assert report.truth["train"] == ("count", "label", "box", "mask")
    expected, found = truth(path), truth(report.path)
    assert found == {image: expected[image] for image in found}


def coco(folder: Path, segmentations: list[Any]) -> Path:
    """A COCO file of 20 pictures; the first has an object for each segmentation."""
    save(folder / "images", GIVEN["images"])
    images = [{"id": n, "file_name": f"{n}.png", "height": 24, "width": 24} for n in range(20)]
    head = {"image_id": 0, "bbox": [2, 2, 8, 8], "category_id": 1}
    annotations = [{**head, "id": n, "segmentation": it} for n, it in enumerate(segmentations)]
    content = {"images": images, "annotations": annotations}
    (folder / "a.json").write_text(json.dumps({**content, "categories": [{"id": 1, "name": "x"}]}))
    return folder / "a.json"


SQUARE = np.zeros((24, 24), bool)
SQUARE[4:8, 3:9] = True
TEXT = coco_mask.encode(np.asfortranarray(SQUARE.astype(np.uint8)))["counts"].decode()
KINDS = {
    "polygon": [[3, 4, 9, 4, 9, 8, 3, 8]],
    "run lengths": run_lengths(SQUARE),
    "text": {"size": [24, 24], "counts": TEXT},
}


@pytest.mark.parametrize("name", KINDS)
def test_segmentations_of_coco_are_read(tmp_path: Path, name: str) -> None:
    other = [[6, 4, 12, 4, 12, 8, 6, 8]]
    report = imported(coco(tmp_path, [KINDS[name], other]), tmp_path / "a.h5")
    found = truth(report.path)[GIVEN["images"][0].tobytes().hex()]
    expected = np.where(SQUARE, 1, 0)
    expected[4:8, 6:12] = 2
    assert found[-1] == expected.tolist(), "the later one hides the earlier one"


def test_masks_are_known_of_all_objects_or_not_at_all(tmp_path: Path) -> None:
    listener = Recorder()
    path = coco(tmp_path, [KINDS["polygon"], []])
    report = imported(path, tmp_path / "a.h5", listener=listener)
    assert report.truth["train"] == ("count", "label", "box")
    assert any("1 segmentation was" in note for note in listener.notes)


def test_a_bad_segmentation_is_told_with_its_picture(tmp_path: Path) -> None:
    path = coco(tmp_path, [KINDS["polygon"], BAD["odd"]])
    with pytest.raises(ImageError, match=r"0\.png"):
        imported(path, tmp_path / "a.h5")
    report = imported(path, tmp_path / "a.h5", skip_bad=True)
    assert sum(report.splits.values()) == 19


LAYOUTS: dict[str, Any] = {
    "[N, H, W] of labels": GIVEN["masks"].astype(np.int64) * 1000,
    "[N, 1, H, W] of labels": GIVEN["masks"][:, None],
    "[N, H, W, 1] of labels": GIVEN["masks"][..., None],
    "[N, M, H, W] of bool": STACKS,
    "[N, M, H, W] of 0 and 255": STACKS.astype(np.uint8) * 255,
    "[N, M, H, W, 1]": STACKS[..., None],
    "with the background": np.concatenate([~STACKS.any(1, keepdims=True), STACKS], 1),
    "with places that are empty": np.concatenate([STACKS, np.zeros_like(STACKS)], 1),
}


def source(kind: str, folder: Path, masks: Array) -> tuple[Any, dict[str, Any]]:
    """Images and masks in memory, in an archive or in an HDF5 file; how to name them."""
    if kind == "memory":
        return GIVEN["images"], {"masks": masks}
    if kind == "npz":
        np.savez(folder / "a.npz", image=GIVEN["images"], mask=masks, other=masks)
        return folder / "a.npz", {}
    with h5py.File(folder / "a.h5", "w") as file:
        file["inner/image"], file["inner/mask"] = GIVEN["images"], masks
    return f"{folder / 'a.h5'}:inner/image", {}


@pytest.mark.parametrize("kind", ["memory", "npz", "hdf5"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_of_masks(tmp_path: Path, name: str, kind: str) -> None:
    given, known = source(kind, tmp_path, LAYOUTS[name])
    report = imported(given, tmp_path / "o.h5", **known)
    expected = imported(GIVEN["images"], tmp_path / "p.h5", masks=GIVEN["masks"])
    assert report.truth["val"] == ("count", "box", "mask")
    assert truth(report.path) == truth(expected.path)


def test_masks_in_the_order_of_padded_boxes(tmp_path: Path) -> None:
    boxes, stacks = GIVEN["boxes"].copy(), STACKS.copy()
    boxes, stacks = boxes[:, [2, 0, 1]], stacks[:, [2, 0, 1]]
    one = imported(GIVEN["images"], tmp_path / "a.h5", boxes=boxes, masks=stacks)
    for image, (_, found, mask) in truth(one.path).items():
        places = [place for place in np.unique(mask) if place]
        assert len(places) == sum(box[2] > 0 for box in found), image
        for place in places:
            x, y, width, height = np.array(found[place - 1]).astype(int)
            assert (np.array(mask)[y : y + height, x : x + width] == place).all()


def test_boxes_are_around_what_is_hidden_too(tmp_path: Path) -> None:
    stacks = np.zeros((20, 2, 24, 24), bool)
    stacks[:, 0, 4:12, 4:12] = stacks[:, 1, 4:12, 8:20] = True
    report = imported(GIVEN["images"], tmp_path / "a.h5", masks=stacks)
    _, boxes, mask = next(iter(truth(report.path).values()))
    assert boxes[:2] == [[4, 4, 8, 8], [8, 4, 12, 8]]
    assert np.count_nonzero(np.array(mask) == 1) == 8 * 4


WRONG: dict[str, tuple[Any, str]] = {
    "below 0": (GIVEN["masks"].astype(int) - 1, "-1"),
    "floats": (STACKS / 2, "float64"),
    "several numbers in one": (STACKS * np.arange(1, 25), "one other number"),
    "another size": (STACKS[..., :20], "[3, 24, 20]"),
    "six axes": (STACKS[..., None, None], "mask"),
}


@pytest.mark.parametrize("name", WRONG)
def test_masks_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    masks, fact = WRONG[name]
    with pytest.raises(ImageError) as error:
        imported(GIVEN["images"], tmp_path / "a.h5", masks=masks)
    assert fact in str(error.value)


def test_arrays_of_an_archive_that_only_sound_like_truth(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=GIVEN["images"], labels=np.arange(20), masks=STACKS / 2)
    listener = Recorder()
    report = imported(tmp_path / "a.npz", tmp_path / "o.h5", listener=listener)
    assert report.truth["train"] == ()
    assert any("2 arrays called" in note for note in listener.notes)
