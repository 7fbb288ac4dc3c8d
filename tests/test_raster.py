"""Resized digits, patches on canvases and the extent of ink."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airkit.data import raster
from airkit.data.raster import INK, SCALE, extents, resize, resize_matrix

MANY = settings(deadline=None, max_examples=25)


@MANY
@given(st.integers(1, 80), st.integers(1, 80))
def test_weights_are_whole_and_add_up(old: int, new: int) -> None:
    matrix = resize_matrix(old, new)
    assert (matrix.sum(1) == SCALE).all()
    assert (matrix >= 0).all()
    assert (matrix == np.rint(matrix)).all()


@MANY
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 255))
def test_a_constant_stays_so(old: int, new: int, value: int) -> None:
    assert (resize(np.full((3, old, old), value, np.uint8), new) == value).all()


@pytest.mark.parametrize("side", [5, 19, 28, 61])
def test_resizing_is_exact(side: int) -> None:
    matrix = resize_matrix(28, side).astype(np.int64)
    images = np.random.default_rng(side).integers(0, 256, (500, 28, 28), np.uint8)
    exact = matrix @ images.astype(np.int64) @ matrix.T
    resized = resize(images, side)
    np.testing.assert_array_equal(resized, (exact + SCALE**2 // 2) // SCALE**2)
    if side == 28:
        np.testing.assert_array_equal(resized, images)


def test_patches_go_to_their_corners() -> None:
    canvases = np.zeros((3, 5, 5), np.uint8)
    patches = np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2)
    raster.add(canvases, np.array([2, 0]), np.array([[3, 0], [1, 2]]), patches)
    wanted = np.zeros((3, 5, 5), np.uint8)
    wanted[2, 0:2, 3:5] = patches[0]
    wanted[0, 2:4, 1:3] = patches[1]
    np.testing.assert_array_equal(canvases, wanted)


def test_ink_is_clipped_at_full() -> None:
    canvases = np.full((3, 2, 2), 200, np.uint8)
    patches = np.array([[[54]], [[55]], [[56]]], np.uint8)
    whole = raster.add(canvases, np.array([0, 1, 2]), np.array([[0, 0], [1, 0], [0, 1]]), patches)
    assert whole.tolist() == [True, True, False]
    assert (canvases[0, 0, 0], canvases[1, 0, 1], canvases[2, 1, 0]) == (254, 255, 255)
    assert (canvases == 200).sum() == 9


@pytest.mark.parametrize("side", [1, 7, 63, 64, 65, 130])
def test_extents_of_any_side(side: int) -> None:
    """Rows shorter and longer than a 64-bit word."""
    spots = np.random.default_rng(side).integers(0, side, (20, 2, 2))
    patches = np.full((20, side, side), INK - 1, np.uint8)
    for patch, spot in zip(patches, spots, strict=True):
        patch[spot[:, 1], spot[:, 0]] = INK
    least, most = spots.min(1), spots.max(1)
    np.testing.assert_array_equal(extents(patches), np.hstack([least, most - least + 1]))


def test_extents_of_faint_and_blank_patches() -> None:
    patches = np.zeros((3, 6, 6), np.uint8)
    patches[0, 1, 2] = INK
    patches[0, 4, 4] = INK - 1
    patches[1, 1, 2] = 1
    patches[1, 4, 4] = INK - 1
    assert extents(patches).tolist() == [[2, 1, 1, 1], [2, 1, 3, 4], [0, 0, 6, 6]]
