from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from airkit.model.poses import EDGE, POSES, AffinePose, UniformPose
from airkit.model.transformer import crop, paint, pixel_centres

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


@pytest.mark.parametrize("name", POSES)
@given(size=st.floats(0.05, 1.5), x=st.floats(-EDGE, EDGE), y=st.floats(-EDGE, EDGE))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_decode_undoes_encode(name: str, size: float, x: float, y: float) -> None:
    pose = POSES[name](0.4, 0.3).double()
    given_size, given_centre = _split([(size, x, y)], torch.float64)
    found_size, found_centre = pose.decode(pose.encode(given_size, given_centre))
    torch.testing.assert_close(found_size, given_size, rtol=1e-10, atol=0)
    torch.testing.assert_close(found_centre, given_centre, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", POSES)
@given(s=st.floats(0.2, 3), x=st.floats(-2.3, 2.3), y=st.floats(-2.3, 2.3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_encode_undoes_decode(name: str, s: float, x: float, y: float) -> None:
    pose, where = POSES[name](0.4, 0.3).double(), torch.tensor([[s, x, y]], dtype=torch.float64)
    torch.testing.assert_close(pose.encode(*pose.decode(where)), where, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_centres_at_and_beyond_the_edge_encode_finitely(dtype: torch.dtype) -> None:
    pose = UniformPose(0.4, 0.3).to(dtype)
    centre = torch.tensor([[1.0, -1.0], [3.0, EDGE], [-EDGE, 0.0]], dtype=dtype)
    where = pose.encode(torch.full((3,), 0.4, dtype=dtype), centre)
    assert where.isfinite().all()
    assert where.dtype == dtype
    torch.testing.assert_close(pose.decode(where)[1], centre.clamp(-EDGE, EDGE))


def test_far_latents_decode_within_the_canvas() -> None:
    where = torch.tensor([[0.0, 40.0, -40.0], [0.0, -9.0, 9.0]])
    centre = UniformPose(0.4, 0.3).decode(where)[1]
    assert (centre.abs() <= 1).all()


def test_uniform_pose_has_uniform_centres_and_log_normal_sizes() -> None:
    draws, bins = 100_000, 20
    pose = UniformPose(0.4, 0.3)
    noise = torch.randn(draws, 3, generator=torch.Generator().manual_seed(1))
    size, centre = pose.decode(pose.mean + pose.sd * noise)
    for axis in (0, 1):
        seen = torch.histc(centre[:, axis], bins, -1, 1)
        expected = draws / bins
        chi_square = float(((seen - expected) ** 2 / expected).sum())
        assert chi_square < 43.8  # the 99.9 % quantile at 19 degrees of freedom
    score = (size / 0.4).log().double() / 0.3
    moments = [float((score**power).mean()) for power in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.05)


def test_affine_pose_is_the_papers_transform() -> None:
    where = torch.tensor([[2.5, 0.4, -0.7], [1.3, -0.2, 0.1]], dtype=torch.float64)
    windows = _random(2, 7, 7)
    theta = torch.zeros(2, 2, 3, dtype=torch.float64)
    theta[:, 0, 0] = theta[:, 1, 1] = where[:, 0]
    theta[:, :, 2] = where[:, 1:]
    grid = affine_grid(theta, [2, 1, 11, 11], align_corners=False)
    wanted = grid_sample(windows[:, None], grid, "bilinear", "zeros", align_corners=False)[:, 0]
    painted = paint(windows, *AffinePose(0.4, 0.3).decode(where), 11)
    torch.testing.assert_close(painted, wanted, rtol=0, atol=1e-12)


def test_affine_prior_is_around_the_typical_size() -> None:
    pose = AffinePose(0.4, 0.3)
    assert pose.mean.tolist() == pytest.approx([2.5, 0, 0])
    assert pose.sd.tolist() == pytest.approx([0.3, 1, 1])


def test_affine_scale_is_kept_positive() -> None:
    size, centre = AffinePose(0.4, 0.3).decode(torch.tensor([[-3.0, 0.01, 0.0]]))
    assert float(size) == pytest.approx(10)
    assert centre[0].tolist() == pytest.approx([-0.1, 0])
