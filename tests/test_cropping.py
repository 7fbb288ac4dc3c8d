"""Edges of pictures are cut off at import and at inference; what is found is told on whole ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from own_pictures import blobs, imported, save
from PIL import Image
from reading import read_all
from tiny_runs import TRAIN, Recorder

import airkit
from airkit.config.pictures import Edges, PicturesConfig
from airkit.data.imports.geometry import cropped
from airkit.data.imports.images import Given
from airkit.data.imports.pictures import Picture, Truth
from airkit.data.reader import read_info, read_split
from airkit.errors import ImageError
from airkit.evaluation.found import Inferred, InferredObject

EDGES: Edges = (3, 2, 1, 8)


def framed_blobs(many: int = 40) -> dict[str, Any]:
    """Blobs on 24 x 24 px inside ``EDGES``, which have a scale bar below."""
    left, top, right, bottom = EDGES
    around = (0, 0), (top, bottom), (left, right)
    found = blobs(many)
    images, masks = (np.pad(found[name], around) for name in ("images", "masks"))
    images[:, -5:-2, 10:20] = 255
    boxes = np.where(found["boxes"] < 0, -1, found["boxes"] + np.array([left, top, 0, 0]))
    return {**found, "images": images, "masks": masks, "boxes": boxes}


def test_cropped_pictures_are_those_without_the_edges(tmp_path: Path) -> None:
    told = Recorder()
    whole = imported(path=tmp_path / "whole.h5", **framed_blobs(), crop=EDGES, listener=told)
    inner = imported(path=tmp_path / "inner.h5", **blobs(40))
    for split in ("train", "val", "test"):
        found, wanted = (read_split(each.path, split).known for each in (whole, inner))
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            assert np.array_equal(found[name], array), name
    assert read_info(whole.path).config.pictures.crop == EDGES
    assert any("8 below" in note for note in told.notes)


def test_a_scale_bar_is_told_with_the_crop_that_leaves_it_out(tmp_path: Path) -> None:
    images, told = framed_blobs()["images"], Recorder()
    imported(images, tmp_path / "a.h5", listener=told)
    (doubt,) = (note for note in told.notes if "scale bar" in note)
    assert "crop=(0, 0, 0, 5)," in doubt
    told = Recorder()
    imported(images, tmp_path / "b.h5", crop=(0, 0, 0, 5), listener=told)
    assert not any("scale bar" in note for note in told.notes)


def test_objects_that_are_cut_off_are_left_out_and_counts_alone_stay() -> None:
    mask = np.zeros((20, 30), np.uint16)
    mask[5:9, 4:8], mask[5:9, 20:24] = 1, 2
    boxes = np.array([[4, 5, 4, 4], [20, 5, 4, 4]], np.float32)
    picture = Picture("", mask, truth=Truth(2, boxes, np.array([7, 8]), mask))
    truth = cropped(picture, (10, 2, 0, 0)).truth
    assert truth.count == 1
    assert truth.boxes is not None
    assert truth.labels is not None
    assert truth.mask is not None
    assert truth.boxes.tolist() == [[10, 3, 4, 4]]
    assert truth.labels.tolist() == [8]
    assert np.array_equal(np.unique(truth.mask), [0, 1])
    counted = cropped(replace(picture, truth=Truth(5)), (10, 2, 0, 0))
    assert counted.truth == Truth(5)
    assert counted.size == (18, 20)


@pytest.mark.parametrize("edges", [(1, 2, 3), (0, 0, 0, -1), (0, 0, 0, 1.5), (10, 0, 10, 0)])
def test_edges_that_cannot_be_are_refused(edges: Any, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"crop|small|left"):
        imported(blobs()["images"], tmp_path / "a.h5", crop=edges)
    assert not (tmp_path / "a.h5").exists()


def test_what_is_found_is_told_on_the_whole_picture(tmp_path: Path) -> None:
    images = framed_blobs()["images"]
    report = imported(images, tmp_path / "a.h5", crop=EDGES)
    airkit.train(report.path, tmp_path / "run", settings={**TRAIN, "train.steps": 2})
    folder, inner = (
        save(tmp_path / "in", images[:4]),
        save(tmp_path / "inner", blobs(40)["images"][:4]),
    )
    found = airkit.infer(folder, tmp_path / "run", labels=tmp_path / "labels")
    assert [(each.width, each.height) for each in found] == [images.shape[:0:-1]] * 4
    with Image.open(tmp_path / "labels" / "0_labels.tif") as labels:
        assert labels.size == images.shape[:0:-1]
    (small,) = read_all(folder / "0.png", pictures=PicturesConfig(crop=EDGES))
    (alone,) = read_all(inner / "0.png", pictures=PicturesConfig())
    assert np.array_equal(small.pixels, alone.pixels)


@given(
    st.tuples(*[st.integers(0, 5)] * 4), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 2**32 - 1)
)
@example(edges=(6, 4, 6, 4), scale=2.0, seed=0)  # as large as it came
def test_boxes_and_masks_come_back_to_where_they_were(
    edges: Edges, scale: float, seed: int
) -> None:
    rng, (left, top, right, bottom) = np.random.default_rng(seed), edges
    inside = rng.integers(0, 2, (4, 6)).repeat(2, 0).repeat(2, 1)
    whole = np.pad(inside, ((top, bottom), (left, right)))
    small = inside[::2, ::2] if scale == 0.5 else inside.repeat(int(scale), 0).repeat(int(scale), 1)
    pixels = np.zeros((1, *small.shape), np.float32)
    given_ = Given(Path(), None, pixels, came=(8 + top + bottom, 12 + left + right), crop=edges)
    assert np.array_equal(given_.mask_as_it_came(small), whole)
    box = np.array([[2, 2, 4, 6]], np.float32)
    at = (box + np.array([left, top, 0, 0])).tolist()
    assert given_.boxes_as_it_came(box * np.float32(scale)).tolist() == at
    found = InferredObject(tuple((box[0] * scale).tolist()), 1.0, False, (), ())
    high, wide = small.shape
    seen = Inferred("", None, wide, high, 1, (1, 1), (0.0, 1.0), 0, "ok", (found,), 0.0)
    came = seen.as_it_came(given_)
    assert [list(each.box) for each in came.objects] == at
    assert (came.height, came.width) == given_.came
