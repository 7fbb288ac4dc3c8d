"""What every estimator of the evidence lower bound is to the training step."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from airkit.config import Config
from airkit.model.air import AIR


class Estimator(ABC):
    """Gradients of a batch's mean negative ELBO, for a model and its guide."""

    baselines: nn.Module
    """Networks that only the estimator needs, with parameters of their own; may have none."""

    def __init__(self, air: AIR, config: Config) -> None:
        """Estimate for ``air``, as the settings of ``train`` and ``guide`` say."""
        self.air, self.config = air, config
        self.baselines = nn.Module()

    @abstractmethod
    def backward(self, images: Tensor, seed: int, log_prior: Tensor) -> Tensor:
        """Add to the gradients of all parameters.

        Args:
            images: ink in 0..1, [B, H, H].
            seed: of all random numbers of the step.
            log_prior: log p(n) for n = 0..T, [T + 1].

        Returns:
            The estimate of the mean negative ELBO in nats, a scalar.
        """

    @abstractmethod
    def terms(self, images: Tensor, seed: int, log_prior: Tensor) -> dict[str, Tensor]:
        """What ``backward`` adds up for the same arguments, to look for what is not finite.

        Returns:
            Terms by name in the order in which they come about, each [B], without gradients.
        """
