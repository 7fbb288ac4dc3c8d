from __future__ import annotations

import math

import pytest
import torch
from model_factory import SIDE, blobs, double_noise, generator, tiny_air, tiny_config
from torch import Tensor
from torch import distributions as dist
from torch.nn.functional import affine_grid, grid_sample

from airkit.model.air import AIR, Unrolled
from airkit.model.guides import MEANS, Noise
from airkit.model.spatial_transformer import paint

POSES = ["uniform", "affine"]
DTYPES = [torch.float32, torch.float64]
CHANNELS = pytest.mark.parametrize("channels", [1, 3])


@CHANNELS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pose", POSES)
def test_shapes_and_types(dtype: torch.dtype, pose: str, channels: int) -> None:
    air = tiny_air(tiny_config(3, pose=pose, channels=channels)).to(dtype)
    images = blobs(4, channels=channels).to(dtype)
    unrolled = air(images, air.noise(generator(0), 4, looks=True))
    assert unrolled.logits.shape == unrolled.size.shape == (4, 3)
    assert unrolled.where.value.shape == unrolled.where.normal.sd.shape == (4, 3, 3)
    assert unrolled.what.value.shape == unrolled.what.normal.mean.shape == (4, 3, 3)
    assert unrolled.centre.shape == (4, 3, 2)
    assert unrolled.windows.shape == (4, 3, channels, 6, 6)
    assert unrolled.log_likelihood.shape == (4, 4)
    found = [unrolled.logits, unrolled.size, *unrolled.where.normal]
    found.append(unrolled.log_likelihood)
    found += [air.kl(unrolled), air.log_ratio(unrolled), unrolled.centre, unrolled.windows]
    assert {part.dtype for part in found} == {dtype}


@CHANNELS
def test_likelihoods_are_of_sums_of_transformed_windows(channels: int) -> None:
    """Canvases by PyTorch's own transformer, pixels normal around them."""
    air = tiny_air(tiny_config(3, channels=channels))
    images = blobs(4, channels=channels)
    unrolled = air(images, double_noise(air, 4))
    canvas = torch.zeros(4, channels, SIDE, SIDE, dtype=torch.float64)
    for n in range(4):
        pixels = dist.Normal(canvas, air.pixel_sd).log_prob(images)  # type: ignore[no-untyped-call]
        found = unrolled.log_likelihood[:, n]
        torch.testing.assert_close(found, pixels.sum((1, 2, 3)), rtol=1e-9, atol=1e-9)
        if n == 3:
            break
        size, centre = unrolled.size[:, n], unrolled.centre[:, n]
        theta = torch.zeros(4, 2, 3, dtype=torch.float64)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 / size
        theta[:, :, 2] = -centre / size[:, None]
        grid = affine_grid(theta, [4, channels, SIDE, SIDE], align_corners=False)
        canvas = canvas + grid_sample(unrolled.windows[:, n], grid, align_corners=False)


def test_values_windows_and_poses_belong_together() -> None:
    air = tiny_air()
    noise = double_noise(air, 3)
    unrolled = air(blobs(3), noise)
    for (normal, value), drawn in zip(unrolled[1:3], noise[:2], strict=True):
        torch.testing.assert_close(value, normal.mean + normal.sd * drawn)
    size, centre = air.pose.decode(unrolled.where.value.flatten(0, 1))
    torch.testing.assert_close(size.view(3, 2), unrolled.size)
    torch.testing.assert_close(centre.view(3, 2, 2), unrolled.centre)
    windows = air.decoder(unrolled.what.value.flatten(0, 1))
    torch.testing.assert_close(windows.view(3, 2, 1, 6, 6), unrolled.windows)


def test_noise_without_drawn_looks_is_the_start_of_noise_with_them() -> None:
    air = tiny_air()
    with_looks, without = (air.noise(generator(0), 3, looks=on) for on in (True, False))
    assert without.look is None
    assert with_looks.look is not None
    assert with_looks.look.shape == (3, air.slots)
    assert with_looks.where is not None
    assert torch.equal(with_looks.where, without.where)  # type: ignore[arg-type]


@pytest.mark.parametrize("pose", POSES)
def test_kls_and_ratios_are_those_of_torch(pose: str) -> None:
    air = tiny_air(tiny_config(pose=pose))
    unrolled = air(blobs(4), double_noise(air, 4))
    mean = torch.tensor([16 / 7 if pose == "affine" else 0.0, 0.0, 0.0])
    sd = torch.tensor([0.3 if pose == "affine" else 1.0, 1.0, 1.0])
    priors = dist.Normal(mean, sd), dist.Normal(torch.zeros(3), torch.ones(3))
    kl, ratio = torch.zeros(4, 2).double(), torch.zeros(4, 2).double()
    for prior, (normal, value) in zip(priors, unrolled[1:3], strict=True):
        guide = dist.Normal(*normal)
        kl += dist.kl_divergence(guide, prior).sum(-1)
        difference = prior.log_prob(value) - guide.log_prob(value)  # type: ignore[no-untyped-call]
        ratio += difference.sum(-1)
    torch.testing.assert_close(air.kl(unrolled), kl, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(air.log_ratio(unrolled), ratio, rtol=1e-6, atol=1e-6)


@CHANNELS
@pytest.mark.parametrize("kind", ["saliency", "lstm"])
@pytest.mark.parametrize("drawn", [False, True])
def test_a_pass_is_the_same_with_gradients_and_without(
    kind: str, drawn: bool, channels: int
) -> None:
    air, images = (
        tiny_air(tiny_config(3, kind, channels=channels), seed=1),
        blobs(3, channels=channels),
    )
    noise = double_noise(air, 3, looks=air.guide.samples_looks) if drawn else MEANS
    taught = air(images, noise)
    with torch.no_grad():
        looked = air(images, noise)
    assert taught.log_likelihood.requires_grad
    for one, other in zip(_flat(taught), _flat(looked), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@CHANNELS
@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_images_do_not_depend_on_their_neighbours(kind: str, channels: int) -> None:
    air, images = tiny_air(tiny_config(3, kind, channels=channels)), blobs(4, channels=channels)
    noise = double_noise(air, 4, looks=kind == "saliency")
    together = _flat(air(images, noise))
    for row in range(4):
        one = slice(row, row + 1)
        own = Noise(*(None if part is None else part[one] for part in noise))
        for found, wanted in zip(_flat(air(images[one], own)), together, strict=True):
            torch.testing.assert_close(found, wanted[one], rtol=1e-10, atol=1e-10)


def test_weights_of_nan_show_in_the_likelihood() -> None:
    air = tiny_air().float()
    with torch.no_grad():
        air.get_parameter("decoder.layers.0.weight").fill_(math.nan)
    found = air(blobs(2).float()).log_likelihood
    assert found[:, 1:].isnan().all()
    assert found[:, 0].isfinite().all()


def _flat(unrolled: Unrolled) -> list[Tensor]:
    (where, pose), (what, code) = unrolled.where, unrolled.what
    draws = [*where, pose, *what, code]
    found = [unrolled.logits, *draws, unrolled.size, unrolled.windows, unrolled.log_likelihood]
    return [each.detach() for each in found]


@pytest.mark.parametrize(
    ("pixels", "ratio"),
    [(9.5, math.exp(-4)), (19.0, math.exp(-8)), (40, math.exp(-((40 / 9.5) ** 3)))],
)
def test_the_prior_on_the_count_follows_the_objects_size(pixels: float, ratio: float) -> None:
    air = tiny_air(tiny_config(2, side=50, prior={"ratio": "auto"}, object_size=float(pixels)))
    assert air.log_prior.diff().tolist() == pytest.approx([math.log(ratio)] * 2, rel=1e-5)


@CHANNELS
def test_no_weight_depends_on_canvas_or_slots(channels: int) -> None:
    config = tiny_config(channels=channels)
    shapes = [
        {name: part.shape for name, part in air.state_dict().items()}
        for air in (AIR(config), AIR(config, canvas_size=31, slots=7))
    ]
    assert shapes[0] == shapes[1]


@CHANNELS
@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sampled_canvases_respect_their_counts(
    pose: str, dtype: torch.dtype, channels: int
) -> None:
    air = tiny_air(tiny_config(3, pose=pose, channels=channels)).to(dtype)
    counts = torch.tensor([0, 3, 1, 0, 2])
    canvases = air.sample_canvases(counts, generator(0))
    assert canvases.shape == (5, channels, SIDE, SIDE)
    assert canvases.dtype == dtype
    assert (canvases[counts == 0] == 0).all()
    ink = canvases.sum((2, 3))
    assert (ink[counts > 0] > 0).all()
    more = air.sample_canvases(counts.clamp(max=1), generator(0))
    assert torch.equal(more[counts <= 1], canvases[counts <= 1])
    assert (canvases >= more).all()


@torch.no_grad()
def test_canvases_may_hold_more_objects_than_slots() -> None:
    few, many = (tiny_air(tiny_config(slots)) for slots in (2, 5))
    counts = torch.tensor([0, 5, 1, 3, 2])
    canvases = few.sample_canvases(counts, generator(0))
    assert torch.equal(canvases, many.sample_canvases(counts, generator(0)))
    less = few.sample_canvases(counts.clamp(max=2), generator(0))
    assert [bool(more) for more in (canvases > less).flatten(1).any(1)] == [0, 1, 0, 1, 0]


def test_few_objects_take_the_random_numbers_of_all_slots() -> None:
    air, states = tiny_air(tiny_config(3)), []
    for count in (0, 3):
        draws = generator(0)
        with torch.no_grad():
            air.sample_canvases(torch.full((2,), count), draws)
        states.append(draws.get_state())
    assert torch.equal(*states)


def test_counts_to_sample_may_be_a_list() -> None:
    air, counts = tiny_air(), [0, 1, 2]
    canvases = air.sample_canvases(counts, generator(0))
    assert torch.equal(canvases, air.sample_canvases(torch.tensor(counts), generator(0)))


@torch.no_grad()
def test_sampled_objects_follow_the_priors_pose() -> None:
    air = tiny_air(tiny_config(1))
    weight, bias = [*air.decoder.parameters()][-2:]
    weight.zero_()
    bias.fill_(50.0)  # windows of full ink show the pose itself
    canvases = air.sample_canvases(torch.ones(4_000, dtype=torch.int64), generator(0))
    draws = generator(1)
    noise = torch.randn(4_000, 3, generator=draws, dtype=torch.float64)
    ones = torch.ones(4_000, 1, 6, 6, dtype=torch.float64)
    wanted = paint(ones, *air.pose.decode(noise), SIDE)
    difference = (canvases - wanted).mean(0)
    error = math.sqrt(2) * wanted.std(0) / math.sqrt(4_000)
    assert (difference.abs() < 4.5 * error).all()
