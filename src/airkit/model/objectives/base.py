"""The base class of training objectives, and a process's share of a batch.

Legend: B batch, T slots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.guides import Noise
from airkit.model.tuples import map_tensors


@dataclass(frozen=True)
class Share:
    """The rows of a batch that belong to process ``index`` of ``count``; by default all."""

    index: int = 0
    count: int = 1

    def rows(self, total: int) -> slice:
        """This process's rows of ``total``; every row belongs to exactly one process."""
        return slice(total * self.index // self.count, total * (self.index + 1) // self.count)

    def noise(self, noise: Noise, total: int) -> Noise:
        """This process's rows of the noise of ``total`` rows.

        All rows are drawn and the others discarded, so that a row's noise does not depend on the
        number of processes.
        """
        rows = self.rows(total)
        return map_tensors(lambda part: part[rows], noise)


WHOLE = Share()


class Objective(nn.Module, ABC):
    """An estimator of a batch's mean negative ELBO and of its gradient.

    A module whose parameters are all those that learn, the model's and those in ``baselines``, and
    whose forward pass returns what to differentiate, so that it can be wrapped in modules that
    average gradients over processes.

    Derive from this class and name it as ``train.estimator = "package.module:Class"``.
    """

    capturable = False
    """Whether a CUDA graph can capture ``forward``: the same operations at every step, and
    ``random`` returns a ``Noise`` drawn before it."""

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        """Build for a model.

        Args:
            air: the model and its guide.
            config: the resolved configuration.
            share: which rows of a batch this process sees.
        """
        super().__init__()
        self.air, self.config, self.share = air, config, share
        self.baselines = nn.Module()
        """What only the objective needs: networks, which learn at a rate of their own, and buffers;
        both are saved with the run."""

    @abstractmethod
    def random(self, rows: int, seed: int) -> Any:
        """Random inputs of one draw for ``rows`` images: noise tensors, or a seed."""

    @abstractmethod
    def forward(self, images: Tensor, random: Any, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the objective from one draw.

        Args:
            images: levels in 0..1, [B, C, H, W].
            random: what ``random`` returned.
            log_prior: log p(n) for n = 0..T, annealed, [T + 1].

        Returns:
            The estimate of the mean negative ELBO in nats, without gradients, and a surrogate
            loss whose gradient is the estimate of the negative ELBO's; two scalars.
        """
