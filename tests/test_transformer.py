from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from airkit.model.spatial_transformer import crop, paint, pixel_centres

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
DTYPES = st.sampled_from(list(TOLERANCE))
SIDES = st.integers(4, 13)
Pose3 = tuple[float, float, float]
# Sizes and centres: the centre may lie outside the canvas, the window reach beyond it.
POSE = st.tuples(st.floats(0.15, 1.8), st.floats(-1.3, 1.3), st.floats(-1.3, 1.3))
POSE_LISTS = st.lists(POSE, min_size=1, max_size=3)


def _split(poses: list[Pose3], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    table = torch.tensor(poses, dtype=dtype)
    return table[:, 0], table[:, 1:]


def _random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def _sample(images: Tensor, scale: Tensor, shift: Tensor, side: int) -> Tensor:
    """PyTorch's own transformer: output at u reads images [B, C, H, W] at scale u + shift."""
    theta = torch.zeros(len(images), 2, 3, dtype=images.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = shift
    grid = affine_grid(theta, [len(images), images.shape[1], side, side], align_corners=False)
    return grid_sample(images, grid, "bilinear", "zeros", align_corners=False)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(poses=POSE_LISTS, sides=st.tuples(SIDES, SIDES), channels=st.integers(1, 3), dtype=DTYPES)
def test_crop_is_grid_sample(
    poses: list[Pose3], sides: tuple[int, int], channels: int, dtype: torch.dtype
) -> None:
    (size, centre), (side, window) = _split(poses, dtype), sides
    images = _random(len(poses), channels, side, side, dtype=dtype)
    wanted = _sample(images, size, centre, window)
    cropped = crop([images], size, centre, window)
    assert cropped.dtype == dtype
    assert cropped.shape == (len(poses), channels, window, window)
    torch.testing.assert_close(cropped, wanted, rtol=0, atol=TOLERANCE[dtype])


@settings(deadline=None, derandomize=True, max_examples=60)
@given(poses=POSE_LISTS, sides=st.tuples(SIDES, SIDES), dtype=DTYPES)
def test_paint_is_grid_sample(
    poses: list[Pose3], sides: tuple[int, int], dtype: torch.dtype
) -> None:
    (size, centre), (side, window) = _split(poses, dtype), sides
    windows = _random(len(poses), window, window, dtype=dtype)
    wanted = _sample(windows[:, None], 1 / size, -centre / size[:, None], side)[:, 0]
    painted = paint(windows, size, centre, side)
    assert painted.dtype == dtype
    # The window's coordinates are 1 / size times the canvas's, and so is their rounding.
    tolerance = TOLERANCE[dtype] / min(1.0, float(size.min()))
    torch.testing.assert_close(painted, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("size", "x", "y"), [(0.5, 0.2, -0.3), (0.4, -0.6, 0.6), (0.9, 0.0, 0.1)])
def test_crop_undoes_paint(size: float, x: float, y: float) -> None:
    grid = pixel_centres(12, torch.zeros(1, dtype=torch.float64))
    bump = torch.cos(grid * math.pi / 2) ** 2
    window = (bump[:, None] * bump)[None]
    pose = _split([(size, x, y)], torch.float64)
    canvas = paint(window, *pose, 80)
    torch.testing.assert_close(crop([canvas[:, None]], *pose, 12)[:, 0], window, rtol=0, atol=0.02)


def test_a_window_that_fills_the_canvas_is_the_canvas() -> None:
    images = _random(2, 9, 9)
    whole = _split([(1.0, 0.0, 0.0)] * 2, torch.float64)
    torch.testing.assert_close(crop([images[:, None]], *whole, 9)[:, 0], images)
    torch.testing.assert_close(paint(images, *whole, 9), images)


@pytest.mark.parametrize("odd", [8, 9])
def test_x_goes_along_columns_and_y_along_rows(odd: int) -> None:
    painted = paint(torch.ones(1, 4, 4), torch.tensor([0.4]), torch.tensor([[0.5, -0.5]]), odd)[0]
    row, column = divmod(int(painted.argmax()), odd)
    assert row < odd // 2 < column
