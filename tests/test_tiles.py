"""Tiles of a picture have the objects that show in them, each cut off at their borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_pictures import Array

from airkit.data.imports.geometry import cut
from airkit.data.imports.pictures import Picture, Truth

SIDE = 32


def counts(boxes: list[tuple[float, ...]], side: int) -> list[int | None]:
    """Counts of the tiles of a square picture with objects in such boxes, row by row."""
    truth = Truth(len(boxes), np.array(boxes, np.float32))
    picture = Picture("", np.zeros((SIDE, SIDE), np.uint8), truth=truth)
    return [tile.count for _, tile in cut(picture, (side, side))]


BORDERS = {
    "whole": ((3, 3, 8, 8), [1, 0, 0, 0]),
    "halved": ((12, 3, 8, 8), [1, 1, 0, 0]),
    "a third shows beside": ((11, 3, 8, 8), [1, 1, 0, 0]),
    "a sliver shows beside": ((9, 3, 8, 8), [1, 0, 0, 0]),
    "all but a sliver is beside": ((15, 3, 8, 8), [0, 1, 0, 0]),
    "on the corner of four": ((12, 12, 8, 8), [1, 1, 1, 1]),
    "near that corner": ((11, 11, 8, 8), [1, 0, 0, 0]),
    "wider than a tile": ((0, 3, 32, 8), [1, 1, 0, 0]),
}


@pytest.mark.parametrize("name", BORDERS)
def test_objects_count_where_they_show(name: str) -> None:
    box, expected = BORDERS[name]
    assert counts([box], 16) == expected


@given(st.tuples(*[st.integers(0, SIDE - 9)] * 2, *[st.integers(1, 9)] * 2))
def test_each_object_counts_on_one_tile_at_least(box: tuple[int, ...]) -> None:
    assert 1 <= sum(count or 0 for count in counts([box], 12)) <= 4


def test_parts_are_as_large_as_they_show() -> None:
    mask: Array = np.zeros((SIDE, SIDE), np.uint16)
    mask[4:12, 10:20], mask[20:24, 13:17] = 1, 2
    boxes, labels = np.array([(10, 4, 10, 8), (13, 20, 4, 4)], np.float32), np.array([5, 6])
    picture = Picture("", np.zeros((SIDE, SIDE), np.uint8), truth=Truth(2, boxes, labels, mask))
    tiles = [tile for _, tile in cut(picture, (16, 16))]
    known = [(tile.boxes.tolist(), tile.labels.tolist()) for tile in tiles]  # type: ignore[union-attr]
    assert known == [
        ([[10, 4, 6, 8]], [5]),
        ([[0, 4, 4, 8]], [5]),
        ([[13, 4, 3, 4]], [6]),
        ([[0, 4, 1, 4]], [6]),
    ]
    assert [np.count_nonzero(tile.mask == 1) for tile in tiles] == [48, 32, 12, 4]
