"""Count accuracy on held-out digits, of trainings on a GPU; ``success.py`` has those on a CPU.

    python benchmarks/accuracy.py --source FOLDER [--presets default ...] [--seeds 0 1 2 3 4]
        [--device cuda] [--out FILE]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``). For each preset one data
file is made and one model trained a seed, in a process of its own as a user would start it;
the table and ``benchmarks/results/accuracy_gpu.json`` have all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import provenance
import torch

COLUMNS = (
    "count_accuracy_one_look",
    "count_accuracy",
    "mean_iou",
    "ap50",
    "elbo",
    "log_likelihood_bound",
)
TEST = {"default": "10000"}
"""Test canvases; the costlier presets have 4,000."""
RESULTS = Path(__file__).parent / "results" / "accuracy_gpu.json"


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    print(f"{'preset':<14} {'seed':>4} {'train s':>8} {'eval s':>7} ", *(c[-15:] for c in COLUMNS))
    for preset in args.presets:
        data = args.folder / f"{preset}.h5"
        make(data, "--preset", preset, "--source", args.source, "--test", TEST.get(preset, "4000"))
        for seed in args.seeds:
            run = args.folder / f"{preset}-{seed}"
            rows.append(measure(preset, seed, data, run, args.device))
            save(args, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--presets", nargs="+", default=["default"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def airkit_command(*arguments: str) -> str:
    """Run the command line; returns what it printed."""
    command = [sys.executable, "-m", "airkit", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make(data: Path, *arguments: str) -> None:
    airkit_command("make-data", "--out", str(data), "--force", *arguments)


def measure(preset: str, seed: int, data: Path, run: Path, device: str) -> dict[str, Any]:
    """Train from nothing, timing the whole process, and evaluate."""
    began = time.perf_counter()
    where = ("--data", str(data), "--run", str(run), "--device", device)
    airkit_command("train", *where, "--seed", str(seed), "--fresh")
    seconds = time.perf_counter() - began
    return evaluate(preset, seed, run, "--device", device, train_seconds=seconds)


def evaluate(
    preset: str, seed: int, run: Path, *arguments: str, train_seconds: float = 0.0
) -> dict[str, Any]:
    """Measure a run and print its line of the table."""
    began = time.perf_counter()
    measures = json.loads(airkit_command("eval", "--run", str(run), "--json", *arguments))
    seconds = time.perf_counter() - began
    cells = [f"{measures[column]:>15.4f}" for column in COLUMNS]
    print(f"{preset:<14} {seed:>4} {train_seconds:>8.1f} {seconds:>7.1f} ", *cells, flush=True)
    kept = {name: measures[name] for name in (*COLUMNS, "canvases", "looks", "per_count_accuracy")}
    return {
        "preset": preset,
        "seed": seed,
        "train_seconds": round(train_seconds, 1),
        "eval_seconds": round(seconds, 1),
        **kept,
    }


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keep the rows, with what they were measured on."""
    report = {
        **provenance.note(
            f"accuracy.py --presets {' '.join(args.presets)} "
            f"--seeds {' '.join(map(str, args.seeds))}"
            f" --device {args.device}",
            "torch",
            how=f"threads: {torch.get_num_threads()}",
            device=args.device,
        ),
        "digits": Path(args.source).name,
        "rows": rows,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
