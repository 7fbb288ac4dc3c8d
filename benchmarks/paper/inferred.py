"""What trained models find on canvases, for the benchmarks of the paper's other experiments.

Legend: N canvases, M most true boxes on one, T slots, Z length of z_what.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import runs
import torch
from torch import Tensor

from airkit.data.dataset import CanvasDataset
from airkit.evaluation.detection import pairwise_iou
from airkit.model.scene import explain
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT


@dataclass(frozen=True)
class Found:
    """What one look finds on every canvas of a split, and what there is in truth."""

    canvases: CanvasDataset
    count: Tensor
    """Objects found, int64 [N]."""
    where: Tensor
    """Mean of z_where in every slot, [N, T, 3]."""
    what: Tensor
    """Mean of z_what in every slot, [N, T, Z]."""
    box: Tensor
    """Boxes of ink (x, y, width, height) in pixels, [N, T, 4]; -1 from slot ``count`` on."""
    size: Tensor
    """Side of every slot's window as a fraction of the canvas's, [N, T]."""
    centre: Tensor
    """Centre (x, y) of every slot's window on [-1, 1], [N, T, 2]."""
    window: int
    """Side of a window, in its own pixels."""

    def slots(self) -> Tensor:
        """One row a slot in the order of inference, [N, T, 1 + 3 + Z].

        A row is 1, z_where, z_what; all zeros from slot ``count`` on.
        """
        there = torch.arange(self.what.shape[1]) < self.count[:, None]
        rows = torch.cat([torch.ones_like(self.where[..., :1]), self.where, self.what], 2)
        return rows * there[:, :, None]


def parse(doc: str | None, **more: Any) -> argparse.Namespace:
    """The arguments that these benchmarks share; ``more`` are integers with defaults."""
    parser = runs.parser(doc)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--results", type=Path, default=runs.RESULTS)
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    return args


def made(args: argparse.Namespace, name: str, *options: str) -> Path:
    """A data file after the preset, made unless it is there."""
    return runs.made(args, name, "--preset", args.preset, *options)


def trained(args: argparse.Namespace, seed: int) -> Path:
    """The run of a seed with the preset."""
    options = ("--preset", args.preset, "--test", "1000")
    return runs.trained(args, args.preset, seed, *options)


@cache
@torch.no_grad()
def found(run: Path, data: Path, split: str) -> Found:
    """Look once at each canvas of a split."""
    opened = open_run(run, data, "best", {"eval.split": split}, SILENT)
    parts: dict[str, list[Tensor]] = {}
    for indices in opened.batches():
        scene = explain(opened.air, opened.images(indices))
        for name in ("count", "where", "what", "box"):
            parts.setdefault(name, []).append(getattr(scene, name).cpu())
    every = {name: torch.cat(values) for name, values in parts.items()}
    size, centre = opened.air.cpu().pose.decode(every["where"].flatten(0, 1))
    return Found(
        opened.canvases,
        **every,
        size=size.view(every["where"].shape[:2]),
        centre=centre.view(*every["where"].shape[:2], 2),
        window=opened.config.window_size,
    )


def matched(truth: Tensor, inferred: Tensor, least: float) -> Tensor:
    """The slot whose box is matched to each true box, or -1, int64 [N, M].

    The pair of greatest IoU on a canvas is matched first, then the next among what is left.

    Args:
        truth: boxes [N, M, 4]; -1 pads.
        inferred: boxes [N, T, 4]; -1 pads.
        least: least IoU of a match.
    """
    iou = pairwise_iou(truth.numpy(), inferred.numpy())
    slots, canvases = np.full(iou.shape[:2], -1), np.arange(len(iou))
    for _ in range(min(iou.shape[1:])):
        best = iou.reshape(len(iou), -1).argmax(1)
        row, column = best // iou.shape[2], best % iou.shape[2]
        good = iou[canvases, row, column] >= least
        slots[canvases[good], row[good]] = column[good]
        iou[canvases, row] = -1
        iou[canvases, :, column] = -1
    return torch.from_numpy(slots)


def save(args: argparse.Namespace, name: str, **content: Any) -> None:
    """Keep what was measured, with what it was measured on."""
    path = args.results / f"{name}.json"
    command = f"--seeds {runs.spelled(args.seeds)}"
    runs.save(path, args, command, "one thread", preset=args.preset, **content)
