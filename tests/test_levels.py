"""Levels of large pictures are found some rows at a time, and are those of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from airkit.data.imports import levels as module
from airkit.data.imports.levels import kind_of, luminance, opaque


@pytest.fixture(name="values", params=[np.uint8, np.uint16, np.float32])
def _values(request: pytest.FixtureRequest) -> np.ndarray[Any, Any]:
    draws = np.random.default_rng(0)
    if request.param is np.float32:
        return draws.random((23, 17, 4), np.float32)
    return draws.integers(0, np.iinfo(request.param).max, (23, 17, 4), request.param)


def test_blocks_of_rows_change_nothing(
    values: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = luminance(values), opaque(values, 0.3), kind_of(values[..., :3])
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    assert np.array_equal(luminance(values), whole[0])
    assert np.array_equal(opaque(values, 0.3), whole[1])
    assert kind_of(values[..., :3]) == whole[2] == "colours"
    assert {part.dtype for part in whole[:2]} == {values.dtype}


def test_colour_in_the_last_row_alone_is_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    grey = np.full((9, 8, 3), 100, np.uint8)
    assert kind_of(grey) == "grey"
    grey[-1, 3] = 200, 0, 0
    assert kind_of(grey) == "colours"
