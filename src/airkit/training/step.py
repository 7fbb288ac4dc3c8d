"""One optimiser step of AIR, as a function of the run's seed and the step number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from airkit import seeds
from airkit.config import Config
from airkit.dataset import to_ink
from airkit.estimators import ESTIMATORS
from airkit.model.air import AIR
from airkit.model.guides import Noise
from airkit.model.prior import log_count_prior, ratio_at
from airkit.training.batches import Batches


def build_model(config: Config, device: torch.device) -> AIR:
    """A new model whose initial weights depend on ``train.seed`` alone."""
    with torch.random.fork_rng(devices=[]):  # of the CPU, where all initial weights are drawn
        torch.default_generator.manual_seed(seeds.integer(config.train.seed, "init"))
        return AIR(config).to(device)


class Trainer:
    """The model, its optimiser and its data on one device."""

    def __init__(self, config: Config, images: Tensor, device: torch.device) -> None:
        """Start from the seed's initial weights, on uint8 ``images`` [N, H, H]."""
        self.config, self.device = config, device
        self.images = images.to(device)
        self.air = build_model(config, device)
        self.batches = Batches(len(images), config.train.batch_size, config.train.seed)
        self.estimate = ESTIMATORS[config.train.estimator]
        self.generator = torch.Generator(device)
        self.optimiser = torch.optim.Adam(
            self.air.parameters(), lr=config.train.learning_rate, fused=True
        )

    def step(self, number: int) -> Tensor:
        """Take step ``number``, counted from 0; returns the loss, a scalar on the device."""
        self.optimiser.param_groups[0]["lr"] = learning_rate(self.config, number)
        loss = -self.elbo(number).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.train.clip_norm != "none":
            torch.nn.utils.clip_grad_norm_(self.air.parameters(), self.config.train.clip_norm)
        self.optimiser.step()
        return loss.detach()

    def elbo(self, number: int) -> Tensor:
        """The estimator on the batch and the random numbers of step ``number``, as [B]."""
        config, air = self.config, self.air
        images = to_ink(self.images[self.batches.at(number).to(self.device)])
        self.generator.manual_seed(seeds.integer(config.train.seed, "guide", number))
        drawn = config.guide.looks == "drawn"
        noise = Noise.draw(self.generator, len(images), air.slots, air.code, looks=drawn)
        return self.estimate(air, images, noise, self._log_prior(number))

    def _log_prior(self, number: int) -> Tensor:
        prior = self.config.prior
        if prior.schedule == "constant":
            return self.air.log_prior
        ratio = ratio_at(prior, self.config.prior_ratio, number)
        return log_count_prior(prior.kind, ratio, self.air.slots).to(self.device)


def learning_rate(config: Config, number: int) -> float:
    """Adam's step size at step ``number``: constant, or down a half cosine over ``train.steps``."""
    if config.train.schedule == "constant":
        return config.train.learning_rate
    done = min(1.0, number / config.train.steps)
    return config.train.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
