"""A photograph of 24 coins, which scikit-image ships, is looked at as a person would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from airkit.data.imports.importing import import_scenes

coins = pytest.importorskip("skimage.data").coins


def test_a_photograph_of_coins_is_cut_into_tiles_of_small_coins(tmp_path: Path) -> None:
    report = import_scenes(np.asarray(coins())[None], path=tmp_path / "a.h5", scale=0.32, tile=40)
    assert 12 <= report.object_size <= 20
    assert "brighter than" in " ".join(report.seen)
