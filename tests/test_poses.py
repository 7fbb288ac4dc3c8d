from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_factory import generator
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from airkit.model.poses import EDGE, POSES, AffinePose, UniformPose
from airkit.model.spatial_transformer import paint


def _split(poses: list[tuple[float, float, float]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    table = torch.tensor(poses, dtype=dtype)
    return table[:, 0], table[:, 1:]


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centres_at_and_beyond_the_edge_encode_finitely(dtype: torch.dtype) -> None:
    pose = UniformPose(0.4, 0.3).to(dtype)
    centre = torch.tensor([[1.0, -1.0], [3.0, EDGE], [-EDGE, 0.0]], dtype=dtype)
    where = pose.encode(torch.full((3,), 0.4, dtype=dtype), centre)
    assert where.isfinite().all()
    assert where.dtype == dtype
    torch.testing.assert_close(pose.decode(where)[1], centre.clamp(-EDGE, EDGE))


@pytest.mark.parametrize("name", POSES)
@given(where=st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_any_latent_has_a_finite_pose_and_gradient(
    name: str, where: tuple[float, float, float]
) -> None:
    latent = torch.tensor([where], requires_grad=True)
    size, centre = POSES[name](0.4, 0.3).decode(latent)
    assert size.isfinite().all()
    assert (size > 0).all()
    (gradient,) = torch.autograd.grad(size.sum() + centre.sum(), latent)
    assert gradient.isfinite().all()


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
    windows = torch.rand(2, 1, 7, 7, generator=generator(0), dtype=torch.float64)
    theta = torch.zeros(2, 2, 3, dtype=torch.float64)
    theta[:, 0, 0] = theta[:, 1, 1] = where[:, 0]
    theta[:, :, 2] = where[:, 1:]
    grid = affine_grid(theta, [2, 1, 11, 11], align_corners=False)
    wanted = grid_sample(windows, grid, "bilinear", "zeros", align_corners=False)
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
