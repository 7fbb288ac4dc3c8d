"""Larger and smaller batches for the same number of canvases seen, and at what learning rate.

    python benchmarks/batches.py --data FILE [--seeds 0] [--folder runs/batches]

FILE is made by ``airkit make-data``. Every model of the default preset sees 128,000 canvases; the
prior's annealing takes the same share of the steps. Runs that are in the folder already are not
trained again, only measured. A run whose loss is no longer finite counts as failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from accuracy import airkit_command
from provenance import note

RESULTS = Path(__file__).parent / "results" / "batches.json"
CANVASES = 128_000
BASE, RATE = 64, 2e-3
"""The default preset's batch and learning rate."""
RUNS = ((16, 1e-3), (64, 2e-3), (256, 2e-3), (256, 4e-3), (256, 8e-3), (1024, 4e-3), (1024, 8e-3))
"""Batches and rates: with the root of the batch, and for some with another power of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/batches"))
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{'batch':>6} {'steps':>6} {'rate':>7} {'seed':>4} {'one look':>9} {'ELBO':>7}")
    for batch, rate in RUNS:
        for seed in args.seeds:
            rows.append(measure(args, batch, rate, seed))
            report = {**note("batches.py --data FILE", "torch"), "rows": rows}
            RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measure(args: argparse.Namespace, batch: int, rate: float, seed: int) -> dict[str, Any]:
    """Train a model, and count with one look at each test canvas."""
    steps, run = CANVASES // batch, args.folder / f"{batch}-{rate:g}-{seed}"
    keys = {
        "train.batch_size": batch,
        "train.steps": steps,
        "train.learning_rate": rate,
        "train.seed": seed,
        "prior.anneal_duration": steps // 5,
    }
    given = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    found = {
        "batch": batch,
        "steps": steps,
        "learning_rate": rate,
        "root": rate == RATE * (batch / BASE) ** 0.5,
        "seed": seed,
    }
    print(f"{batch:>6} {steps:>6} {rate:>7g} {seed:>4}", end=" ", flush=True)
    try:
        airkit_command("train", "--data", str(args.data), "--run", str(run), *given)
    except subprocess.CalledProcessError:  # which has told why: the loss is no longer finite
        print("failed", flush=True)
        return found
    few = ("--set", "eval.looks=1", "--set", "eval.likelihood_samples=1")
    measures = json.loads(airkit_command("eval", "--run", str(run), "--json", *few))
    kept = {key: measures[key] for key in ("count_accuracy_one_look", "elbo", "canvases")}
    print(f"{kept['count_accuracy_one_look']:>9.2%} {kept['elbo']:>7.1f}", flush=True)
    return found | kept


if __name__ == "__main__":
    main()
