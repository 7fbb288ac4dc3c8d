"""How well a network counts that was given the counts: the row above airkit's.

    python benchmarks/supervised.py --data FILE [--sweep FOLDER] [--nets small large]
        [--epochs 10] [--seed 0] [--out FILE]

Each net is trained on the true counts of the train split of FILE, which airkit is not given, and
measured on its test split beside the runs of an ``airkit sweep`` on the same file. ``small`` has
four convolutions; ``large`` has seven, 2.0 million weights, and its answers are averaged over two
flips. Both: AdamW, batches of 128, one cycle of the learning rate, flips and transposes as
augmentation, bfloat16.

Shapes: N canvases, C channels, side S.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import provenance
import torch
from accuracy import airkit_command
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from airkit.data.dataset import CanvasDataset

RATES = {"small": 2e-3, "large": 3e-3}
"""The greatest learning rate of each net."""
BATCH = 128
RESULTS = Path(__file__).parent / "results" / "supervised.json"


def main() -> None:
    args = parse()
    train, test = (CanvasDataset(args.data, split) for split in ("train", "test"))
    rows: list[dict[str, Any]] = []
    print(f"{'way':<24} {'seconds':>8} {'counted right, one pass':>24} {'all passes':>11}")
    for name in args.nets:
        rows.append(supervised(name, train, test, args.epochs, args.seed))
        save(args, rows)
    for run in sorted(args.sweep.glob("seed-*")) if args.sweep else []:
        rows.append(unsupervised(run))
        save(args, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sweep", type=Path)
    parser.add_argument("--nets", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def supervised(
    name: str, train: CanvasDataset, test: CanvasDataset, epochs: int, seed: int
) -> dict[str, Any]:
    """Train one net on true counts and measure it."""
    torch.manual_seed(seed)
    began = time.perf_counter()
    net = network(name, train)
    fit(net, train, RATES[name], epochs)
    row = {"way": f"supervised, {name}", "seed": seed, "epochs": epochs}
    row |= {"weights": sum(each.numel() for each in net.parameters())}
    row |= {"train_seconds": round(time.perf_counter() - began, 1)}
    flips: tuple[tuple[int, ...], ...] = ((), (3,))
    shares = [right(net, test, tried) for tried in (flips[:1], flips)]
    row |= {"count_accuracy_one_look": shares[0], "count_accuracy": shares[name == "large"]}
    return told(row)


def network(name: str, data: CanvasDataset) -> nn.Sequential:
    """Canvases [N, C, S, S] -> logits of the counts, [N, most + 1]."""
    channels, side = data.images.shape[1:3]
    widths: list[tuple[int, ...]] = [(16,), (32,), (64,), (64,)]
    hidden = 64
    if name == "large":
        widths, hidden = [(32, 32), (64, 64), (128, 128, 128)], 320
    layers: list[nn.Module] = []
    for block in widths:
        for width in block:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
        side //= 2
    most = int(data.truth("counts").max())
    layers += [nn.Flatten(), nn.Linear(channels * side**2, hidden), nn.ReLU()]
    layers.append(nn.Linear(hidden, most + 1))
    net = nn.Sequential(*layers)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def fit(net: nn.Sequential, data: CanvasDataset, rate: float, epochs: int) -> None:
    """Minimise the cross-entropy of the true counts."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * (len(data) // BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for images, counts in batches(data, epochs):
        optimiser.zero_grad()
        torch.autograd.backward(cross_entropy(logits(net, augmented(images)), counts))
        optimiser.step()
        cycle.step()


def batches(data: CanvasDataset, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole batches in a new order each epoch: ink in 0..1, [B, C, S, S], and counts, [B]."""
    counts = data.truth("counts")
    for _ in range(epochs):
        order = torch.randperm(len(data))[: len(data) // BATCH * BATCH]
        for rows in torch.split(order, BATCH):
            yield data.images[rows] / 255, counts[rows]


def augmented(images: Tensor) -> Tensor:
    """Half of the batches flipped along each axis, and half transposed."""
    for axes in ((2,), (3,)):
        if torch.rand(()) < 0.5:
            images = images.flip(axes)
    return images.transpose(2, 3) if torch.rand(()) < 0.5 else images


def logits(net: nn.Sequential, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        found: Tensor = net(images.contiguous(memory_format=torch.channels_last))
    return found.float()


@torch.no_grad()
def right(net: nn.Sequential, data: CanvasDataset, flips: tuple[tuple[int, ...], ...]) -> float:
    """Share of canvases counted right by the mean of the probabilities over flips."""
    net.eval()
    votes = []
    for images in torch.split(data.images, 500):
        tried = [logits(net, (images / 255).flip(axes)).softmax(1) for axes in flips]
        votes.append(torch.stack(tried).mean(0).argmax(1))
    share = (torch.cat(votes) == data.truth("counts")).double().mean()
    return round(share.item(), 6)


def unsupervised(run: Path) -> dict[str, Any]:
    """Measure an airkit run with one look and with all."""
    found = json.loads(airkit_command("eval", "--run", str(run), "--json"))
    names = ("count_accuracy_one_look", "count_accuracy", "looks")
    return told({"way": f"airkit, {run.name}", **{name: found[name] for name in names}})


def told(row: dict[str, Any]) -> dict[str, Any]:
    shares = [100 * row["count_accuracy_one_look"], 100 * row["count_accuracy"]]
    seconds = row.get("train_seconds", float("nan"))
    print(f"{row['way']:<24} {seconds:>8.0f} {shares[0]:>24.2f} {shares[1]:>11.2f}", flush=True)
    return row


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keep the rows, with what they were measured on."""
    command = f"supervised.py --nets {' '.join(args.nets)} --epochs {args.epochs}"
    provenance.keep(args.out, rows, command, "torch")


if __name__ == "__main__":
    main()
