"""What the benchmarks of counts never trained on share: models, canvases, counts that are right."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import runs
import torch

from airkit.errors import DataFileError
from airkit.evaluation.evaluate import Evaluation
from airkit.runs.trained import open_run
from airkit.system import files
from airkit.system.callbacks import SILENT


@dataclass(frozen=True)
class Model:
    """A preset trained on canvases that lack some counts, once a seed."""

    name: str
    """What its data file and its runs are called."""
    preset: str
    """The preset that it follows in all but its canvases."""
    counts: tuple[int, ...] = (0, 1, 2)
    """The numbers of digits on its canvases, all as frequent."""
    canvas: int = 50
    """Side of its canvases, in pixels."""

    def options(self) -> tuple[str, ...]:
        """Options of the command that makes its data file."""
        most = max(self.counts)
        weights = [int(n in self.counts) for n in range(most + 1)]
        even = ("--set", f"data.count_weights={weights}")
        sizes = ("--canvas-size", str(self.canvas), "--max-digits", str(most))
        lacking = () if all(weights) else even
        return ("--preset", self.preset, *sizes, *lacking, "--test", "1000")


@dataclass(frozen=True)
class Canvases:
    """Held-out canvases to count on, as many of each count from 0 on in the mean."""

    side: int
    """In pixels."""
    most: int
    """Most digits on one."""
    number: int
    """How many there are."""

    def options(self) -> tuple[str, ...]:
        """Options of the command that makes them, and none to train on."""
        sizes = ("--canvas-size", str(self.side), "--max-digits", str(self.most))
        return (*sizes, "--train", "0", "--val", "0", "--test", str(self.number))


def arguments(says: str | None) -> argparse.Namespace:
    """What the command line asks for; ``says`` is the docstring of the script."""
    parser = runs.parser(says)
    parser.add_argument("--lstm-seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args()


def measure(
    name: str, args: argparse.Namespace, models: Iterable[Model], tests: Iterable[Canvases]
) -> None:
    """Train every model with every seed, count every test's canvases, and save row by row."""
    rows: list[dict[str, Any]] = []
    args.folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        for seed in args.lstm_seeds if model.preset == "lstm" else args.seeds:
            run = runs.trained(args, model.name, seed, *model.options())
            for test in tests:
                data = runs.made(args, f"test-{test.side}-{test.most}", *test.options())
                rows.append({**described(model), "seed": seed, "canvas": test.side})
                rows[-1] |= counted_once(run, data)
                print(json.dumps(rows[-1]), flush=True)
                save(name, args, rows)


def described(model: Model) -> dict[str, Any]:
    """What a row says of its model."""
    return {
        "preset": model.preset,
        "trained_on": {"canvas": model.canvas, "counts": list(model.counts)},
    }


def counted_once(run: Path, data: Path) -> dict[str, Any]:
    """What ``counted`` finds, kept in the run's folder so that a stopped benchmark goes on."""
    kept = run / f"{data.stem}.json"
    if not kept.exists():
        files.write_text(kept, json.dumps(counted(run, data)))
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def counted(run: Path, data: Path) -> dict[str, Any]:
    """How many canvases of each true count are counted right, or why none can be.

    ``airkit eval`` has the same shares; both ways of counting are gathered in one pass here.
    """
    try:
        opened = open_run(run, data, "best", {"eval.likelihood_samples": 1}, SILENT)
    except DataFileError as error:
        return {"refused": error.what}
    truth, best, one = Evaluation(opened).all(SILENT).counts.table
    return {
        "slots": opened.air.slots,
        "looks": opened.looks,
        "counts": [
            {
                "digits": int(n),
                "canvases": int((truth == n).sum()),
                "right_one_look": int((one[truth == n] == n).sum()),
                "right": int((best[truth == n] == n).sum()),
            }
            for n in np.unique(truth)
        ],
    }


def save(name: str, args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keep the rows, with what they were measured on."""
    command = f"--seeds {runs.spelled(args.seeds)} --lstm-seeds {runs.spelled(args.lstm_seeds)}"
    how = f"threads: {torch.get_num_threads()}"
    runs.save(runs.RESULTS / f"{name}.json", args, command, how, rows=rows)
