"""The networks of AIR: plain multilayer perceptrons, and the normals that they predict."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from airkit.config.schema import Config
from airkit.model.precision import factors
from airkit.model.tape import Known, Parts, afresh

NONLINEARITIES = {"relu": nn.ReLU, "elu": nn.ELU}
"""What stands between layers, by the name that ``model.nonlinearity`` gives it."""


def spread(raw: Tensor) -> Tensor:
    """A network's raw output as a standard deviation: soft-plus, kept off zero.

    Soft-plus alone underflows to 0 at about -100, where the KL and its gradient end.
    """
    return nn.functional.softplus(raw) + 1e-6


class Perceptron(nn.Sequential):
    """Linear layers with a non-linearity between each two, [B, N] -> [B, M]."""

    def forward(self, inputs: Tensor, known: Known = afresh) -> Tensor:
        """Map ``inputs``; ``known`` says where to have the result from, if it is not new."""
        if has_torch_function((inputs,)):
            return handle_torch_function(self.forward, (inputs,), inputs, known)
        outputs = known(lambda: self._outputs(inputs))
        linear = (layer for layer in self if isinstance(layer, nn.Linear))
        weights = [factors().weight(layer.weight) for layer in linear]
        given = self._slope, outputs, weights, inputs, *self.parameters()
        out: Tensor = _Perceptron.apply(*given)  # type: ignore[no-untyped-call]
        return out

    def _outputs(self, inputs: Tensor) -> Parts:
        """What each layer gives, after its non-linearity; as factors, but for the last."""
        outputs = [inputs.to(factors().like(inputs))]
        for layer in self:
            if isinstance(layer, nn.Linear):
                weights = factors().weight(layer.weight), factors().weight(layer.bias)
                outputs.append(nn.functional.linear(outputs[-1], *weights))
            else:
                layer(outputs[-1])
        return *outputs[1:-1], outputs[-1].to(inputs.dtype)

    @property
    def _slope(self) -> Slope:
        """The gradient through the non-linearity."""
        return _SLOPES[type(self[1])] if len(self) > 1 else _SLOPES[nn.ReLU]


Slope = Callable[[Tensor, Tensor], Tensor]
"""From the gradient after a non-linearity, and what it gave, to the gradient before."""

_SLOPES: dict[type[nn.Module], Slope] = {
    nn.ReLU: lambda grad, out: torch.ops.aten.threshold_backward(grad, out, 0),
    nn.ELU: lambda grad, out: torch.ops.aten.elu_backward(grad, 1, 1, 1, True, out),
}


class _Perceptron(torch.autograd.Function):
    """The gradient of a ``Perceptron``, for what its layers gave."""

    @staticmethod
    def forward(
        ctx: Any, slope: Slope, outputs: Parts, weights: list[Tensor], inputs: Tensor, *_: Tensor
    ) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(inputs.to(weights[0].dtype), *outputs[:-1], *weights)
        return outputs[-1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        layers, full = len(ctx.saved_tensors) // 2, grad.dtype
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        grads: list[Tensor | None] = []
        for layer in reversed(range(layers)):
            by_bias, grad = grad.sum(0, dtype=full), grad.to(weights[0].dtype)
            grads = [(grad.t() @ inputs[layer]).to(full), by_bias, *grads]
            if layer:
                grad = ctx.slope(grad @ weights[layer], inputs[layer])
        by_inputs = (grad @ weights[0]).to(full) if ctx.needs_input_grad[3] else None
        return None, None, None, by_inputs, *grads


def mlp(*sizes: int, nonlinearity: str = "relu") -> Perceptron:
    """Linear layers from ``sizes[0]`` to ``sizes[-1]`` with a non-linearity between each two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), NONLINEARITIES[nonlinearity](inplace=True)]
    return Perceptron(*layers[:-1])


class Normal(NamedTuple):
    """A diagonal normal over the last axis of two tensors of one shape [B, D]."""

    mean: Tensor
    sd: Tensor

    def at(self, noise: Tensor | None) -> Tensor:
        """The reparameterised sample mean + sd . noise, or the mean where there is no noise."""
        return self.mean if noise is None else self.mean + self.sd * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of ``value`` [B, D], as [B]."""
        score = (value - self.mean) / self.sd
        return (-0.5 * score**2 - torch.log(self.sd) - 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl(self, prior_mean: Tensor | float = 0.0, prior_sd: Tensor | float = 1.0) -> Tensor:
        """KL(self || N(prior_mean, prior_sd^2)) in nats, as [B]."""
        ratio = self.sd / prior_sd
        score = (self.mean - prior_mean) / prior_sd
        return (0.5 * (ratio**2 + score**2 - 1) - torch.log(ratio)).sum(-1)


class Decoder(nn.Module):
    """z_what [B, Z] -> window [B, W, W]; ink in 0..1 where the output is a sigmoid."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        model, self.window = config.model, config.window_size
        sizes = model.code_size, *config.decoder_net, self.window**2
        self.layers = mlp(*sizes, nonlinearity=model.nonlinearity)
        self.bias, self.squash = config.decoder_bias, model.decoder_output == "sigmoid"

    def forward(self, what: Tensor, known: Known = afresh) -> Tensor:
        """Decode; a negative bias makes windows start out nearly blank."""
        ink: Tensor = self.layers(what, known) + self.bias
        return (torch.sigmoid(ink) if self.squash else ink).view(-1, self.window, self.window)


class Encoder(nn.Module):
    """Windows [B, C, W, W] -> the normal of z_what [B, Z]."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        pixels, code = channels * config.window_size**2, config.model.code_size
        sizes = pixels, *config.encoder_net, 2 * code
        self.layers = mlp(*sizes, nonlinearity=config.model.nonlinearity)

    def forward(self, windows: Tensor, known: Known = afresh) -> Normal:
        """Encode; sds are soft-plus of the network's second half."""
        mean, raw = self.layers(windows.flatten(1), known).chunk(2, 1)
        return Normal(mean, spread(raw))


class ImageLSTM(nn.Module):
    """An LSTM cell that reads the image and the last latents at every slot.

    The image is the same at every slot, so that its part of the input product is computed
    once: ``start`` makes it, ``forward`` adds it. Equal to ``nn.LSTMCell`` on the two
    concatenated, with a learnable initial state.
    """

    def __init__(self, image: int, latents: int, units: int) -> None:
        """``image`` and ``latents`` are the lengths of the two inputs."""
        super().__init__()
        # Inputs by outputs: the gradient of these, the most weights of all, is a faster product
        # that way round.
        self.image = nn.Parameter(torch.empty(image, 4 * units))
        self.recur = nn.Linear(latents + units, 4 * units)
        for weights in self.parameters():
            nn.init.uniform_(weights, -(units**-0.5), units**-0.5)
        self.initial = nn.Parameter(torch.zeros(2, units))

    def start(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image's product [B, 4 R], and the initial hidden and cell states, each [B, R]."""
        hidden, cell = self.initial[:, None].expand(-1, len(image), -1)
        return image @ self.image, hidden, cell

    def forward(
        self, product: Tensor, latents: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next hidden and cell states, each [B, R], from latents [B, L] and the last ones."""
        gates = product + self.recur(torch.cat([latents, hidden], 1))
        enter, keep, new, leave = gates.chunk(4, 1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(cell), cell
