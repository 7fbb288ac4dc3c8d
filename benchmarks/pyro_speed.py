"""A training step of the preset ``pyro-tutorial`` beside a plain reading of the tutorial.

    python benchmarks/pyro_speed.py [--steps 40] [--rounds 8] [--threads 2]

Both train the same model by the same estimator on the same batches of 64 canvases drawn here:
the plain reading (``plain_air.py``) with ``grid_sample``, the image in the LSTM at every slot,
and one optimiser a parameter, as the tutorial does it; once with Pyro's validation of arguments,
which is its default, and once without, as the preset runs. They take turns, round by round, so that
whatever else the machine does slows both; the ratio is that of their medians. ``exact`` is the
same preset with the exact estimator. ``benchmarks/results/pyro_speed.json`` has what was printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import provenance
import pyro
import torch
from plain_air import PlainAIR, plain_svi
from pyro.infer import SVI
from steps import Step, blobs, timed, trainer
from torch import Tensor

from airkit.data.dataset import to_float

RESULTS = Path(__file__).parent / "results" / "pyro_speed.json"
CANVASES = 2048
WARM_UP = 5


def main() -> None:
    args = parse()
    images, svi = blobs(CANVASES), plain_svi(PlainAIR())
    exact = trainer(images, {"train.estimator": "exact"}, preset="pyro-tutorial")
    rivals: dict[str, Step] = {
        "plain reading": plain(svi, images, validated=True),
        "plain reading, unvalidated": plain(svi, images, validated=False),
        "pyro-tutorial": trainer(images, {}, preset="pyro-tutorial").step,
        "pyro-tutorial, exact": exact.step,
    }
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(args.rounds):
        for name, step in rivals.items():
            times[name] += timed(step, turn * args.steps, args.steps, warm_up=WARM_UP)
    report(args, {name: statistics.median(each) for name, each in times.items()})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args


def plain(svi: SVI, images: Tensor, *, validated: bool) -> Step:
    """A step of the plain reading, on consecutive batches."""
    batches = torch.split(images, 64)

    def step(number: int) -> None:
        with pyro.validation_enabled(validated):
            svi.step(to_float(batches[number % len(batches)]))

    return step


def report(args: argparse.Namespace, medians: dict[str, float]) -> None:
    """Print and write milliseconds a step and how many times faster than the plain reading."""
    slowest = medians["plain reading"]
    for name, each in medians.items():
        print(f"{name:<28} {each:7.1f} ms a step   {slowest / each:5.2f} times as fast")
    content = {
        **provenance.note(
            f"pyro_speed.py --steps {args.steps} --rounds {args.rounds} --threads {args.threads}",
            *("pyro-ppl", "torch"),
            how=f"threads: {args.threads}",
        ),
        "milliseconds": {name: round(each, 2) for name, each in medians.items()},
        "times_faster": {name: round(slowest / each, 2) for name, each in medians.items()},
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
