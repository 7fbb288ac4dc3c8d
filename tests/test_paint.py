"""Patches on canvases: where they go, what is cut, and where their ink is."""

from __future__ import annotations

import numpy as np

from airkit.data import raster
from airkit.data.raster import INK, extents


def test_patches_go_where_they_belong() -> None:
    canvases = np.zeros((3, 5, 5), np.uint8)
    patches = np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2)
    raster.fill(canvases, np.array([2, 0]), np.array([[3, 0], [1, 2]]), patches)
    wanted = np.zeros((3, 5, 5), np.uint8)
    wanted[2, 0:2, 3:5] = patches[0]
    wanted[0, 2:4, 1:3] = patches[1]
    np.testing.assert_array_equal(canvases, wanted)


def test_ink_is_cut_above_full() -> None:
    canvases = np.full((3, 2, 2), 200, np.uint8)
    patches = np.array([[[54]], [[55]], [[56]]], np.uint8)
    whole = raster.add(canvases, np.array([0, 1, 2]), np.array([[0, 0], [1, 0], [0, 1]]), patches)
    assert whole.tolist() == [True, True, False]
    assert (canvases[0, 0, 0], canvases[1, 0, 1], canvases[2, 1, 0]) == (254, 255, 255)
    assert (canvases == 200).sum() == 9


def test_extents_of_any_width() -> None:
    """Lines of more and of fewer pixels than a word has bits."""
    for side in (1, 7, 63, 64, 65, 130):
        spots = np.random.default_rng(side).integers(0, side, (20, 2, 2))
        patches = np.full((20, side, side), INK - 1, np.uint8)
        for patch, spot in zip(patches, spots, strict=True):
            patch[spot[:, 1], spot[:, 0]] = INK
        least, most = spots.min(1), spots.max(1)
        np.testing.assert_array_equal(extents(patches), np.hstack([least, most - least + 1]))
