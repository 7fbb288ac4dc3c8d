"""What every estimator of the evidence lower bound is to the training step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.objectives.share import WHOLE, Share


class Estimator(nn.Module, ABC):
    """Gradients of a batch's mean negative ELBO, for a model and its guide.

    A module whose parameters are all those that learn, and whose forward pass yields what to
    differentiate, so that modules which average gradients can be put around it.
    """

    baselines: nn.Module
    """Networks that only the estimator needs, with parameters of their own; may have none."""

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        """Estimate for ``air``, as the settings of ``train`` and ``guide`` say.

        Images are those of ``share``, one of equal shares of a batch.
        """
        super().__init__()
        self.air, self.config, self.share = air, config, share
        self.baselines = nn.Module()

    capturable: bool
    """Whether a draw is the same work each time, with all random numbers drawn before it."""

    @abstractmethod
    def random(self, rows: int, seed: int) -> Any:
        """What a draw for ``rows`` images is random by: its numbers, or the seed of them."""

    @abstractmethod
    def forward(self, images: Tensor, random: Any, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """One draw.

        Args:
            images: ink in 0..1, [B, H, H].
            random: what ``random`` gave.
            log_prior: log p(n) for n = 0..T, [T + 1].

        Returns:
            The estimate of the mean negative ELBO in nats, without gradients, and a surrogate
            that has the gradients that are wanted; two scalars.
        """

    def backward(self, images: Tensor, seed: int, log_prior: Tensor) -> Tensor:
        """Add to the gradients of all parameters; ``forward`` tells of arguments and result."""
        loss, surrogate = self(images, self.random(len(images), seed), log_prior)
        surrogate.backward()
        return loss  # type: ignore[no-any-return]

    @abstractmethod
    def terms(self, images: Tensor, random: Any, log_prior: Tensor) -> dict[str, Tensor]:
        """What ``forward`` adds up for the same arguments, to look for what is not finite.

        Returns:
            Terms by name in the order in which they come about, each [B], without gradients.
        """
