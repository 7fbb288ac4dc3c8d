"""Perceptrons in the training pass, and their gradient written by hand; see ``airkit.model.fast``.

Legend: N rows (B, or T * B slot after slot), B batch, T slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from airkit.model.fast_transformer import first_order
from airkit.model.networks import Perceptron

Parts = tuple[Tensor, ...]
Slope = Callable[[Tensor, Tensor], Tensor]
_SLOPES: dict[type[nn.Module], Slope] = {
    nn.ReLU: lambda grad, out: torch.ops.aten.threshold_backward(grad, out, 0),
    nn.ELU: lambda grad, out: torch.ops.aten.elu_backward(grad, 1, 1, 1, True, out),
}
"""The gradient before a non-linearity, from the gradient after it and its output."""


def layer_outputs(network: Perceptron, parameters: Sequence[Tensor], inputs: Tensor) -> Parts:
    """Each layer's output after its non-linearity, [N, width]; the last as ``forward`` returns it.

    Args:
        network: the perceptron.
        parameters: its weights and biases, layer after layer, in the dtype to multiply in.
        inputs: [N, inputs].
    """
    layers = [inputs.to(parameters[0].dtype)]
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        if len(layers) > 1:
            network[1](layers[-1])  # the non-linearity, in place
        layers.append(linear(layers[-1], weight, bias))
    return *layers[1:-1], layers[-1].to(inputs.dtype)


def differentiable(
    network: Perceptron, outputs: Parts, weights: Sequence[Tensor], inputs: Tensor
) -> Tensor:
    """The last of ``outputs``, with the gradient by ``inputs`` and by the network's parameters.

    Args:
        network: the perceptron.
        outputs: ``layer_outputs``.
        weights: its weights, layer after layer, in the dtype to multiply in.
        inputs: [N, inputs].
    """
    slope = _SLOPES[type(network[1]) if len(network) > 1 else nn.ReLU]
    out: Tensor = _MLP.apply(slope, outputs, weights, inputs, *network.parameters())  # type: ignore[no-untyped-call]
    return out


class _MLP(torch.autograd.Function):
    """The gradient of a perceptron, given its layers' outputs."""

    @staticmethod
    def forward(
        ctx: Any, slope: Slope, outputs: Parts, weights: list[Tensor], inputs: Tensor, *_: Tensor
    ) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(inputs.to(weights[0].dtype), *outputs[:-1], *weights)
        return outputs[-1]

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        layers, full = len(ctx.saved_tensors) // 2, grad.dtype
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        grads: list[Tensor | None] = []
        for layer in reversed(range(layers)):
            grad_bias, grad = grad.sum(0, dtype=full), grad.to(weights[0].dtype)
            grads = [(grad.t() @ inputs[layer]).to(full), grad_bias, *grads]
            if layer:
                grad = ctx.slope(grad @ weights[layer], inputs[layer])
        grad_inputs = (grad @ weights[0]).to(full) if ctx.needs_input_grad[3] else None
        return None, None, None, grad_inputs, *grads
