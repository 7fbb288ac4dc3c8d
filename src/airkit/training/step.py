"""One optimiser step of AIR, as a function of the run's seed and the step number."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from airkit.config.schema import Config
from airkit.data.dataset import to_ink
from airkit.model import objectives
from airkit.model.air import AIR
from airkit.model.distributions import annealed_ratio, log_count_prior
from airkit.model.guides import Noise
from airkit.model.objectives import WHOLE, Share
from airkit.model.precision import best_precision, precision
from airkit.runs.cuda_graph import Captured, CUDAGraphs, Inputs
from airkit.system import seeds
from airkit.training.adam import Adam
from airkit.training.batches import Batches
from airkit.training.guard import Guard
from airkit.training.memory import keep_freed_memory
from airkit.training.parallel import ALONE, ProcessGroup


def build_model(config: Config, device: torch.device) -> AIR:
    """A new model whose initial weights depend on ``train.seed`` alone."""
    with torch.random.fork_rng(devices=[]):  # of the CPU, where all initial weights are drawn
        torch.default_generator.manual_seed(seeds.integer(config.train.seed, "init"))
        return AIR(config).to(device)


def build_estimator(air: AIR, config: Config, share: Share = WHOLE) -> objectives.Objective:
    """The estimator of ``train.estimator``; its initial weights depend on ``train.seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.integer(config.train.seed, "baselines"))
        return objectives.build(air, config, share)


class Trainer:
    """The model, its estimator, its optimiser and its data on one device.

    Each of several processes has one like it, and sees its share of every batch.
    """

    def __init__(
        self,
        config: Config,
        images: Tensor,
        device: torch.device,
        processes: ProcessGroup = ALONE,
    ) -> None:
        """Start from the seed's initial weights, on uint8 ``images`` [N, H, H]."""
        keep_freed_memory()
        self.config, self.device, self.processes = config, device, processes
        self.images = images.to(device)
        self.air = build_model(config, device)
        self.estimator = build_estimator(self.air, config, processes.share)
        self.batches = Batches(len(images), config.train.batch_size, config.train.seed, device)
        self.optimiser = self._optimiser()
        self.guard = Guard(device)
        chosen = config.train.precision
        self.precision = best_precision(device.type) if chosen == "auto" else chosen
        self.averaged = processes.averaging(self.estimator)
        """The estimator, with gradients that are means over all processes."""
        self.captured = self._capturing()
        if not processes.launch.alone:
            self._settle()

    def step(self, number: int) -> Tensor:
        """Take step ``number``, counted from 0; returns the loss, a scalar on the device.

        Where loss or gradient are not finite, nothing changes but the ``guard``, which tells.
        The loss holds until the next step.
        """
        self._set_rates(number)
        if self.captured is None:
            return self._take(number, *self._given(number))
        counted = torch.full((), number, dtype=torch.int64, device=self.device)
        images, random, log_prior = self._given(number)
        return self.captured([counted, images, log_prior, *random])

    def _take_captured(self, inputs: Inputs) -> Tensor:
        """Take the step that ``step`` describes by tensors."""
        number, images, log_prior, *random = inputs
        return self._take(number, images, Noise(*random), log_prior)

    def _take(self, number: int | Tensor, images: Tensor, random: Any, log_prior: Tensor) -> Tensor:
        """Take a step on what ``_given`` gave for it."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._backward(images, random, log_prior)
        self.guard.watch(number, loss, *self._clipped())
        self.guard.step(self.optimiser)
        return loss

    def _set_rates(self, number: int) -> None:
        """Let the optimiser learn at the rates of step ``number``."""
        for group in self.optimiser.param_groups:
            rate = group["peak"] * decay(self.config, number)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _clipped(self) -> list[Tensor]:
        """Clip the model's gradient; the norms that it and the baselines' had before."""
        norms, limit = [], self.config.train.clip_norm
        for module in (self.air, self.estimator.baselines):
            grads = [each.grad for each in module.parameters() if each.grad is not None]
            if grads:
                norms.append(get_total_norm(grads))
        if limit != "none":
            clip_grads_with_norm_(self.air.parameters(), limit, norms[0])
        return norms

    def _optimiser(self) -> torch.optim.Optimizer:
        """One for all: the model's parameters, and at their own rate the baselines', if any."""
        train = self.config.train
        groups: list[dict[str, Any]] = [
            {"params": list(self.air.parameters()), "peak": train.learning_rate}
        ]
        baselines = list(self.estimator.baselines.parameters())
        if baselines:
            groups.append({"params": baselines, "peak": train.baseline_learning_rate})
        if self.device.type != "cuda":
            return Adam(groups, fused=True)
        # A captured step finds the rate in memory, which therefore has to stay where it is.
        for group in groups:
            group["lr"] = torch.zeros((), device=self.device)
        return Adam(groups, fused=True, capturable=True)

    def optimiser_state(self) -> dict[str, Any]:
        """The optimiser's state, with plain numbers for rates."""
        state = self.optimiser.state_dict()
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
        return state

    def _capturing(self) -> Captured | None:
        """What captures steps, where that can be done."""
        alone = self.processes.launch.alone
        if not (alone and self.device.type == "cuda" and self.config.train.cuda_graph):
            return None
        if not self.estimator.capturable:
            return None
        return Captured(self._take_captured, CUDAGraphs(self.device))

    def _settle(self) -> None:
        """Let gradients be averaged twice, for nothing.

        The first time shows which come in what order, and from the third time on they are added
        up in it, with other last bits. Settled before any step, a run that goes on has the bits
        of one that never stopped.
        """
        for _ in range(2):
            self.backward(0)
        self.optimiser.zero_grad(set_to_none=True)

    def backward(self, number: int) -> Tensor:
        """Add the gradients of step ``number`` to the parameters'; returns the loss."""
        return self._backward(*self._given(number))

    def _backward(self, images: Tensor, random: Any, log_prior: Tensor) -> Tensor:
        with precision(self.precision):
            loss, surrogate = self.averaged(images, random, log_prior)
            surrogate.backward()
        return self.processes.mean(loss)

    def canvases(self, number: int) -> Tensor:
        """Indices of this process's canvases of step ``number``, on the device, as int64 [B]."""
        return self.batches.at(number)[self.processes.share.rows(self.batches.size)]

    def _given(self, number: int) -> tuple[Tensor, Any, Tensor]:
        """The batch, what is random and the count prior of step ``number``."""
        images = to_ink(self.images[self.canvases(number)])
        seed = seeds.integer(self.config.train.seed, "guide", number)
        return images, self.estimator.random(len(images), seed), self.log_prior(number)

    def log_prior(self, number: int) -> Tensor:
        """The count prior of step ``number``: log p(n) for n = 0..T, [T + 1]."""
        prior = self.config.prior
        if prior.schedule == "constant":
            return self.air.log_prior
        ratio = annealed_ratio(prior, self.config.prior_ratio, number)
        return log_count_prior(prior.kind, ratio, self.air.slots).to(self.device, non_blocking=True)


def decay(config: Config, number: int) -> float:
    """The share of the learning rates at step ``number``: 1, or down a half cosine to 0."""
    if config.train.schedule == "constant":
        return 1.0
    done = min(1.0, number / config.train.steps)
    return 0.5 * (1 + math.cos(math.pi * done))
