"""Small classifiers with early stopping, of codes and of pixels.

Legend: B batch, N examples, H canvas side, T slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from airkit.data.dataset import to_ink
from airkit.model.precision import best_precision

BATCH = 32
EVERY = 250
"""Steps between two looks at the validation examples."""
PATIENCE = 6
"""Looks without a better accuracy after which a training ends."""
DROPOUT = 0.3


@dataclass(frozen=True)
class Examples:
    """Inputs [N, ...] with their classes, int64 [N]."""

    inputs: Tensor
    classes: Tensor

    def first(self, count: int) -> Examples:
        """The first ``count`` of them, or all if they are fewer."""
        return Examples(self.inputs[:count], self.classes[:count])


@dataclass(frozen=True)
class Fitted:
    """How a training went."""

    accuracy: float
    """The best accuracy on the validation examples, at which the weights are left."""
    steps: int
    """Steps up to there."""
    stopped_early: bool
    """Whether patience ended the training, and not the limit on its steps."""


class Perceptron(nn.Sequential):
    """Two hidden layers on codes [B, F]."""

    def __init__(self, inputs: int, classes: int, width: int = 256) -> None:
        hidden = *dense(inputs, width), *dense(width, width)
        super().__init__(*hidden, nn.Linear(width, classes))


class Convolutional(nn.Module):
    """Two convolutions with max-pooling and a hidden layer on images, uint8 [B, 1, H, H]."""

    def __init__(self, side: int, classes: int, width: int = 256) -> None:
        super().__init__()
        first = nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()
        second = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()
        seen = *first, nn.MaxPool2d(2), *second, nn.MaxPool2d(2), nn.Flatten()
        features = 32 * ((side + 1) // 8) ** 2
        self.layers = nn.Sequential(*seen, *dense(features, width), nn.Linear(width, classes))
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes], computed in bfloat16 where the processor multiplies it."""
        quick = best_precision(images.device.type) == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=quick):
            logits: Tensor = self.layers(to_ink(images))
        return logits.float()


def dense(inputs: int, width: int) -> tuple[nn.Module, ...]:
    """A hidden layer."""
    return nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(DROPOUT)


def fit(
    net: nn.Module, train: Examples, val: Examples, *, rate: float, seed: int, limit: int
) -> Fitted:
    """Train with Adam and keep the weights that are best on ``val``.

    Args:
        net: logits [B, classes] of inputs [B, ...].
        train: what to train on.
        val: what to stop by.
        rate: Adam's learning rate.
        seed: of the batches and of dropout.
        limit: most steps.
    """
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    best, kept, since = Fitted(-1.0, 0, stopped_early=False), net.state_dict(), 0
    for step, batch in zip(range(1, limit + 1), batches(len(train.classes), seed), strict=False):
        loss = cross_entropy(net(train.inputs[batch]), train.classes[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % EVERY and step != limit:
            continue
        accuracy, since = share_right(net, val), since + 1
        if accuracy > best.accuracy:
            best, kept, since = Fitted(accuracy, step, False), deepcopy(net.state_dict()), 0
        if since == PATIENCE:
            best = Fitted(best.accuracy, best.steps, stopped_early=True)
            break
    net.load_state_dict(kept)
    return best


def batches(count: int, seed: int) -> Iterator[Tensor]:
    """Indices of batches, epoch after epoch without end, each epoch in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from (part for part in torch.split(order, BATCH) if len(part) == min(BATCH, count))


def share_right(net: nn.Module, examples: Examples) -> float:
    """Share of examples whose class has the greatest logit."""
    return float(right(net, examples).float().mean())


@torch.no_grad()
def right(net: nn.Module, examples: Examples) -> Tensor:
    """Whether each example's class has the greatest logit, bool [N]; dropout is off meanwhile."""
    net.eval()
    parts = [net(part).argmax(1) for part in torch.split(examples.inputs, 1000)]
    net.train()
    return torch.cat(parts) == examples.classes
