"""Baselines: nets that predict the cost of a sampled presence, to reduce its gradient's variance.

Whatever does not depend on the sample itself may be subtracted from its cost without changing the
gradient's mean (arXiv 1402.0030, section 2.3). So a baseline for slot t reads the image and
the latents of the slots before t; its inputs carry no gradient back to the guide.

Legend: B batch, C channels, H height, W width, T slots, L latents of a slot (3 + Z + 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.guides import Slot
from airkit.model.networks import NONLINEARITIES, ImageLSTM, LSTMState, mlp


class Baseline(nn.Module, ABC):
    """Predicts, slot by slot, the terms of the ELBO that are downstream of the slot's presence."""

    @abstractmethod
    def start(self, images: Tensor) -> Any:
        """The state before the first slot, for images [B, C, H, W]."""

    @abstractmethod
    def predict(self, state: Any) -> tuple[Any, Tensor]:
        """The state, and the prediction for the next slot's presence in nats, [B]."""

    @abstractmethod
    def advance(self, state: Any, slot: int, new: Tensor) -> Any:
        """The state after ``slot`` (from 0), whose latents ``new`` are [B, L]."""


class LSTMBaseline(Baseline):
    """A recurrent net of its own on image and last latents, as in Pyro's tutorial."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size = Slot.length(config.code_size)
        self.rnn = ImageLSTM(config.data.numel, self.size, config.guide.rnn_size)
        sizes = config.guide.rnn_size, *config.train.baseline_net, 1
        self.head = mlp(*sizes, nonlinearity=config.model.nonlinearity)

    def start(self, images: Tensor) -> LSTMState:
        """See ``Baseline.start``; before the first slot the latents are zero."""
        return self.rnn.start(images.flatten(1), images.new_zeros(len(images), self.size))

    def predict(self, state: LSTMState) -> tuple[LSTMState, Tensor]:
        """See ``Baseline.predict``."""
        state = self.rnn(state)
        return state, self.head(state.hidden).squeeze(1)

    def advance(self, state: LSTMState, slot: int, new: Tensor) -> LSTMState:
        """See ``Baseline.advance``."""
        del slot
        return state._replace(latents=new.detach())


class MLPState(NamedTuple):
    """State of the MLP baseline.

    Attributes:
        product: the image's part of the first layer's product, [B, width].
        latents: latents of all slots side by side, zero from the next slot on, [B, T L].
    """

    product: Tensor
    latents: Tensor


class MLPBaseline(Baseline):
    """A plain net on the image and all latents so far, as in the public TensorFlow port."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size = Slot.length(config.code_size)
        first, *rest = *config.train.baseline_net, 1
        activation = NONLINEARITIES[config.model.nonlinearity]()
        self.image = nn.Linear(config.data.numel, first)
        self.latents = nn.Linear(config.slots * self.size, first, bias=False)
        last = mlp(first, *rest, nonlinearity=config.model.nonlinearity)
        self.head = nn.Sequential(activation, *last) if rest else nn.Sequential()

    def start(self, images: Tensor) -> MLPState:
        """See ``Baseline.start``."""
        none = images.new_zeros(len(images), self.latents.in_features)
        return MLPState(self.image(images.flatten(1)), none)

    def predict(self, state: MLPState) -> tuple[MLPState, Tensor]:
        """See ``Baseline.predict``."""
        return state, self.head(state.product + self.latents(state.latents)).squeeze(1)

    def advance(self, state: MLPState, slot: int, new: Tensor) -> MLPState:
        """See ``Baseline.advance``."""
        start, latents = slot * self.size, state.latents
        parts = latents[:, :start], new.detach(), latents[:, start + self.size :]
        return state._replace(latents=torch.cat(parts, 1))


BASELINES: dict[str, Callable[[Config], Baseline]] = {
    "lstm": LSTMBaseline,
    "mlp": MLPBaseline,
}
"""Baselines by the name that ``train.baseline`` gives them."""


def baseline_of(config: Config) -> nn.Module:
    """The baseline that the settings name; where they name none, a module without parameters."""
    train = config.train
    if train.estimator != "nvil" or train.baseline == "none":
        return nn.Module()
    return BASELINES[train.baseline](config)
