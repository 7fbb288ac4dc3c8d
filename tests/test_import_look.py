"""What importing sees in pictures, without labels, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import Array, blobs
from tiny_runs import Recorder

from airkit.data.imports.importing import import_scenes
from airkit.data.reader import read_info


def _squares(behind: int, ink: int, noise: float = 0) -> Array:
    """60 pictures of 0 to 3 squares of 6 px, of ``ink`` on ``behind``, uint8 [60, 24, 24]."""
    masks = blobs(60)["masks"]
    draws = np.random.default_rng(1).normal(0, noise, masks.shape) if noise else 0
    return np.clip(np.where(masks > 0, ink, behind) + draws, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("images", "background", "polarity"),
    [
        (_squares(0, 220), "none", "bright"),
        (_squares(90, 220), "constant", "bright"),
        (_squares(250, 60), "constant", "dark"),
        (_squares(250, 60).astype(np.uint16) * 16, "constant", "dark"),
    ],
    ids=["on black", "on grey", "dark on white", "dark on white, 12 bits"],
)
def test_automatic_settings_follow_a_look(
    images: Array, background: str, polarity: str, tmp_path: Path
) -> None:
    report = import_scenes(images, path=tmp_path / "o.h5")
    config = read_info(report.path).config
    assert (config.background, config.polarity) == (background, polarity)
    assert config.data.max_digits == report.most_objects == 3
    assert config.object_size == pytest.approx(6, abs=2)
    assert config.pixel_sd < 0.3
    assert any("background" in line for line in report.seen)


def test_what_is_named_is_taken(tmp_path: Path) -> None:
    report = import_scenes(_squares(0, 220), path=tmp_path / "o.h5", most_objects=5, object_size=9)
    config = read_info(report.path).config
    assert (config.data.max_digits, config.data.digit_size) == (5, 9)
    assert (report.most_objects, report.object_size) == (5, 9)


def test_true_counts_raise_the_most_to_expect(tmp_path: Path) -> None:
    counts = np.zeros(60, int)
    counts[7] = 8
    report = import_scenes(_squares(0, 220), counts, path=tmp_path / "o.h5")
    assert report.most_objects == 8


def test_doubts_are_told(tmp_path: Path) -> None:
    listener = Recorder()
    textured: Any = np.random.default_rng(0).integers(0, 255, (60, 24, 24)).astype(np.uint8)
    import_scenes(textured, path=tmp_path / "o.h5", listener=listener)
    assert any("in doubt" in line for line in listener.notes)


def test_the_file_is_named_as_people_name_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``~`` is the home folder, and a name that ends with a slash is a folder."""
    monkeypatch.setenv("HOME", str(home))
    images = _squares(0, 220)
    assert import_scenes(images, path="~/here.h5").path == home / "here.h5"
    assert import_scenes(images, path=f"{home}/").path == home / "pictures.h5"


def test_tiles_that_cut_no_picture_are_told(tmp_path: Path) -> None:
    listener = Recorder()
    import_scenes(_squares(0, 220), path=tmp_path / "o.h5", tile=30, listener=listener)
    assert (
        "no picture or region is larger than tiles of 24 x 24 px: tile=30 cut none"
        in listener.notes
    )
    import_scenes(_squares(0, 220), path=tmp_path / "p.h5", tile=16, listener=listener)
    assert any("cut into tiles of 16 x 16 px" in note for note in listener.notes)
