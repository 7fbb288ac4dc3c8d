"""One training step of AIR, as a function of the run's seed and the step's number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.data.dataset import to_float
from airkit.data.stream import Streamed
from airkit.model import objectives
from airkit.model.air import AIR
from airkit.model.counts import annealed_ratio
from airkit.model.guides import Noise
from airkit.model.precision import best_precision, precision
from airkit.system import seeds
from airkit.system.device import seeded
from airkit.training.background_cache import background_cache
from airkit.training.batches import CPU, Batches
from airkit.training.cuda_graph import CUDAGraph
from airkit.training.optimiser import Optimiser
from airkit.training.parallel import ALONE, ProcessGroup


class Trainer:
    """The model, its objective, its optimiser and its data on one device.

    Each of several processes has one like it, and takes its rows of every batch.
    """

    def __init__(
        self,
        config: Config,
        images: Tensor | Streamed,
        device: torch.device,
        processes: ProcessGroup = ALONE,
    ) -> None:
        """Start from the seed's initial weights.

        Args:
            config: the run's settings.
            images: canvases to train on, uint8 [N, C, H, W]; those that stay in their file are
                shuffled in blocks.
            device: where to compute.
            processes: the processes that train together.

        Raises:
            ExtensionError: a class from outside airkit that cannot be used.
        """
        keep_freed_memory()
        self.config, self.device, self.processes = config, device, processes
        sizes = len(images), config.batch_size, config.train.seed
        self.images: Tensor | Streamed
        if isinstance(images, Streamed):
            self.images = images
            self.batches = Batches(*sizes, block=images.block, chunk=images.chunk)
        else:
            self.images = images.to(device)
            self.batches = Batches(*sizes, device)
        self.air, self.objective = processes.by_each(self._build)
        self.augments = config.augments(len(images))
        self.backgrounds = background_cache(self.air.background, self.images)
        self.optimiser = Optimiser(self.air, self.objective.baselines, config, device)
        chosen = config.train.precision
        self.precision = best_precision(device.type) if chosen == "auto" else chosen
        self.averaged = processes.averaging(self.objective)
        """The objective; its gradients are means over all processes."""
        self.graph = CUDAGraph(self._take_captured, device) if self._can_capture() else None
        if not processes.launch.alone:
            self._fix_gradient_order()

    def step(self, number: int) -> Tensor:
        """Take step ``number``, counted from 0.

        Where the loss or a gradient is not finite, weights and Adam's state stay as they are, and
        ``optimiser.first_bad`` tells.

        Returns:
            The loss, a scalar on the device, valid until the next step.
        """
        self.optimiser.set_learning_rates(number)
        with self._random(number), self._background(number):
            images, random, log_prior = self.inputs(number)
            if self.graph is None:
                return self._take(number, images, log_prior, random)
            counted = torch.full((), number, dtype=torch.int64, device=self.device)
            return self.graph(counted, images, log_prior, *random)

    def backward(self, number: int) -> Tensor:
        """Add the gradients of step ``number`` to the parameters'; returns the loss."""
        with self._random(number), self._background(number):
            images, random, log_prior = self.inputs(number)
            return self._backward(images, log_prior, random)

    def inputs(self, number: int) -> tuple[Tensor, Any, Tensor]:
        """What step ``number`` is computed from.

        Returns:
            This process's images, levels in 0..1, [B, C, H, W]; the objective's random numbers; and
            log p(n) for n = 0..T, [T + 1].
        """
        images = to_float(self._augmented(self._levels(number), number))
        seed = seeds.integer(self.config.train.seed, "guide", number)
        return images, self.objective.random(len(images), seed), self.log_prior(number)

    def log_prior(self, number: int) -> Tensor:
        """The count prior of step ``number``: log p(n) for n = 0..T, [T + 1]."""
        prior = self.config.prior
        if prior.schedule == "constant":
            return self.air.log_prior
        ratio = annealed_ratio(prior, self.air.prior_ratio, number)
        log_prior = self.air.count_prior.log_prob(ratio, self.air.slots).float()
        return log_prior.to(self.device, non_blocking=True)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, without gradients, and with the same random numbers every time."""
        self.air.eval()
        try:
            with torch.no_grad(), self._random(None):
                yield
        finally:
            self.air.train()

    def _build(self) -> tuple[AIR, objectives.Objective]:
        """Model and objective; their initial weights depend on ``train.seed`` alone."""
        seed = self.config.train.seed
        with seeded(seeds.integer(seed, "init"), CPU):  # initial weights are drawn there
            air = AIR(self.config).to(self.device)
        with seeded(seeds.integer(seed, "baselines"), CPU):
            return air, objectives.build(air, self.config, self.processes.share)

    def _take(self, number: int | Tensor, images: Tensor, log_prior: Tensor, random: Any) -> Tensor:
        self.optimiser.zero_grad()
        loss = self._backward(images, log_prior, random)
        self.optimiser.step(number, loss)
        return loss

    def _take_captured(
        self, number: Tensor, images: Tensor, log_prior: Tensor, *noise: Tensor | None
    ) -> Tensor:
        return self._take(number, images, log_prior, Noise(*noise))

    def _backward(self, images: Tensor, log_prior: Tensor, random: Any) -> Tensor:
        with precision(self.precision):
            estimate = self.averaged(images, random, log_prior)
            objectives.check_estimate(self.config.train.estimator, estimate)
            loss, surrogate = estimate
            surrogate.backward()
        return self.processes.mean(loss.detach())

    def _random(self, number: int | None) -> AbstractContextManager[None]:
        """Seed the global generators where a class from outside may draw from them."""
        if not self.config.has_outside:
            return nullcontext()
        rank = self.processes.launch.rank
        stream = ("validation", rank) if number is None else ("step", number, rank)
        return seeded(seeds.integer(self.config.train.seed, *stream), self.device)

    def _background(self, number: int) -> AbstractContextManager[None]:
        """Give the model the cached backgrounds of step ``number``."""
        if self.backgrounds is None:
            return nullcontext()
        cached = self.backgrounds.at(self._indices(number))
        return self.air.background.known(self._augmented(cached, number))

    def _augmented(self, images: Tensor, number: int) -> Tensor:
        """Images of step ``number``, [B, C, H, W], turned and mirrored if training augments."""
        if not self.augments:
            return images
        way = seeds.integer(self.config.train.seed, "augment", number)
        upside_down, mirrored, turned = way & 1, way & 2, way & 4
        if turned and images.shape[2] == images.shape[3]:
            images = images.transpose(2, 3)
        axes = [axis for axis, flipped in ((2, upside_down), (3, mirrored)) if flipped]
        return images.flip(axes).contiguous()

    def _levels(self, number: int) -> Tensor:
        """This process's canvases of step ``number``, uint8 [B, C, H, W] on the device."""
        levels = self.images[self._indices(number)]
        if pinned := self.device.type == "cuda" and not levels.is_cuda:
            levels = levels.pin_memory()  # a copy from pageable memory waits for the GPU
        return levels.to(self.device, non_blocking=pinned)

    def _indices(self, number: int) -> Tensor:
        """Indices of this process's canvases of step ``number``, [B]."""
        return self.batches.at(number)[self.processes.share.rows(self.batches.size)]

    def _can_capture(self) -> bool:
        on = self.device.type == "cuda" and self.config.train.cuda_graph
        return on and self.processes.launch.alone and self.objective.capturable

    def _fix_gradient_order(self) -> None:
        """Average gradients twice before the first step, so that resuming keeps the bits.

        ``DistributedDataParallel`` learns from the first two backward passes in which order the
        gradients come, and adds them up in that order from then on, which changes the last bits.
        """
        for _ in range(2):
            self.backward(0)
        self.optimiser.zero_grad()


def keep_freed_memory() -> None:
    """Make glibc keep freed memory in the process, for the next step to use.

    glibc returns large freed blocks to the system, which has to clear every page anew: a fifth of
    a training step. It keeps blocks up to the size of the largest one that was freed so far
    (``mallopt``: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD; at most 32 MB), so this frees one of nearly
    that size. With other C libraries it has no effect.
    """
    block = torch.empty(2**25 - 2**16, dtype=torch.uint8, device="cpu")
    del block
