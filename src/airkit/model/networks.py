"""The networks of AIR: perceptrons, the encoder of windows, and an LSTM cell.

Legend: B batch, C channels, L latents of a slot, N and M inputs and outputs, R units of the LSTM, w
window side, Z code size.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.distributions import Normal
from airkit.model.precision import product_dtype

NONLINEARITIES = {"relu": nn.ReLU, "elu": nn.ELU}
"""Non-linearities by the name that ``model.nonlinearity`` gives them."""


class Perceptron(nn.Sequential):
    """Linear layers with a non-linearity between each two, [B, N] -> [B, M]."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``inputs`` [B, N] to [B, M], multiplying in the current ``precision``."""
        full, dtype = inputs.dtype, product_dtype(inputs.dtype)
        with torch.autocast(inputs.device.type, dtype, enabled=dtype != full):
            for layer in self:
                inputs = layer(inputs)
        return inputs.to(full)


def mlp(*sizes: int, nonlinearity: str = "relu") -> Perceptron:
    """Linear layers from ``sizes[0]`` to ``sizes[-1]`` with a non-linearity between each two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), NONLINEARITIES[nonlinearity](inplace=True)]
    return Perceptron(*layers[:-1])


def positive(raw: Tensor) -> Tensor:
    """A network's raw output as a standard deviation: softplus, kept above 1e-6.

    Softplus alone underflows to 0 at about -100, where the KL and its gradient are infinite.
    """
    return nn.functional.softplus(raw) + 1e-6


class Encoder(nn.Module):
    """q(z_what | x_att) of arXiv 1603.08575, figure 2: windows [B, C, w, w] to a normal [B, Z]."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        pixels, code = channels * config.window_size**2, config.code_size
        sizes = pixels, *config.encoder_net, 2 * code
        self.layers = mlp(*sizes, nonlinearity=config.model.nonlinearity)

    def forward(self, windows: Tensor) -> Normal:
        """The normal of z_what [B, Z] for windows [B, C, w, w]."""
        mean, raw = self.layers(windows.flatten(1)).chunk(2, 1)
        return Normal(mean, positive(raw))


class LSTMState(NamedTuple):
    """What an ``ImageLSTM`` carries from slot to slot.

    Attributes:
        product: the image's part of the input product, [B, 4 R].
        hidden: its output, [B, R].
        cell: its memory, [B, R].
        latents: those of the slot before, its next input, [B, L].
    """

    product: Tensor
    hidden: Tensor
    cell: Tensor
    latents: Tensor


class ImageLSTM(nn.Module):
    """An LSTM cell that reads the image and the latents of the slot before, with a learnt start.

    Equal to ``nn.LSTMCell`` on both inputs side by side. The image is the same at every slot, so
    that ``start`` computes its part of the input product once and ``forward`` adds it.
    """

    def __init__(self, image: int, latents: int, units: int) -> None:
        """``image`` and ``latents`` are the lengths of the two inputs, ``units`` is R."""
        super().__init__()
        # Inputs by outputs: the gradient of these, the most weights of all, is a faster product
        # that way round.
        self.image = nn.Parameter(torch.empty(image, 4 * units))
        self.recur = nn.Linear(latents + units, 4 * units)
        for weights in self.parameters():
            nn.init.uniform_(weights, -(units**-0.5), units**-0.5)
        self.initial = nn.Parameter(torch.zeros(2, units))

    def start(self, image: Tensor, latents: Tensor) -> LSTMState:
        """The state before the first slot, for image [B, N] and latents [B, L] to begin with."""
        hidden, cell = self.initial[:, None].expand(-1, len(image), -1)
        return LSTMState(image @ self.image, hidden, cell, latents)

    def forward(self, state: LSTMState) -> LSTMState:
        """One step, in which the latents are read."""
        gates = state.product + self.recur(torch.cat([state.latents, state.hidden], 1))
        input_, forget, candidate, output = gates.chunk(4, 1)
        cell = forget.sigmoid() * state.cell + input_.sigmoid() * candidate.tanh()
        return state._replace(hidden=output.sigmoid() * cell.tanh(), cell=cell)
