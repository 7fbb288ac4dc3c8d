"""Pictures are resized at import, truth with them; what is found is told in their own pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import blobs, imported, save
from PIL import Image
from reading import read_all
from tiny_runs import TRAIN, Recorder

import airkit
from airkit.config.pictures import PicturesConfig
from airkit.data.imports.geometry import resized
from airkit.data.imports.importing import import_scenes
from airkit.data.imports.pictures import Picture, Truth
from airkit.data.reader import read_info, read_split
from airkit.errors import ImageError


def large(many: int = 20) -> dict[str, Any]:
    """Blobs of 24 px on pictures of 96 x 96 px."""
    given = blobs(many)
    images, masks = (
        np.kron(given[name], np.ones((4, 4), np.uint8)) for name in ("images", "masks")
    )
    boxes = np.where(given["boxes"] < 0, -1, 4 * given["boxes"])
    return {"images": images, "masks": masks, "boxes": boxes}


def test_half_the_size_averages_pixels_and_halves_boxes() -> None:
    levels = np.zeros((8, 12), np.uint16)
    levels[2:6, 4:8] = 1000
    truth = Truth(1, np.array([[4, 2, 4, 4]], np.float32), None, (levels > 0).astype(np.uint16))
    small = resized(Picture("", levels, truth=truth), 0.5)
    assert small.levels.shape == (4, 6)
    assert small.levels.dtype == np.uint16
    assert small.levels.max() > 700
    assert small.truth.boxes is not None
    assert small.truth.mask is not None
    assert small.truth.boxes.tolist() == [[2, 1, 2, 2]]
    wanted = np.zeros((4, 6))
    wanted[1:3, 2:4] = 1
    assert np.array_equal(small.truth.mask, wanted)
    colours = resized(Picture("", np.stack([levels] * 3, -1)), 0.5)
    assert np.array_equal(colours.levels[..., 2], small.levels)
    assert resized(Picture("", levels), 2).levels.shape == (16, 24)
    assert resized(Picture("", levels / 1000), 0.5).levels.dtype == np.float64


def test_a_file_of_resized_pictures_says_so_and_has_their_truth(tmp_path: Path) -> None:
    told = Recorder()
    report = imported(path=tmp_path / "a.h5", **large(), scale=0.25, listener=told)
    found, expected = read_split(report.path, "train"), blobs(20)
    assert report.canvas_size == 24
    assert read_info(report.path).config.pictures.scale == 0.25
    boxes = {tuple(map(tuple, rows)) for rows in expected["boxes"].tolist()}
    assert {tuple(map(tuple, rows)) for rows in found.known["box"].tolist()} <= boxes
    assert any("resized by 0.25" in note for note in told.notes)


def test_regions_of_one_picture_are_resized_once(tmp_path: Path) -> None:
    picture = np.tile(large(1)["images"][0], (6, 6))
    np.save(tmp_path / "one.npy", picture[None])
    report = import_scenes(tmp_path / "one.npy", path=tmp_path / "a.h5", scale=0.25, tile=24)
    assert sum(report.splits.values()) == 36


def test_large_pictures_fit_once_they_are_resized(tmp_path: Path) -> None:
    images = np.zeros((2, 2000, 1200), np.uint8)
    images[:, 500:540, 700:740] = 200
    with pytest.raises(ImageError, match="too large"):
        import_scenes(images, path=tmp_path / "a.h5")
    assert import_scenes(images, path=tmp_path / "a.h5", scale=0.3).canvas_size == 600
    with pytest.raises(ImageError, match="too small"):
        import_scenes(images[:, :400, :400], path=tmp_path / "b.h5", scale=0.01)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), 100])
def test_a_scale_out_of_bounds_is_refused(scale: float, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="scale"):
        imported(blobs()["images"], tmp_path / "a.h5", scale=scale)


def test_large_objects_are_told_with_a_scale(tmp_path: Path) -> None:
    told = Recorder()
    imported(large()["images"], tmp_path / "a.h5", object_size=28, listener=told)
    assert any("scale=0.5" in note for note in told.notes)


def test_what_is_found_is_told_on_the_picture_as_it_came(tmp_path: Path) -> None:
    given = large()
    report = imported(given["images"], tmp_path / "a.h5", scale=0.25)
    airkit.train(report.path, tmp_path / "run", settings={**TRAIN, "train.steps": 2})
    folder = save(tmp_path / "in", given["images"][:4])
    for options in ({"labels": tmp_path / "labels"}, {"tile": 96}):
        found = airkit.infer(folder, tmp_path / "run", **options)
        assert [(each.width, each.height) for each in found] == [(96, 96)] * 4
    with Image.open(tmp_path / "labels" / "0_labels.tif") as labels:
        assert labels.size == (96, 96)
    (small,) = read_all(folder / "0.png", pictures=PicturesConfig(scale=0.25))
    assert (small.shape, small.came) == ((24, 24), (96, 96))
