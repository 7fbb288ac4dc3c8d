"""NVIL estimates the exact gradient, with less variance where a baseline has learnt."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from model_factory import blobs, tiny_air, tiny_config
from pyro.infer import TraceGraph_ELBO
from torch import Tensor

from airkit.config import settings
from airkit.config.schema import Config
from airkit.model import objectives
from airkit.model.air import AIR
from airkit.model.counts import log_count_prior
from airkit.model.guides.lstm import LSTMGuide
from airkit.model.objectives import Objective
from airkit.model.objectives.nvil import NVIL
from airkit.training.step import Trainer

IMAGES = blobs(3, seed=1)
COLOURS = blobs(3, seed=1, channels=3)
PRIOR = log_count_prior("geometric", 0.2, 2).double()
Gradient = dict[str, Tensor]


def estimator(
    guide: str = "lstm", kind: str = "nvil", *, channels: int = 1, **train: Any
) -> Objective:
    """An estimator for a tiny float64 model, its baseline float64 as well."""
    # Where costs are small, means settle soon.
    config = tiny_config(2, guide, channels=channels, pixel_sd=0.4)
    config = config.updated("train", estimator=kind, baseline_net=(6,), **train)
    air = tiny_air(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        built = objectives.build(air, config)
    built.baselines.double()
    return built


def backward(one: Objective, images: Tensor, seed: int, prior: Tensor) -> Tensor:
    """Add to the gradients of all parameters; returns the loss."""
    loss, surrogate = one(images, one.random(len(images), seed), prior)
    surrogate.backward()
    return loss  # type: ignore[no-any-return]


def gradient(one: Objective, images: Tensor, seed: int, prior: Tensor = PRIOR) -> Gradient:
    one.air.zero_grad()
    one.baselines.zero_grad()
    backward(one, images, seed, prior)
    found = {name: weights.grad for name, weights in one.air.named_parameters()}
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


def moments(
    one: Objective, draws: int, repeats: int, prior: Tensor = PRIOR
) -> tuple[Gradient, Gradient]:
    """Mean over draws, and its squared standard error, of the gradient of every weight."""
    many = IMAGES.repeat(repeats, 1, 1, 1)
    every = [gradient(one, many, seed, prior) for seed in range(draws)]
    stacks = {name: torch.stack([each[name] for each in every]) for name in every[0]}
    means = {name: stack.mean(0) for name, stack in stacks.items()}
    return means, {name: stack.var(0) / draws for name, stack in stacks.items()}


@pytest.mark.parametrize("guide", ["saliency", "lstm"])
@pytest.mark.parametrize("baseline", ["lstm", "mlp", "none"])
@pytest.mark.parametrize(("masking", "images"), [(True, IMAGES), (False, IMAGES), (True, COLOURS)])
def test_it_is_pyros_estimator(guide: str, baseline: str, masking: bool, images: Tensor) -> None:
    """Loss and gradients of one draw are ``TraceGraph_ELBO``'s, which are of the batch's sum."""
    train: dict[str, Any] = {"baseline": baseline, "masking": masking, "baseline_scale": 3.0}
    one = estimator(guide, channels=images.shape[1], **train)
    many = images.repeat(10, 1, 1, 1)
    loss = backward(one, many, 6, PRIOR)
    weights = [*one.air.parameters(), *one.baselines.parameters()]
    ours = [each.grad.clone() for each in weights if each.grad is not None]
    assert len(ours) == len(weights)
    one.air.zero_grad()
    one.baselines.zero_grad()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        assert isinstance(one, NVIL)
        programs = one.programs
        theirs = TraceGraph_ELBO().loss_and_grads(programs.model, programs.guide, many)
    assert float(loss) == pytest.approx(theirs / 30, rel=1e-12)
    for grad, each in zip(ours, weights, strict=True):
        assert each.grad is not None
        torch.testing.assert_close(grad, each.grad / 30, rtol=1e-9, atol=1e-12)


@cache
def exact_moments(guide: str) -> tuple[Gradient, Gradient]:
    """Moments of the exact gradient, the same beside every baseline."""
    return moments(estimator(guide, "exact"), 12, 200)


@pytest.mark.parametrize(
    ("guide", "baseline"), [("saliency", "mlp"), ("saliency", "none"), ("lstm", "lstm")]
)
def test_the_mean_gradient_is_the_exact_one(guide: str, baseline: str) -> None:
    """Each weight's within five standard errors, and nine in ten of them within two."""
    exact, exact_error = exact_moments(guide)
    nvil, error = moments(estimator(guide, baseline=baseline), 40, 200)
    found = scores(nvil, error, exact, exact_error)
    assert len(found) > 500
    assert float(found.abs().max()) < 5
    assert float((found.abs() < 2).double().mean()) > 0.9


def scores(one: Gradient, error: Gradient, other: Gradient, other_error: Gradient) -> Tensor:
    """Differences of all weights' gradients in standard errors."""
    assert set(one) == set(other)
    parts = [
        (one[name] - other[name]) / (error[name] + other_error[name] + 1e-20).sqrt() for name in one
    ]
    return torch.cat([part.flatten() for part in parts])


def test_another_priors_gradient_is_told_apart() -> None:
    """The comparison above can fail."""
    other = log_count_prior("geometric", 1e-4, 2).double()
    nvil = moments(estimator("lstm", baseline="none"), 40, 200, other)
    found = scores(*nvil, *exact_moments("lstm"))
    assert float(found.abs().max()) > 5


def presence_variance(one: Objective, draws: int) -> float:
    """Variance of the gradient of the presence logit's bias."""
    every = [gradient(one, IMAGES, seed)["guide.predict.2.bias"][0] for seed in range(draws)]
    return float(torch.stack(every).var())


@cache
def plain_variance() -> float:
    """That of the gradient where there is no baseline."""
    return presence_variance(estimator(baseline="none"), 60)


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["lstm", "mlp"])
def test_a_trained_baseline_lowers_the_variance(baseline: str) -> None:
    with_one = estimator(baseline=baseline)
    optimiser = torch.optim.Adam(with_one.baselines.parameters(), 0.1)
    for seed in range(60):
        gradient(with_one, IMAGES.repeat(10, 1, 1, 1), 1000 + seed)
        optimiser.step()
    assert presence_variance(with_one, 60) < 0.7 * plain_variance()


def test_the_baseline_is_of_a_scale() -> None:
    """Scaled up, the same net predicts as much more: its error's gradient shows it."""
    losses = []
    for scale in (1.0, 10.0):
        one = estimator(baseline_scale=scale)
        for weights in one.baselines.parameters():
            weights.data.zero_()
        gradient(one, IMAGES, 0)
        head = dict(one.baselines.named_parameters())["head.2.bias"].grad
        assert head is not None
        losses.append(float(head))
    assert losses[1] == pytest.approx(10 * losses[0])
    assert losses[0] != 0


def test_without_masking_the_bound_is_looser() -> None:
    many = IMAGES.repeat(2000, 1, 1, 1)
    masked, unmasked = (
        float(backward(estimator(masking=masking, baseline="none"), many, 0, PRIOR))
        for masking in (True, False)
    )
    assert unmasked > masked + 1


def test_the_loss_is_the_mean_of_the_batch() -> None:
    one = estimator(baseline="none")
    single = float(backward(one, IMAGES.repeat(1000, 1, 1, 1), 0, PRIOR))
    double = float(backward(one, IMAGES.repeat(2000, 1, 1, 1), 1, PRIOR))
    assert single == pytest.approx(double, rel=0.05)


def test_it_is_a_function_of_its_seed_and_leaves_no_trace() -> None:
    one = estimator()
    pyro.clear_param_store()
    before = torch.get_rng_state()
    first, again, other = (gradient(one, IMAGES, seed) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(pyro.get_param_store())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("part", ["guide.predict.2.bias", "decoder.layers.0.weight"])
def test_weights_that_are_no_numbers_give_a_loss_that_is_none(part: str) -> None:
    """Presence cannot be drawn then; the training loop is left to say so."""
    one = estimator()
    dict(one.air.named_parameters())[part].data.fill_(math.nan)
    assert math.isnan(backward(one, IMAGES, 0, PRIOR))


def test_looks_are_drawn_as_the_settings_say() -> None:
    config = tiny_config(2)
    for looks, drawn in (("drawn", True), ("argmax", False)):
        built = config.updated("guide", looks=looks).updated("train", estimator="nvil")
        one = objectives.build(AIR(built), built)
        assert isinstance(one, NVIL)
        assert one.programs.drawn_looks == drawn


def test_other_faults_are_raised() -> None:
    with pytest.raises(RuntimeError):
        backward(estimator(), IMAGES[:, :, :5], 0, PRIOR)


def _preset(name: str) -> Config:
    return settings.resolve(settings.from_preset(name))


@pytest.mark.parametrize("name", settings.presets())
def test_every_preset_takes_a_step(name: str) -> None:
    config = _preset(name)
    shape = 70, config.data.channels, *[config.data.canvas_size] * 2
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    trainer = Trainer(config, torch.from_numpy(images), torch.device("cpu"))
    before = {name: weights.clone() for name, weights in trainer.air.named_parameters()}
    assert math.isfinite(trainer.step(0))
    after = dict(trainer.air.named_parameters())
    assert not [name for name in before if torch.equal(before[name], after[name])]


def test_the_tutorials_preset_is_the_tutorials() -> None:
    """Sizes and priors as the tutorial gives them."""
    trainer = Trainer(
        _preset("pyro-tutorial"), torch.zeros(64, 1, 50, 50).byte(), torch.device("cpu")
    )
    air: AIR = trainer.air
    shapes = {name: tuple(weights.shape) for name, weights in air.named_parameters()}
    assert shapes["decoder.layers.0.weight"] == (200, 50)
    assert shapes["decoder.layers.2.weight"] == (28 * 28, 200)
    assert shapes["guide.encoder.layers.0.weight"] == (200, 28 * 28)
    assert shapes["guide.rnn.image"] == (50 * 50, 4 * 256)
    assert shapes["guide.rnn.recur.weight"] == (4 * 256, 3 + 50 + 1 + 256)
    assert shapes["guide.predict.0.weight"] == (200, 256)
    baselines = dict(trainer.objective.baselines.named_parameters())
    assert baselines["head.0.weight"].shape == (200, 256)
    assert air.pose.mean.tolist() == pytest.approx([3, 0, 0])
    assert air.pose.sd.tolist() == pytest.approx([0.2, 1, 1])
    assert isinstance(air.guide, LSTMGuide)
    assert (air.guide.presence_bias, air.guide.pose_sd_bias) == (0, 0)
    wanted = [1, 0.01, 0.01**2, 0.01**3]
    found = [float(p) / float(air.log_prior.exp()[0]) for p in air.log_prior.exp()]
    assert found == pytest.approx(wanted, rel=1e-4)
    rates = [group["peak"] for group in trainer.optimiser.adam.param_groups]
    assert rates == [1e-4, 0.1]
