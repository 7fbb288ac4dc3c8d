from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from model_factory import SIDE, blobs, double_noise, generator, tiny_air, tiny_config
from torch import Tensor, nn
from torch import distributions as dist
from torch.nn.functional import affine_grid, grid_sample

from airkit.model.air import AIR, Unrolled
from airkit.model.distributions import Normal
from airkit.model.guides import Guide, Noise, Residual, Slot
from airkit.model.guides.saliency import Glimpse, SaliencyGuide
from airkit.model.objectives import elbo

RATIO = 0.3
POSES = ["uniform", "affine"]
CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def _log_prior(kind: str, slots: int) -> Tensor:
    """Log p(n) in float64, written out."""
    if kind == "geometric":
        chances = [RATIO**n for n in range(slots + 1)]
    else:
        chances = [RATIO**n * (1 - RATIO) for n in range(slots)] + [RATIO**slots]
    return torch.tensor([math.log(each / sum(chances)) for each in chances], dtype=torch.float64)


def _painted(unrolled: Unrolled) -> Tensor:
    """Each slot's window placed by PyTorch's own transformer, [B, T, C, H, H]."""
    windows = unrolled.windows.flatten(0, 1)
    size, centre = unrolled.size.flatten(), unrolled.centre.flatten(0, 1)
    theta = torch.zeros(len(windows), 2, 3, dtype=size.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / size
    theta[:, :, 2] = -centre / size[:, None]
    grid = affine_grid(theta, [*windows.shape[:2], SIDE, SIDE], align_corners=False)
    painted = grid_sample(windows, grid, align_corners=False)
    return painted.view(*unrolled.size.shape, *painted.shape[1:])


def _kls(air: AIR, unrolled: Unrolled) -> Tensor:
    prior = dist.Normal(air.pose.mean, air.pose.sd)
    where, what = (dist.Normal(*draw.normal) for draw in (unrolled.where, unrolled.what))
    standard = dist.Normal(torch.zeros_like(what.loc), torch.ones_like(what.loc))
    kl = dist.kl_divergence(where, prior).sum(-1)
    return kl + dist.kl_divergence(what, standard).sum(-1)


def _log_q(logits: Tensor, present: tuple[int, ...]) -> Tensor | None:
    """Log q of a presence vector for logits [B, T]; None where it has no chance."""
    chances, alive = torch.sigmoid(logits), True
    log_q = torch.zeros_like(logits[:, 0])
    for slot, on in enumerate(present):
        if not alive:
            if on:
                return None
            continue
        log_q = log_q + torch.log(chances[:, slot] if on else 1 - chances[:, slot])
        alive = bool(on)
    return log_q


def _enumerated(air: AIR, images: Tensor, unrolled: Unrolled, log_prior: Tensor) -> Tensor:
    """The ELBO by a sum over all 2^T presence vectors, [B]."""
    painted, kls = _painted(unrolled), _kls(air, unrolled)
    total, chance = torch.zeros(len(images)).double(), torch.zeros(len(images)).double()
    for present in product([0, 1], repeat=air.slots):
        log_q = _log_q(unrolled.logits, present)
        if log_q is None:
            continue
        on = torch.tensor(present, dtype=torch.float64)
        canvas = torch.einsum("t,btcij->bcij", on, painted)
        pixels = dist.Normal(canvas, air.pixel_sd).log_prob(images)  # type: ignore[no-untyped-call]
        joint = pixels.sum((1, 2, 3)) + log_prior[sum(present)] - (kls * on).sum(1)
        total = total + log_q.exp() * (joint - log_q)
        chance = chance + log_q.exp()
    torch.testing.assert_close(chance, torch.ones_like(chance))
    return total


@CHANNELS
@pytest.mark.parametrize("slots", [1, 2, 3, 4])
@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("kind", ["geometric", "success"])
def test_elbo_equals_enumeration_over_presence(
    slots: int, pose: str, kind: str, channels: int
) -> None:
    air = tiny_air(tiny_config(slots, pose=pose, channels=channels), seed=slots)
    images, noise, log_prior = (
        blobs(5, channels=channels),
        double_noise(air, 5),
        _log_prior(kind, slots),
    )
    wanted = _enumerated(air, images, air(images, noise), log_prior)
    found = elbo.elbo(air, images, noise, log_prior)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)


def test_the_models_own_prior_is_the_default() -> None:
    air = tiny_air()
    images, noise = blobs(3), double_noise(air, 3)
    own = elbo.elbo(air, images, noise)
    assert torch.equal(own, elbo.elbo(air, images, noise, air.log_prior))
    torch.testing.assert_close(own, elbo.elbo(air, images, noise, _log_prior("geometric", 2)))


@torch.no_grad()
def test_elbo_is_the_mean_over_sampled_counts() -> None:
    draws, air = 20_000, tiny_air(tiny_config(3))
    with torch.no_grad():
        _presence_bias(air).sub_(2.0)  # all counts have a fair chance
    images, noise, log_prior = blobs(1), double_noise(air, 1), _log_prior("geometric", 3)
    unrolled = air(images, noise)
    tosses = torch.rand(draws, 3, generator=generator(0), dtype=torch.float64)
    on = (tosses < torch.sigmoid(unrolled.logits)).double().cumprod(1)
    counts = on.sum(1).long()
    assert torch.bincount(counts, minlength=4).min() > 200
    canvas = torch.einsum("nt,tcij->ncij", on, _painted(unrolled)[0])
    pixels = dist.Normal(canvas, air.pixel_sd).log_prob(images)  # type: ignore[no-untyped-call]
    log_qs = torch.stack(
        [log_q[0] for n in range(4) if (log_q := _log_q(unrolled.logits, _present(n))) is not None]
    )
    sampled = pixels.sum((1, 2, 3)) + log_prior[counts] - log_qs[counts]
    sampled = sampled - (on * _kls(air, unrolled)).sum(1)
    error = float(sampled.std()) / math.sqrt(draws)
    found = float(elbo.elbo(air, images, noise, log_prior))
    assert abs(found - float(sampled.mean())) < 4 * error


def _presence_bias(air: AIR) -> Tensor:
    """The bias of the guide's presence logits, a view of its weights."""
    return air.get_parameter("guide.proposer.4.bias")[:1]


def _present(count: int) -> tuple[int, ...]:
    return tuple(int(slot < count) for slot in range(3))


class Replay(Guide):
    """A guide whose view of the residual and whose looks stay what they were when recorded.

    They are cut off from the gradient by design, so that finite differences of the plain ELBO,
    which move them, are not its gradient from the second slot on. With the view frozen they are.
    """

    def __init__(self, guide: SaliencyGuide) -> None:
        nn.Module.__init__(self)
        self.pose = guide.pose
        self.guide, self.recorded, self.frozen = guide, list[tuple[Glimpse, Residual]](), False
        self.slot = 0

    def start(self, images: Tensor) -> Any:
        self.slot = 0
        return self.guide.start(images)

    def propose(
        self, state: Any, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, Any]:
        if not self.frozen:
            self.recorded.append((self.guide.attend(state, residual, look), residual))
        glimpse, self.seen = self.recorded[self.slot]
        self.slot += 1
        return *self.guide.read(glimpse), state

    def encode(self, residual: Residual, size: Tensor, centre: Tensor) -> Normal:
        return self.guide.encode(self.seen, size, centre)

    def advance(self, state: Any, slot: Slot) -> Any:
        return self.guide.advance(state, slot)


def _gradients(air: AIR, images: Tensor, noise: Noise) -> dict[str, Tensor]:
    air.zero_grad()
    elbo.elbo(air, images, noise).sum().backward()  # type: ignore[no-untyped-call]
    found = {name: weights.grad for name, weights in air.named_parameters()}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in found.values())
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


@torch.no_grad()
def _slope(air: AIR, weights: nn.Parameter, way: Tensor, images: Tensor, noise: Noise) -> float:
    """Central difference of the ELBO along ``way``."""
    step, values = 1e-6, []
    for sign in (1, -2):
        weights.add_(way, alpha=sign * step)
        values.append(float(elbo.elbo(air, images, noise).sum()))
    weights.add_(way, alpha=step)
    return (values[0] - values[1]) / (2 * step)


def _assert_slopes(air: AIR, images: Tensor, noise: Noise, gradients: dict[str, Tensor]) -> None:
    draws = generator(7)
    for name, weights in air.named_parameters():
        for _ in range(2):
            way = torch.randn(weights.shape, generator=draws, dtype=torch.float64)
            wanted = float((gradients[name.replace("guide.guide", "guide")] * way).sum())
            found = _slope(air, weights, way, images, noise)
            assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5), name


@CHANNELS
@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("looks", [False, True])
def test_gradients_of_one_slot_equal_finite_differences(
    pose: str, looks: bool, channels: int
) -> None:
    # Before the first slot the canvas is blank, so that nothing cut off depends on a weight;
    # a refined look would.
    air = tiny_air(tiny_config(1, pose=pose, refinements=0, channels=channels))
    images, noise = blobs(3, channels=channels), double_noise(air, 3, looks=looks)
    _assert_slopes(air, images, noise, _gradients(air, images, noise))


@pytest.mark.parametrize(("slots", "channels"), [(2, 1), (3, 1), (3, 3)])
@pytest.mark.parametrize("pose", POSES)
def test_gradients_equal_finite_differences_with_the_view_frozen(
    pose: str, slots: int, channels: int
) -> None:
    air = tiny_air(tiny_config(slots, pose=pose, refinements=0, channels=channels))
    images, noise = blobs(3, channels=channels), double_noise(air, 3)
    gradients = _gradients(air, images, noise)
    assert isinstance(air.guide, SaliencyGuide)
    replay = Replay(air.guide)
    air.guide = replay
    with torch.no_grad():
        air(images, noise)
    replay.frozen = True
    _assert_slopes(air, images, noise, gradients)


def test_the_residual_carries_no_gradient() -> None:
    air = tiny_air()
    images, canvas = blobs(2).requires_grad_(), blobs(2, seed=1).requires_grad_()
    residual = Residual(images, canvas)
    logit, where, _ = air.guide.propose(air.guide.start(images), residual, None)
    what = air.guide.encode(residual, *air.pose.decode(where.mean))
    total = logit.sum() + where.sd.sum() + what.mean.sum()
    assert not any(torch.autograd.grad(total, [images, canvas], allow_unused=True))


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_a_sure_guide_has_a_finite_bound(logit: float) -> None:
    air = tiny_air().float()
    with torch.no_grad():
        _presence_bias(air).fill_(logit)
    images, noise = blobs(3).float(), air.noise(generator(0), 3, looks=True)
    bound = elbo.elbo(air, images, noise)
    assert bound.isfinite().all()
    bound.sum().backward()  # type: ignore[no-untyped-call]
    assert all(part.grad is not None and part.grad.isfinite().all() for part in air.parameters())
