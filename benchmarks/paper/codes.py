"""What the codes are good for: the sum and the order of two digits, from few labels.

    python benchmarks/paper/codes.py --source FOLDER [--seeds 0 1 2]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``). On canvases of exactly two
digits a small perceptron reads z_where and z_what of models of the default preset, which were
trained without labels, and a convolutional net reads pixels; both from the same labels. Runs in
the folder are not trained again, and what is in its ``codes-rows.json`` is not measured again.
``benchmarks/results/codes.json`` has every seed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from classifier import Convolutional, Examples, Perceptron, fit, right
from inferred import Found, found, made, parse, save, trained
from torch import Tensor, nn

from airkit.data.dataset import CanvasDataset
from airkit.system.statistics import wilson

SPLITS = ("train", "val", "test")
LABELS = (1_000, 10_000, 0)
"""Training canvases with labels; 0 is all."""
RATES = (1e-3, 3e-3, 1e-2)
"""Adam's learning rates that are tried for either kind of input."""
TRIAL = "sum", 10_000, 0
"""What they are tried on: task, labels and seed, for a quarter of the steps."""
NONE = -1
Read = Callable[[argparse.Namespace, Path, int], dict[str, Tensor]]
"""The inputs of all splits from a data file, for a seed."""


def main() -> None:
    args = parse(__doc__, train=60_000, val=2_000, test=5_000, limit=15_000)
    sizes = [f"--{split} {getattr(args, split)}".split() for split in SPLITS]
    two = ("--min-digits", "2", "--max-digits", "2")
    data = made(args, "pairs", *two, *(word for size in sizes for word in size))
    bench = Bench(args, data)
    for read in (codes, pixels):
        bench.measure(read)
    save(args, "codes", counted=counts(args, data), tried=bench.tried, rows=bench.rows)


def sums(canvases: CanvasDataset) -> Tensor:
    """The sum of a canvas's two digits, 0 to 18, int64 [N]."""
    return canvases.truth("labels").sum(1)


def order(canvases: CanvasDataset) -> Tensor:
    """Whether the left digit is the smaller one, 1 or 0, int64 [N].

    Left is the box of ink whose centre is further left. Where the digits are equal, or neither
    box is further left, there is no order, and -1 stands there.
    """
    middle = canvases.truth("boxes")[:, :, 0] + canvases.truth("boxes")[:, :, 2] / 2
    step = (middle[:, 1] - middle[:, 0]).sign() * (
        canvases.truth("labels")[:, 1] - canvases.truth("labels")[:, 0]
    )
    return torch.where(step == 0, NONE, (step > 0).long())


TASKS: dict[str, tuple[int, Callable[[CanvasDataset], Tensor]]] = {
    "sum": (19, sums),
    "order": (2, order),
}
"""How many classes each task has, and how a canvas gets its own."""


def pixels(args: argparse.Namespace, data: Path, seed: int) -> dict[str, Tensor]:  # noqa: ARG001
    """The canvases themselves, split by split, uint8 [N, H, H]."""
    return {split: CanvasDataset(data, split).images for split in SPLITS}


def codes(args: argparse.Namespace, data: Path, seed: int) -> dict[str, Tensor]:
    """All slots of a seed's model side by side, split by split, [N, T (1 + 3 + Z)].

    The slots stand in the order of inference. Those beyond the objects found are zeros, so that
    a canvas on which other than two are found keeps its place.
    """
    run = trained(args, seed)
    return {split: flat(found(run, data, split)) for split in SPLITS}


def flat(seen: Found) -> Tensor:
    """The slots of each canvas in one row, [N, T (1 + 3 + Z)]."""
    return seen.slots().flatten(1)


def counts(args: argparse.Namespace, data: Path) -> list[dict[str, Any]]:
    """On what share of the test canvases each seed's model finds two objects."""
    seen = [found(trained(args, seed), data, "test").count for seed in args.seeds]
    shares = [float((count == 2).float().mean()) for count in seen]
    return [{"seed": seed, "two": share} for seed, share in zip(args.seeds, shares, strict=True)]


def network(inputs: Tensor, classes: int, seed: int) -> nn.Module:
    """The classifier of codes [N, F] or of images [N, 1, H, H]."""
    torch.manual_seed(seed)
    kind = Perceptron if inputs.dim() == 2 else Convolutional
    return kind(inputs.shape[-1], classes)


class Bench:
    """Trains classifiers and keeps a row of each, so that a stopped benchmark can go on."""

    def __init__(self, args: argparse.Namespace, data: Path) -> None:
        self.args, self.data = args, data
        self.file = args.folder / "codes-rows.json"
        known = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        self.tried: dict[str, dict[str, float]] = known.get("tried", {})
        self.rows: list[dict[str, Any]] = known.get("rows", [])
        self.canvases = {split: CanvasDataset(data, split) for split in SPLITS}

    def measure(self, read: Read) -> None:
        """All numbers of labels, seeds and tasks for one kind of input."""
        cached = cache(lambda seed: read(self.args, self.data, seed))
        rate = self.tuned(read.__name__, cached)
        for seed, labels, task in product(self.args.seeds, LABELS, TASKS):
            key = {"inputs": read.__name__, "seed": seed, "task": task, "labels": labels}
            if not any(key.items() <= row.items() for row in self.rows):
                self.keep({**key, **self.trained(cached(seed), rate, **key)})

    def tuned(self, inputs: str, read: Callable[[int], dict[str, Tensor]]) -> float:
        """The learning rate of the best validation accuracy, tried unless that was done."""
        task, labels, seed = TRIAL
        if inputs not in self.tried:
            train, val, _ = self.examples(read(seed), task, labels)
            for rate in RATES:
                net = network(train.inputs, TASKS[task][0], seed)
                went = fit(net, train, val, rate=rate, seed=seed, limit=self.args.limit // 4)
                self.tried.setdefault(inputs, {})[f"{rate:g}"] = went.accuracy
            self.write()
            print(inputs, self.tried[inputs], flush=True)
        return float(max(self.tried[inputs], key=lambda rate: self.tried[inputs][rate]))

    def trained(
        self, given: dict[str, Tensor], rate: float, *, task: str, labels: int, seed: int, **_: Any
    ) -> dict[str, Any]:
        """Train one classifier, and measure it on the test canvases."""
        began = time.perf_counter()
        train, val, test = self.examples(given, task, labels)
        net = network(train.inputs, TASKS[task][0], seed)
        went = fit(net, train, val, rate=rate, seed=seed, limit=self.args.limit)
        hits = right(net, test)
        return {
            "canvases": len(train.classes),
            "rate": rate,
            "accuracy": float(hits.float().mean()),
            "accuracy_interval": wilson(int(hits.sum()), len(hits)),
            "tested": len(hits),
            "commonest": commonest(train, test),
            "validation": asdict(went),
            "seconds": round(time.perf_counter() - began, 1),
        }

    def examples(self, given: dict[str, Tensor], task: str, labels: int) -> list[Examples]:
        """Training examples with so many labels, validation and test examples."""
        _, label = TASKS[task]
        every = [answered(given[name], label(self.canvases[name])) for name in SPLITS]
        return [every[0].first(labels or len(every[0].classes)), *every[1:]]

    def keep(self, row: dict[str, Any]) -> None:
        """Print a row, and write all of them."""
        told = (str(row[name]) for name in ("inputs", "seed", "task", "canvases", "seconds"))
        print(*told, f"{row['accuracy']:.4f}", row["validation"], flush=True)
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Keep what there is so far."""
        content = {"tried": self.tried, "rows": self.rows}
        self.file.write_text(json.dumps(content) + "\n", encoding="utf-8")


def answered(inputs: Tensor, classes: Tensor) -> Examples:
    """The examples that have a class."""
    there = classes != NONE
    return Examples(inputs[there], classes[there])


def commonest(train: Examples, test: Examples) -> float:
    """Share of test examples of the class that is commonest in training: knowing nothing more."""
    return float((test.classes == train.classes.mode().values).float().mean())


if __name__ == "__main__":
    main()
