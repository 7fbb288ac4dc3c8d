"""Classes that are not airkit's own, of each kind that trains, with all that a run must keep.

They draw from PyTorch's global generator, have state that is no parameter, and a baseline.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model import decoders
from airkit.model.air import AIR
from airkit.model.counts import GeometricPrior
from airkit.model.distributions import Normal
from airkit.model.guides import Residual
from airkit.model.guides.saliency import SaliencyGuide
from airkit.model.objectives import WHOLE, Share
from airkit.model.objectives.elbo import ExactELBO
from airkit.model.poses import Pose

NAMED: dict[str, Any] = {
    "guide__kind": "outside:Guide",
    "model__decoder": "outside:Decoder",
    "prior__kind": "outside:Prior",
    "train__estimator": "outside:Objective",
}


class Guide(SaliencyGuide):
    """With batch normalisation, and noise on the logits while it trains."""

    def __init__(self, config: Config, pose: Pose, canvas_size: int) -> None:
        super().__init__(config, pose, canvas_size)
        self.norm = nn.BatchNorm1d(1)

    def propose(
        self, state: Tensor, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, Tensor]:
        logit, where, state = super().propose(state, residual, look)
        logit = self.norm(logit[:, None])[:, 0]
        return logit + 0.1 * self.training * torch.randn_like(logit), where, state


class Convolutions(decoders.Decoder):
    """Transposed convolutions, from a quarter of the window's side on."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.side = math.ceil(self.window / 4)
        self.layers = nn.Sequential(
            nn.Linear(self.code, 4 * self.side**2),
            nn.ReLU(),
            nn.Unflatten(1, (4, self.side, self.side)),
            nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(3, self.channels, 4, stride=2, padding=1),
        )

    def forward(self, code: Tensor) -> Tensor:
        return self.windows(self.layers(code)[..., : self.window, : self.window])


class Decoder(Convolutions):
    """With batch normalisation, and noise on the codes while it trains."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.norm = nn.BatchNorm1d(self.code)

    def forward(self, code: Tensor) -> Tensor:
        code = self.norm(code)
        return super().forward(code + 0.1 * self.training * torch.randn_like(code))


class Prior(GeometricPrior):
    """A prior that is steeper than its parameter says."""

    def log_prob(self, ratio: float, slots: int) -> Tensor:
        return super().log_prob(ratio**2, slots)


class Objective(ExactELBO):
    """With a network of its own that learns beside the model."""

    capturable = False

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        super().__init__(air, config, share)
        self.baselines = nn.Linear(2, 1)

    def forward(self, images: Tensor, random: Any, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        loss, surrogate = super().forward(images, random, log_prior)
        return loss, surrogate + self.baselines(torch.rand(4, 2)).square().mean()


class Raising(Guide):
    """Fails in the eleventh training step of a process."""

    starts = 0

    def start(self, images: Tensor) -> Tensor:
        Raising.starts += self.training
        assert 1 // (Raising.starts != 11)
        return super().start(images)


class Undetached(ExactELBO):
    """Returns one tensor twice, as where the loss is its own surrogate."""

    def forward(self, images: Tensor, random: Any, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        _, loss = super().forward(images, random, log_prior)
        return loss, loss


class Weighted(ExactELBO):
    """With a weight where none is trained."""

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        super().__init__(air, config, share)
        self.weight = nn.Parameter(torch.zeros(()))


class Shifted(decoders.MLPDecoder):
    """Changes in place what its perceptron returns."""

    def forward(self, code: Tensor) -> Tensor:
        raw = self.layers(code)
        raw -= 1
        return self.windows(raw.view(len(code), self.channels, self.window, self.window))
