from __future__ import annotations

import math

import pytest
import torch
from model_factory import SIDE, blobs, canvases_of, double_noise, generator, tiny_air, tiny_config
from torch import Tensor
from torch import distributions as dist

from airkit.model.air import AIR
from airkit.model.objectives import elbo as objective
from airkit.model.objectives import iwae
from airkit.model.spatial_transformer import paint


@pytest.mark.parametrize("pose", ["uniform", "affine"])
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_log_joint_equals_torch(pose: str, slots: int, channels: int) -> None:
    air = tiny_air(tiny_config(slots, pose=pose, channels=channels))
    images = blobs(4, channels=channels)
    unrolled = air(images, double_noise(air, 4))
    poses, codes = dist.Normal(air.pose.mean, air.pose.sd), dist.Normal(0.0, 1.0)
    canvases = canvases_of(air, unrolled)
    for n in range(slots + 1):
        pixels = dist.Normal(canvases[:, n], air.pixel_sd)
        wanted = pixels.log_prob(images).sum((1, 2, 3))  # type: ignore[no-untyped-call]
        wanted += math.log(0.3**n / sum(0.3**m for m in range(slots + 1)))
        for draw, prior in ((unrolled.where, poses), (unrolled.what, codes)):
            value, guide = draw.value[:, :n], dist.Normal(*(part[:, :n] for part in draw.normal))
            ratio = prior.log_prob(value) - guide.log_prob(value)  # type: ignore[no-untyped-call]
            wanted += ratio.sum((1, 2))
        found = iwae.log_joint(air, unrolled)[:, n]
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-5)


@torch.no_grad()
def test_log_weight_sums_the_counts() -> None:
    air, images = tiny_air(tiny_config(3, pixel_sd=2.0)), blobs(4)
    unrolled = air(images, double_noise(air, 4))
    terms = iwae.log_joint(air, unrolled)
    assert terms.shape == (4, 4)
    wanted = terms.exp().sum(1).log()
    torch.testing.assert_close(iwae.log_weight(air, unrolled), wanted)


def test_iwae_is_the_log_of_the_mean_weight() -> None:
    weights = torch.rand(5, 3, generator=generator(0), dtype=torch.float64)
    torch.testing.assert_close(iwae.iwae(weights.log()), weights.mean(0).log())
    assert torch.equal(iwae.iwae(weights[:1]), weights[0])


def test_iwae_of_tiny_weights_does_not_underflow() -> None:
    assert iwae.iwae(torch.tensor([[-5e4], [-5e4]])).tolist() == pytest.approx([-5e4])


def _weights(air: AIR, image: Tensor, draws: int, *, looks: bool) -> tuple[Tensor, Tensor]:
    """Log weights and ELBOs of the same ``draws`` passes over one image, [draws] each."""
    images, noise = image.expand(draws, -1, -1, -1), double_noise(air, draws, looks=looks)
    unrolled = air(images, noise)
    elbo = objective.elbo_of(air, unrolled, air.log_prior)
    return iwae.log_weight(air, unrolled), elbo


@pytest.mark.parametrize("looks", [False, True])
@torch.no_grad()
def test_bounds_tighten_from_the_elbo_on(looks: bool) -> None:
    air = tiny_air(tiny_config(2, pixel_sd=1.0))
    for image in blobs(3):
        log_weights, elbo = _weights(air, image, 2_000, looks=looks)
        gap = log_weights - elbo
        assert float(gap.mean()) > -3 * float(gap.std()) / math.sqrt(len(gap))
        ladder = [float(iwae.iwae(log_weights.view(k, -1)).mean()) for k in (1, 5, 50, 1_000)]
        assert float(elbo.mean()) < ladder[0] + 1e-9 + 3 * float(gap.std()) / math.sqrt(len(gap))
        assert ladder == sorted(ladder)
        assert ladder[-1] > ladder[0]


def _wide(slots: int) -> AIR:
    """A model whose guide is wider than its prior, so that weights have a finite variance."""
    air = tiny_air(tiny_config(slots, pixel_sd=2.0, prior={"ratio": 0.8}), spread=0.05)
    air.guide.sharpness = 1.0
    with torch.no_grad():
        weights = dict(air.named_parameters())
        weights["guide.proposer.4.bias"][4:] += torch.tensor([0.7, 3.4, 3.4])
        weights["guide.encoder.layers.2.bias"][air.code :] += 0.6
        weights["decoder.layers.2.weight"].mul_(4.0)
    return air


def _log_evidence(air: AIR, image: Tensor, draws: int) -> tuple[float, float]:
    """p(x) and its standard error by drawing from the prior, over that of a blank canvas."""
    draw = generator(11)
    canvas = torch.zeros(draws, 1, SIDE, SIDE, dtype=torch.float64)
    blank, total = _log_pixels(air, image, canvas[:1]), torch.zeros(draws).double()
    powers = [0.8**n for n in range(air.slots + 1)]
    for n, power in enumerate(powers):
        if n:
            where = torch.randn(draws, 3, generator=draw, dtype=torch.float64)
            code = torch.randn(draws, air.code, generator=draw, dtype=torch.float64)
            canvas = canvas + paint(air.decoder(code), *air.pose.decode(where), SIDE)
        total += power / sum(powers) * (_log_pixels(air, image, canvas) - blank).exp()
    return float(total.mean()), float(total.std()) / math.sqrt(draws)


def _log_pixels(air: AIR, image: Tensor, canvas: Tensor) -> Tensor:
    return -((image - canvas) ** 2).sum((1, 2, 3)) / (2 * air.pixel_sd**2)


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("slots", [1, 2])
@torch.no_grad()
def test_the_mean_weight_is_the_evidence(slots: int, looks: bool) -> None:
    air, image, draws = _wide(slots), blobs(1)[0], 20_000
    evidence, evidence_error = _log_evidence(air, image, draws)
    log_weights, _ = _weights(air, image, draws, looks=looks)
    blank = air.log_p_x(image.square().sum())
    weights = (log_weights - blank).exp()
    error = float(weights.std()) / math.sqrt(draws)
    assert error < 0.03 * evidence  # else the next line would test nothing
    assert evidence_error < 0.03 * evidence
    assert abs(float(weights.mean()) - evidence) < 4 * math.hypot(error, evidence_error)
