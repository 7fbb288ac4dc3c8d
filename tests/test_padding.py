"""Pictures of several sizes are padded by the grey of their border, which is no noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from own_pictures import save
from test_look import bytes_of, discs

from airkit.data.imports.geometry import padded
from airkit.data.imports.importing import import_scenes
from airkit.data.reader import read_info


def test_padding_is_the_median_of_the_border() -> None:
    levels = np.full((9, 12), 50, np.uint16)
    levels[3:6, 10:] = 900  # an object at the right edge
    found = padded(levels, (11, 20))
    assert (found.shape, found.dtype) == ((11, 20), np.uint16)
    assert (found[:9, :12] == levels).all()
    assert (found[9:] == 50).all()
    assert (found[:, 12:] == 50).all()


def test_colours_have_a_median_each_and_larger_sides_stay() -> None:
    levels = np.zeros((8, 10, 3), np.float32) + np.array([0.1, 0.2, 0.3], np.float32)
    assert np.array_equal(padded(levels, (12, 8))[10, 5], levels[0, 0])
    assert padded(levels, (12, 8)).shape == (12, 10, 3)
    assert padded(levels, (8, 10)) is levels


def test_padding_is_no_noise(tmp_path: Path) -> None:
    """Three in four pictures are padded to four times their area."""
    images = bytes_of(discs(lambda _: 0.3, levels=(0.7, 0.9), noise=0.03, many=60))
    save(tmp_path / "f", images[:45, :24, :24])
    save(tmp_path / "f/large", images[45:])
    for file in (tmp_path / "f/large").iterdir():
        file.rename(tmp_path / "f" / f"large-{file.name}")
    report = import_scenes(tmp_path / "f", path=tmp_path / "o.h5", pad=True)
    found = read_info(report.path).config.pictures
    assert found.noise == pytest.approx(0.03, abs=0.003)
    assert (found.background, found.polarity) == ("constant", "bright")
