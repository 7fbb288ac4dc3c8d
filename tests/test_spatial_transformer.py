"""Crop and paint beside PyTorch's own transformer, and their first and second derivatives."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from model_factory import generator
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import affine_grid, grid_sample

from airkit.model.spatial_transformer import crop, paint, pixel_centres

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
DTYPES = st.sampled_from(list(TOLERANCE))
SIDES = st.integers(4, 13)
Pose3 = tuple[float, float, float]


def _between(low: float, high: float) -> st.SearchStrategy[float]:
    """Irrational fractions of a range: never the middle of a pixel, where slopes jump."""
    return st.integers(0, 9999).map(lambda n: low + (high - low) * (n + 1 / math.pi) / 10_000)


# Sizes and centres: the centre may lie outside the canvas, the window reach beyond it.
POSES = st.lists(
    st.tuples(_between(0.15, 1.8), _between(-1.3, 1.3), _between(-1.3, 1.3)),
    min_size=1,
    max_size=3,
)
EXAMPLES = settings(deadline=None, derandomize=True, max_examples=60)


def _pose(poses: list[Pose3], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    table = torch.tensor(poses, dtype=dtype)
    return table[:, 0].clone().requires_grad_(), table[:, 1:].clone().requires_grad_()


def _random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(0), dtype=dtype)


def _sampled(images: Tensor, scale: Tensor, shift: Tensor, side: int) -> Tensor:
    """PyTorch's transformer: the output at u reads images [B, C, H, W] at scale u + shift."""
    straight = torch.diag_embed(scale[:, None].expand(-1, 2))
    theta = torch.cat([straight, shift[:, :, None]], 2)
    grid = affine_grid(theta, [*images.shape[:2], side, side], align_corners=False)
    return grid_sample(images, grid, align_corners=False)


def _is_smooth(points: Tensor, side: int) -> bool:
    """Whether no point on [-1, 1] is read off the middle of a pixel."""
    pixels = (points + 1) * (side / 2) - 0.5
    return bool(((pixels - pixels.round()).abs() > 1e-6).all())


def _gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(output.shape, generator=generator(9)).to(output)
    return torch.autograd.grad((output * weights).sum(), inputs)


@EXAMPLES
@given(poses=POSES, sides=st.tuples(SIDES, SIDES), channels=st.integers(1, 3), dtype=DTYPES)
def test_crop_is_grid_sample_with_gradients_and_without(
    poses: list[Pose3], sides: tuple[int, int], channels: int, dtype: torch.dtype
) -> None:
    (size, centre), (side, window) = _pose(poses, dtype), sides
    points = size[:, None, None] * pixel_centres(window, size) + centre[:, :, None]
    assume(_is_smooth(points.double(), side))
    images = _random(len(poses), channels, side, side, dtype=dtype)
    wanted, found = _sampled(images, size, centre, window), crop(images, size, centre, window)
    with torch.no_grad():
        without = crop(images, size, centre, window)
    assert found.shape == (len(poses), channels, window, window)
    for each in (found, without):
        torch.testing.assert_close(each, wanted, rtol=0, atol=10 * TOLERANCE[dtype])
    if dtype == torch.float64:
        slopes, others = _gradients(found, size, centre), _gradients(wanted, size, centre)
        torch.testing.assert_close(slopes, others, rtol=1e-9, atol=1e-9)


@EXAMPLES
@given(poses=POSES, sides=st.tuples(SIDES, SIDES), channels=st.integers(1, 4), dtype=DTYPES)
def test_paint_is_grid_sample(
    poses: list[Pose3], sides: tuple[int, int], channels: int, dtype: torch.dtype
) -> None:
    (size, centre), (side, window) = _pose(poses, dtype), sides
    points = (pixel_centres(side, size) - centre[:, :, None]) / size[:, None, None]
    assume(_is_smooth(points.double(), window))
    windows = _random(len(poses), channels, window, window, dtype=dtype).requires_grad_()
    wanted = _sampled(windows, 1 / size, -centre / size[:, None], side)
    found = paint(windows, size, centre, side)
    assert found.dtype == dtype
    # The window's coordinates are 1 / size times the canvas's, and so is their rounding.
    tolerance = 10 * TOLERANCE[dtype] / min(1.0, size.min().item())
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)
    if dtype == torch.float64:
        given = windows, size, centre
        slopes, others = _gradients(found, *given), _gradients(wanted, *given)
        torch.testing.assert_close(slopes, others, rtol=1e-9, atol=1e-9)


def test_first_and_second_derivatives_are_those_of_finite_differences() -> None:
    (size, centre), images = _pose([(0.43, 0.21, -0.34)]), _random(1, 2, 8, 8).requires_grad_()
    windows = _random(1, 2, 5, 5).requires_grad_()
    for check in (gradcheck, gradgradcheck):
        assert check(partial(crop, side=5), (images, size, centre))
        assert check(partial(paint, canvas=8), (windows, size, centre))


@pytest.mark.parametrize(("size", "x", "y"), [(0.5, 0.2, -0.3), (0.4, -0.6, 0.6), (0.9, 0.0, 0.1)])
def test_crop_undoes_paint(size: float, x: float, y: float) -> None:
    grid = pixel_centres(12, torch.zeros(1, dtype=torch.float64))
    bump = torch.cos(grid * math.pi / 2) ** 2
    window = (bump[:, None] * bump)[None, None]
    pose = _pose([(size, x, y)])
    canvas = paint(window, *pose, 80)
    torch.testing.assert_close(crop(canvas, *pose, 12), window, rtol=0, atol=0.02)


@pytest.mark.parametrize("side", [8, 9])
def test_x_is_along_columns_and_y_along_rows(side: int) -> None:
    painted = paint(torch.ones(1, 1, 4, 4), torch.tensor([0.4]), torch.tensor([[0.5, -0.5]]), side)
    row, column = divmod(int(painted.argmax()), side)
    assert row < side // 2 < column


def test_a_window_wholly_outside_is_blank_and_has_no_gradient() -> None:
    (size, centre), windows = _pose([(0.3, 2.1, 0.1)]), _random(1, 1, 5, 5).requires_grad_()
    canvas, cropped = paint(windows, size, centre, 8), crop(_random(1, 1, 8, 8), size, centre, 5)
    slopes = *_gradients(canvas, windows, size, centre), *_gradients(cropped, size, centre)
    assert not any(each.any() for each in (canvas, cropped, *slopes))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_a_pose_that_is_not_finite_leaves_other_rows_alone(bad: float) -> None:
    for place in range(3):
        table = torch.tensor([[0.43, 0.21, -0.34]] * 3, dtype=torch.float64)
        table[1, place] = bad
        size, centre = table[:, 0].clone().requires_grad_(), table[:, 1:].clone().requires_grad_()
        windows, images = _random(3, 1, 5, 5).requires_grad_(), _random(3, 2, 8, 8)
        cropped, canvas = crop(images, size, centre, 5), paint(windows, size, centre, 8)
        _gradients(cropped, size, centre)
        _gradients(canvas, windows, size, centre)
        sound = [0, 2]
        wanted = _sampled(images, size, centre, 5)[sound]
        torch.testing.assert_close(cropped[sound], wanted, rtol=1e-9, atol=1e-9)
        wanted = _sampled(windows, 1 / size, -centre / size[:, None], 8)[sound]
        torch.testing.assert_close(canvas[sound], wanted, rtol=1e-9, atol=1e-9)
