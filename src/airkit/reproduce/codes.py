"""What codes are good for: the sum and the order of two digits, read from few labels.

On canvases of two digits a perceptron reads the codes of a model that was trained without labels,
and a convolutional net reads the pixels, both with the same labels.

Legend: N canvases, H their side, T slots, Z length of z_what, F numbers of a canvas's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from airkit.data.canvases import SPLITS
from airkit.data.dataset import CanvasDataset, to_float
from airkit.model.precision import best_precision
from airkit.model.scene import explain
from airkit.runs.trained import open_run
from airkit.system import threads
from airkit.system.callbacks import Listener
from airkit.system.statistics import wilson

NONE = -1
BATCH, WIDTH, DROPOUT = 32, 256, 0.3
RATE = 1e-2
"""Adam's learning rate: of 1e-3, 3e-3 and 1e-2 the best on validation canvases, for either net."""
EVERY = 250
"""Steps between two looks at the validation canvases."""
PATIENCE = 6
"""Looks without a better accuracy after which a training ends."""


class Examples(NamedTuple):
    """Codes [N, F] or images, uint8 [N, 1, H, H], with their classes, int64 [N]."""

    inputs: Tensor
    classes: Tensor


def sums(canvases: CanvasDataset) -> Tensor:
    """Return the sum of a canvas's two digits, 0 to 18, int64 [N]."""
    return canvases.truth("labels").sum(1)


def order(canvases: CanvasDataset) -> Tensor:
    """Return whether the left digit is the smaller one, 1 or 0, int64 [N].

    Left is the box of ink whose centre is further left. Where the digits are equal, or neither is
    further left, there is no order: -1.
    """
    boxes, labels = canvases.truth("boxes"), canvases.truth("labels")
    middle = boxes[:, :, 0] + boxes[:, :, 2] / 2
    step = (middle[:, 1] - middle[:, 0]).sign() * (labels[:, 1] - labels[:, 0])
    return torch.where(step == 0, NONE, (step > 0).long())


TASKS: Mapping[str, tuple[int, Callable[[CanvasDataset], Tensor]]] = {
    "sum": (19, sums),
    "order": (2, order),
}
"""How many classes each task has, and how canvases get theirs."""


def pixels(data: Path) -> dict[str, Tensor]:
    """Return the canvases of each split, uint8 [N, 1, H, H]."""
    return {split: CanvasDataset(data, split).images for split in SPLITS}


@torch.no_grad()
def codes(run: Path, data: Path, listener: Listener) -> dict[str, Tensor]:
    """Return what one look finds on the canvases of each split, [N, T (1 + 3 + Z)].

    The slots stand in the order of inference, each as 1 and the means of z_where and z_what; those
    beyond the objects found are zeros.
    """
    found = {}
    for split in SPLITS:
        opened, parts = open_run(run, data, "best", {"eval.split": split}, listener), []
        for indices in opened.batches():
            scene = explain(opened.air, opened.images(indices))
            there = torch.arange(scene.what.shape[1]) < scene.count.cpu()[:, None]
            rows = [torch.ones_like(scene.where[..., :1]), scene.where, scene.what]
            parts.append((torch.cat(rows, 2).cpu() * there[:, :, None]).flatten(1))
            listener.progress("reading codes", int(indices[-1]) + 1, len(opened.canvases))
        found[split] = torch.cat(parts)
    return found


def classified(
    inputs: Mapping[str, Tensor], data: Path, task: str, *, labels: int, seed: int, steps: int
) -> dict[str, Any]:
    """Train a classifier on inputs of ``train``, and measure it on those of ``test``.

    Args:
        inputs: codes [N, F] or images [N, 1, H, H] by split.
        data: the data file, which knows the labels.
        task: ``sum`` or ``order``.
        labels: how many to train with, at most.
        seed: of the initial weights, the batches and dropout.
        steps: of the training, at most.
    """
    classes, label = TASKS[task]
    train, val, test = (
        _answered(inputs[split], label(CanvasDataset(data, split))) for split in SPLITS
    )
    train = Examples(train.inputs[:labels], train.classes[:labels])
    with torch.random.fork_rng(devices=[]), threads.restored():
        torch.manual_seed(seed)
        torch.set_num_threads(1)  # more would wait for each other on such small batches
        net = (perceptron if train.inputs.dim() == 2 else convolutional)(
            train.inputs.shape[-1], classes
        )
        fit(net, train, val, steps)
        right = _right(net, test)
    return {
        "labels": len(train.classes),
        "share": float(right.float().mean()),
        "interval": wilson(int(right.sum()), len(right)),
        "commonest": float((test.classes == train.classes.mode().values).float().mean()),
    }


def perceptron(inputs: int, classes: int) -> nn.Sequential:
    """Return two hidden layers on codes."""
    hidden = *_dense(inputs), *_dense(WIDTH)
    return nn.Sequential(*hidden, nn.Linear(WIDTH, classes))


def convolutional(side: int, classes: int) -> nn.Sequential:
    """Return two convolutions with max-pooling and a hidden layer on canvases."""
    first = nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()
    second = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()
    seen = *first, nn.MaxPool2d(2), *second, nn.MaxPool2d(2), nn.Flatten()
    hidden = _dense(32 * ((side + 1) // 8) ** 2)
    return nn.Sequential(*seen, *hidden, nn.Linear(WIDTH, classes))


def _dense(inputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Dropout(DROPOUT)


def fit(net: nn.Module, train: Examples, val: Examples, steps: int) -> None:
    """Train with Adam, and leave the weights that are best on ``val``."""
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    best, kept, since = -1.0, net.state_dict(), 0
    for step, batch in zip(range(1, steps + 1), _batches(len(train.classes)), strict=False):
        loss = cross_entropy(_logits(net, train.inputs[batch]), train.classes[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % EVERY == 0 or step == steps:
            accuracy, since = float(_right(net, val).float().mean()), since + 1
            if accuracy > best:
                best, kept, since = accuracy, deepcopy(net.state_dict()), 0
        if since == PATIENCE:
            break
    net.load_state_dict(kept)


def _batches(count: int) -> Iterator[Tensor]:
    """Yield indices of batches without end, each epoch in an order of its own."""
    while True:
        for batch in torch.split(torch.randperm(count), BATCH):
            if len(batch) == min(BATCH, count):
                yield batch


def _logits(net: nn.Module, inputs: Tensor) -> Tensor:
    """Return logits [N, classes]; convolutions are in bfloat16 where the processor has it."""
    if inputs.dim() == 2:
        return net(inputs)  # type: ignore[no-any-return]
    with torch.autocast("cpu", torch.bfloat16, enabled=best_precision("cpu") == "bfloat16"):
        logits: Tensor = net(to_float(inputs))
    return logits.float()


@torch.no_grad()
def _right(net: nn.Module, examples: Examples) -> Tensor:
    """Return whether each example's class has the greatest logit, bool [N], without dropout."""
    net.eval()
    parts = [_logits(net, part).argmax(1) for part in torch.split(examples.inputs, 1000)]
    net.train()
    return torch.cat(parts) == examples.classes


def _answered(inputs: Tensor, classes: Tensor) -> Examples:
    """Return the examples that have a class."""
    there = classes != NONE
    return Examples(inputs[there], classes[there])
