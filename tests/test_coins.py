"""A photograph of 24 coins, which scikit-image ships, is looked at as a person would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airkit.data.imports.importing import import_scenes

coins = pytest.importorskip("skimage.data").coins


@pytest.mark.parametrize(("tile", "seed"), [(40, 0), (40, 2), (56, 0)])
def test_a_photograph_of_coins_is_cut_into_tiles_of_small_coins(
    tmp_path: Path, tile: int, seed: int
) -> None:
    options: dict[str, Any] = {"scale": 0.32, "tile": tile, "settings": {"data.seed": seed}}
    report = import_scenes(np.asarray(coins())[None], path=tmp_path / "a.h5", **options)
    assert 12 <= report.object_size <= 18
    assert "objects: brighter than" in " ".join(report.seen)
