"""Squared errors as functions of what was painted, beside plain autograd."""

from __future__ import annotations

import math

import pytest
import torch
from model_factory import generator
from test_gradients import sampled_paint
from torch import Tensor
from torch import distributions as dist

from airkit.model.likelihood import log_likelihood, painted_errors, squared_errors
from airkit.model.spatial_transformer import paint
from airkit.model.tape import Tape

BATCH, SIDE, WINDOW = 3, 9, 5


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def _objects(slots: int) -> tuple[Tensor, Tensor, Tensor]:
    """Windows, sizes and centres, slot after slot; some reach beyond the edge."""
    rows = slots * BATCH
    size = 0.3 + 0.4 * _random(rows, seed=1).abs()
    centre = 0.7 * _random(rows, 2, seed=2)
    windows = _random(rows, WINDOW, WINDOW, seed=3)
    return windows.requires_grad_(), size.requires_grad_(), centre.requires_grad_()


def _residuals(images: Tensor, painted: Tensor) -> Tensor:
    """Images less the first n objects, n = 0..T, [T + 1, B, H, H]."""
    slots = painted.view(-1, BATCH, SIDE, SIDE)
    return torch.cat([images[None], images - slots.cumsum(0)])


def _gradients(errors: Tensor, objects: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of all errors, each weighted otherwise."""
    return torch.autograd.grad((errors * _random(*errors.shape, seed=9)).sum(), objects)


def _assert_close(found: object, wanted: object) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("taped", [False, True])
def test_painted_errors_are_those_of_plain_autograd(slots: int, taped: bool) -> None:
    """With the halves of paintings from a tape too."""
    images, objects, tape = _random(BATCH, SIDE, SIDE), _objects(slots), Tape()
    residuals = _residuals(images, sampled_paint(*objects, SIDE))
    wanted = torch.stack([(each**2).sum((1, 2)) for each in residuals], 1)
    if taped:
        for row in zip(*(each.detach().chunk(slots) for each in objects), strict=True):
            windows, size, centre = row
            paint(windows, size, centre, SIDE, tape.record())
    known = (tape.replay(),) if taped else ()
    found = painted_errors(*objects, residuals.detach(), *known)
    assert found.shape == (BATCH, slots + 1)
    _assert_close(found, wanted)
    _assert_close(_gradients(found, objects), _gradients(wanted, objects))


def test_what_is_painted_last_matters_to_the_last_canvas_alone() -> None:
    objects = _objects(2)
    residuals = _residuals(_random(BATCH, SIDE, SIDE), paint(*objects, SIDE)).detach()
    errors = painted_errors(*objects, residuals)
    for canvas, slots in ((0, []), (1, [0]), (2, [0, 1])):
        (slope,) = torch.autograd.grad(errors[:, canvas].sum(), objects[0], retain_graph=True)
        moved = slope.view(2, BATCH, -1).any(2).all(1)
        assert moved.nonzero().flatten().tolist() == slots


def test_squared_errors_are_sums_of_squares() -> None:
    residuals = _random(4, BATCH, SIDE, SIDE).requires_grad_()
    found, wanted = squared_errors(residuals), (residuals**2).sum((2, 3)).t()
    _assert_close(found, wanted)
    _assert_close(_gradients(found, (residuals,)), _gradients(wanted, (residuals,)))


def test_a_perfect_canvas_has_no_error_and_no_gradient() -> None:
    """The root of a sum of squares has no slope at zero; the sum has."""
    residuals = torch.zeros(2, BATCH, SIDE, SIDE, requires_grad=True)
    errors = squared_errors(residuals)
    (slope,) = torch.autograd.grad(errors.sum(), residuals)
    assert not errors.any()
    assert torch.equal(slope, torch.zeros_like(residuals))


def test_squared_errors_of_great_and_small_residuals() -> None:
    for size in (1e-12, 1e12):
        residuals = torch.full((1, 1, SIDE, SIDE), size)
        assert float(squared_errors(residuals)) == pytest.approx(SIDE**2 * size**2, rel=1e-6)


def test_log_likelihood_is_that_of_independent_normals() -> None:
    images, canvases = _random(BATCH, SIDE, SIDE), _random(4, BATCH, SIDE, SIDE, seed=1)
    pixels = dist.Normal(canvases, 0.3).log_prob(images)  # type: ignore[no-untyped-call]
    found = log_likelihood(squared_errors(images - canvases), SIDE**2, 0.3)
    _assert_close(found, pixels.sum((2, 3)).t())


def test_log_likelihood_of_no_error_is_the_densest() -> None:
    found = log_likelihood(torch.zeros(2, 3, dtype=torch.float64), 5, 0.2)
    _assert_close(found, torch.full_like(found, -5 * math.log(0.2 * math.sqrt(2 * math.pi))))
