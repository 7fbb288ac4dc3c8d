"""Which digit it is, read from z_what by a linear probe.

    python benchmarks/paper/probe.py --source FOLDER [--seeds 0 1 2]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``). Objects that models of the
default preset find are matched to the true boxes of ink; a multinomial logistic regression on
z_what names the matched digits of held-out canvases. Beside it the same regression on pixels: of
the window that the model found, on its 50 principal components, and of the true box. Runs that
are in the folder are not trained again. ``benchmarks/results/probe.json`` has every seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from inferred import Found, found, made, matched, parse, save, trained
from torch import Tensor
from torch.nn.functional import cross_entropy

from airkit.data.dataset import to_ink
from airkit.model.spatial_transformer import crop
from airkit.system.statistics import wilson

LEAST = 0.5
"""Least IoU of an inferred box with the true box that it is matched to."""
DECAYS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Weights of the sum of squares that are tried; the val split picks one for each input."""
SPLITS = ("train", "val", "test")


def main() -> None:
    args = parse(__doc__, train=20_000, val=2_000, test=2_000)
    sizes = [f"--{split} {getattr(args, split)}".split() for split in SPLITS]
    data = made(args, "probe", *(word for size in sizes for word in size))
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        seen = {split: found(trained(args, seed), data, split) for split in SPLITS}
        for name, row in measured(seen).items():
            rows.append({"inputs": name, "seed": seed, **row})
            print(name, seed, row, flush=True)
    save(args, "probe", least_iou=LEAST, rows=rows)


@dataclass(frozen=True)
class Digits:
    """The digits of a split that were matched, each with what a probe may read."""

    classes: Tensor
    """int64 [D]."""
    inputs: dict[str, Tensor]
    """float32 [D, F] by name."""
    true: int
    """All true digits, matched or not."""


def measured(seen: dict[str, Found]) -> dict[str, dict[str, Any]]:
    """The row of every input."""
    digits = {split: gathered(each) for split, each in seen.items()}
    windows, codes = (digits["train"].inputs[name] for name in ("window", "z_what"))
    mean, axes = components(windows, codes.shape[1])
    for each in digits.values():
        each.inputs["components"] = (each.inputs["window"] - mean) @ axes
    return {name: probed(digits, name) for name in digits["train"].inputs}


def gathered(seen: Found) -> Digits:
    """The matched digits of a split, with all that is read of them but principal components."""
    canvases = seen.canvases
    slots = matched(canvases.truth("boxes"), seen.box, LEAST)
    canvas, digit = (slots >= 0).nonzero(as_tuple=True)
    slot = slots[canvas, digit]
    images, box = canvases.images[canvas], canvases.truth("boxes")[canvas, digit]
    pose, true = (seen.size[canvas, slot], seen.centre[canvas, slot]), framed(box, images.shape[-1])
    inputs = {
        "z_what": seen.what[canvas, slot],
        "window": windows(images, *pose, seen.window),
        "true box": windows(images, *true, seen.window),
    }
    return Digits(
        canvases.truth("labels")[canvas, digit], inputs, int(canvases.truth("counts").sum())
    )


def framed(box: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Size [D] and centre [D, 2] of the least square windows around boxes [D, 4] in pixels."""
    corner, extent = box[:, :2], box[:, 2:]
    return extent.amax(1) / side, 2 * (corner + extent / 2) / side - 1


def windows(images: Tensor, size: Tensor, centre: Tensor, side: int) -> Tensor:
    """The pixels of a window of each canvas, ink in 0..1, [D, W W]."""
    return crop(to_ink(images), size, centre, side).flatten(1)


def components(inputs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean [F] of inputs [D, F], and their first principal axes as columns, [F, count]."""
    mean = inputs.mean(0)
    axes = torch.linalg.eigh((inputs - mean).T @ (inputs - mean)).eigenvectors
    return mean, axes[:, -count:]


def probed(digits: dict[str, Digits], name: str) -> dict[str, Any]:
    """Fit a probe with every weight of the penalty, and measure the one that val likes best."""
    train, test = digits["train"], digits["test"]
    tried = [(probe(train.inputs[name], train.classes, decay), decay) for decay in DECAYS]
    best, decay = max(tried, key=lambda one: hits(one[0], digits["val"], name).sum())
    right = hits(best, test, name)
    total, mode = len(right), train.classes.mode().values
    return {
        "features": train.inputs[name].shape[1],
        "digits": total,
        "coverage": total / test.true,
        "coverage_interval": wilson(total, test.true),
        "accuracy": float(right.float().mean()),
        "accuracy_interval": wilson(int(right.sum()), total),
        "right_of_all": int(right.sum()) / test.true,
        "commonest": float((test.classes == mode).float().mean()),
        "trained_on": len(train.classes),
        "decay": decay,
    }


def probe(inputs: Tensor, classes: Tensor, decay: float) -> Tensor:
    """Multinomial logistic regression: weights of inputs and of 1 (last row), [F + 1, 10].

    L-BFGS on the mean negative log-likelihood plus ``decay`` times the sum of squared weights.
    """
    rows, weights = lengthened(inputs), torch.zeros(inputs.shape[1] + 1, 10, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = cross_entropy(rows @ weights, classes) + decay * weights[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


def hits(weights: Tensor, digits: Digits, name: str) -> Tensor:
    """Whether a probe is right about each digit, bool [D]."""
    return (lengthened(digits.inputs[name]) @ weights).argmax(1) == digits.classes


def lengthened(inputs: Tensor) -> Tensor:
    """Inputs [D, F] with a column of ones."""
    return torch.cat([inputs, torch.ones(len(inputs), 1)], 1)


if __name__ == "__main__":
    main()
