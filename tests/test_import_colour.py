"""Colours of imported pictures: kept where pictures are colourful, or as asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import Array, all_images, as_set, blobs, imported, save
from tiny_runs import Recorder

from airkit.data.reader import read_info, read_split
from airkit.errors import ImageError

GIVEN = blobs(20)
GREY = np.repeat(GIVEN["images"][..., None], 3, 3)
RED = GREY * np.array([1, 0, 0], np.uint8)


CASES: dict[str, tuple[Array, dict[str, Any], Array]] = {
    "colourful": (RED, {}, RED),
    "colourful, channels first": (np.moveaxis(RED, 3, 1), {}, RED),
    "colourful, grey asked for": (RED, {"color": "grey", "channel": "grey", "levels": (0, 255)},
                                  (RED @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)),
    "one channel": (RED, {"channel": "red"}, GIVEN["images"]),
    "grey in three channels": (GREY, {}, GIVEN["images"]),
    "grey, colour asked for": (GIVEN["images"], {"color": "rgb"}, GREY),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_colours(tmp_path: Path, name: str) -> None:
    given, options, expected = CASES[name]
    report = imported(given, tmp_path / "a.h5", **options)
    assert as_set(all_images(report.path)) == as_set(expected)
    channels = read_info(report.path).config.data.channels
    assert channels == report.channels == (3 if expected.ndim == 4 else 1)


@pytest.mark.parametrize(
    ("given", "many"),
    {
        "three channels alike": (GREY, 0),
        "and opaque": (np.concatenate([GREY, np.full_like(GREY[..., :1], 255)], 3), 0),
        "16 bits": (GREY * np.uint16(200), 0),
        "compressed": (GREY // 2 + np.array([0, 2, 0], np.uint8), 0),
        "in colour": (RED, 20),
        "in dim colour": (RED // 6, int((GIVEN["counts"] > 0).sum())),
    }.values(),
)
def test_colours_that_become_grey_are_told(tmp_path: Path, given: Array, many: int) -> None:
    listener = Recorder()
    imported(given, tmp_path / "a.h5", color="grey", listener=listener)
    told = [note for note in listener.notes if "in colour" in note]
    assert [note.split()[0] for note in told] == ([str(many)] if many else [])


def test_files_with_truth_as_tiles_that_they_do_not_fill(tmp_path: Path) -> None:
    folder = save(tmp_path / "f", RED)
    assert as_set(all_images(imported(folder, tmp_path / "a.h5").path)) == as_set(RED)
    report = imported(RED, tmp_path / "b.h5", tile=40, masks=GIVEN["masks"])
    known = read_split(report.path, "train").known
    assert known["image"].shape[1:] == (24, 24, 3)
    assert known["mask"].shape[1:] == (24, 24)
    with pytest.raises(ImageError, match="color"):
        imported(RED, tmp_path / "c.h5", color="sepia")


def test_large_pictures_with_truth_of_several_chunks(tmp_path: Path) -> None:
    """Chunks of large pictures hold fewer of them, and so do those of their counts."""
    draws = np.random.default_rng(0)
    images, counts = draws.integers(0, 250, (170, 300, 300), np.uint8), draws.integers(0, 3, 170)
    report = imported(images, tmp_path / "a.h5", counts=counts)
    known = {image[:9].tobytes(): n for image, n in zip(images, counts, strict=True)}
    found = read_split(report.path, "train")
    assert [known[image[:9].tobytes()] for image in found.image] == found.known["count"].tolist()
