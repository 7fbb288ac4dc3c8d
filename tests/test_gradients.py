"""Gradients written by hand equal those of PyTorch's own transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest import mock

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from model_factory import generator
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from airkit.model import spatial_transformer
from airkit.model.spatial_transformer import crop, paint, pixel_centres

SIDES = st.integers(4, 13)


def _between(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of no simple fraction, which would be read off the very middle of a pixel."""
    return st.integers(0, 9999).map(lambda n: low + (high - low) * (n + 1 / math.pi) / 10_000)


# The centre may lie outside the canvas, the window reach beyond it.
POSE = st.tuples(_between(0.15, 1.8), _between(-1.3, 1.3), _between(-1.3, 1.3))
POSES = st.lists(POSE, min_size=1, max_size=3)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def _pose(poses: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor]:
    table = torch.tensor(poses, dtype=torch.float64)
    return table[:, 0].clone().requires_grad_(), table[:, 1:].clone().requires_grad_()


def sampled(images: Tensor, scale: Tensor, shift: Tensor, side: int) -> Tensor:
    """Output at u reads images [B, C, H, W] at scale u + shift."""
    straight = torch.diag_embed(scale[:, None].expand(-1, 2))
    theta = torch.cat([straight, shift[:, :, None]], 2)
    grid = affine_grid(theta, [*images.shape[:2], side, side], align_corners=False)
    return grid_sample(images, grid, align_corners=False)


def sampled_paint(windows: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """``paint`` by PyTorch's own transformer."""
    return sampled(windows[:, None], 1 / size, -centre / size[:, None], side)[:, 0]


def _is_smooth(places: Tensor, side: int) -> bool:
    """Whether no point on [-1, 1] is read off the middle of a pixel, where slopes jump."""
    pixels = (places + 1) * (side / 2) - 0.5
    return bool(((pixels - pixels.round()).abs() > 1e-7).all())


def _gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum of all outputs, each weighted otherwise."""
    return torch.autograd.grad((output * _random(*output.shape, seed=9)).sum(), inputs)


def _assert_close(found: object, wanted: object) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def _contiguous(parts: int, batch: int, channels: int, side: int) -> list[Tensor]:
    return [_random(batch, channels, side, side, seed=part) for part in range(parts)]


def _every_other(parts: int, batch: int, channels: int, side: int) -> list[Tensor]:
    """Views of a block [N, B, H, H] at steps, as AIR shows image and residuals."""
    block = _random(1 + channels * parts, batch, side, side)
    return [
        block[: (channels - 1) * part + 1 : part][:channels].transpose(0, 1)
        for part in range(1, parts + 1)
    ]


def _one_for_all(parts: int, batch: int, channels: int, side: int) -> list[Tensor]:
    """One image seen in each channel and part."""
    image = _random(1, batch, side, side)
    return [image.expand(channels, -1, -1, -1).transpose(0, 1)] * parts


Views = Callable[[int, int, int, int], list[Tensor]]
VIEWS = [_contiguous, _every_other, _one_for_all]


@pytest.mark.parametrize("tents", [False, True], ids=["grid", "tents"])
@pytest.mark.parametrize("views", VIEWS)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(poses=POSES, parts=st.integers(1, 3), channels=st.integers(1, 3), sides=st.data())
def test_crops(
    tents: bool,
    views: Views,
    poses: list[tuple[float, float, float]],
    parts: int,
    channels: int,
    sides: st.DataObject,
) -> None:
    side, window = sides.draw(SIDES), sides.draw(SIDES)
    images, (size, centre) = views(parts, len(poses), channels, side), _pose(poses * parts)
    size = size * torch.linspace(1, 1.2, parts * len(poses))  # no part has the poses of another
    places = size[:, None, None] * pixel_centres(window, size) + centre[:, :, None]
    assume(_is_smooth(places, side))
    with mock.patch.object(spatial_transformer, "_needs_tents", return_value=tents):
        found = crop(images, size, centre, window)
        slopes = _gradients(found, size, centre)
    wanted = sampled(torch.cat(images), size, centre, window)
    _assert_close(found, wanted)
    _assert_close(slopes, _gradients(wanted, size, centre))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(poses=POSES, side=SIDES, window=SIDES)
def test_painting(poses: list[tuple[float, float, float]], side: int, window: int) -> None:
    (size, centre), windows = _pose(poses), _random(len(poses), window, window).requires_grad_()
    places = (pixel_centres(side, size) - centre[:, :, None]) / size[:, None, None]
    assume(_is_smooth(places, window))
    found, wanted = paint(windows, size, centre, side), sampled_paint(windows, size, centre, side)
    _assert_close(found, wanted)
    given = windows, size, centre
    _assert_close(_gradients(found, *given), _gradients(wanted, *given))


def test_finite_differences_agree() -> None:
    """Which owe PyTorch's transformer nothing."""
    (size, centre), windows = _pose([(0.43, 0.21, -0.34)]), _random(1, 5, 5).requires_grad_()
    images = _random(1, 2, 8, 8)
    for tents in (False, True):
        with mock.patch.object(spatial_transformer, "_needs_tents", return_value=tents):
            assert torch.autograd.gradcheck(
                lambda size, centre: crop([images], size, centre, 5), (size, centre)
            )
    assert torch.autograd.gradcheck(
        lambda windows, size, centre: paint(windows, size, centre, 8), (windows, size, centre)
    )


def test_second_derivatives_are_refused() -> None:
    """Rather than wrong."""
    (size, centre), windows = _pose([(0.43, 0.21, -0.34)]), _random(1, 5, 5).requires_grad_()
    for output in (crop([_random(1, 1, 8, 8)], size, centre, 5), paint(windows, size, centre, 8)):
        (slope,) = torch.autograd.grad((output**2).sum(), size, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            torch.autograd.backward(slope.sum())


def test_a_window_wholly_outside_is_blank_and_has_no_gradient() -> None:
    (size, centre), windows = _pose([(0.3, 2.1, 0.1)]), _random(1, 5, 5).requires_grad_()
    canvas = paint(windows, size, centre, 8)
    cropped = crop([_random(1, 1, 8, 8)], size, centre, 5)
    assert not canvas.any()
    assert not cropped.any()
    for gradient in (
        *_gradients(canvas, windows, size, centre),
        *_gradients(cropped, size, centre),
    ):
        assert not gradient.any()


def test_crops_of_images_that_want_gradients_give_them_none() -> None:
    """Images are data: what the guide sees of the canvas carries no gradient."""
    (size, centre), images = _pose([(0.43, 0.21, -0.34)]), _random(1, 2, 8, 8).requires_grad_()
    total = crop([images], size, centre, 5).sum()
    assert torch.autograd.grad(total, [images, size], allow_unused=True)[0] is None


@pytest.mark.parametrize("tents", [False, True], ids=["grid", "tents"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_poses_that_are_no_numbers_end_no_program(tents: bool, bad: float) -> None:
    """Memory outside the image is neither read nor written, at odds of one slot in a batch."""
    for place in range(3):
        table = torch.tensor([[0.43, 0.21, -0.34]] * 3, dtype=torch.float64)
        table[1, place] = bad
        size, centre = table[:, 0].clone().requires_grad_(), table[:, 1:].clone().requires_grad_()
        windows, images = _random(3, 5, 5).requires_grad_(), _random(3, 2, 8, 8)
        with mock.patch.object(spatial_transformer, "_needs_tents", return_value=tents):
            cropped = crop([images], size, centre, 5)
            _gradients(cropped, size, centre)
        canvas = paint(windows, size, centre, 8)
        _gradients(canvas, windows, size, centre)
        sound = [0, 2]
        _assert_close(cropped[sound], sampled(images, size, centre, 5)[sound])
        _assert_close(canvas[sound], sampled_paint(windows, size, centre, 8)[sound])
