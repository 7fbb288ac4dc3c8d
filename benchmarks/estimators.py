"""Count accuracy along training for every guide with every estimator, all seeds.

    python benchmarks/estimators.py --source FOLDER [--seeds 0 1 2] [--long-seeds 0 1] [--jobs 2]

``pyro-tutorial`` is that preset, as long as ``nvil``: the tutorial trains 200,000 steps.
Every training is an ``airkit train`` in a process of its own, on one thread, ``--jobs`` at a time.
``exact`` runs as its presets do; ``nvil`` as long as some twenty minutes a seed allow. The picture
and ``benchmarks/results/estimators.json`` have the accuracy of one look on the val split, whose
digits no training sees, against steps and against seconds, for every seed; the table has that on
the 10,000 canvases of the test split in the end. Called again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

import figures
import provenance

from airkit.runs.folder import RunFolder

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "estimators.json"
PICTURE = HERE.parent / "docs" / "images" / "estimators.png"
SETTINGS: dict[str, tuple[str, ...]] = {
    "saliency + exact": ("--preset", "default"),
    "lstm + exact": ("--preset", "lstm"),
    "saliency + nvil": ("--preset", "default", "--set", "train.estimator=nvil"),
    "lstm + nvil": ("--preset", "lstm", "--set", "train.estimator=nvil"),
    "pyro-tutorial": ("--preset", "pyro-tutorial"),
}
LONG = tuple(SETTINGS)[2:]
RATE = ("--set", "train.learning_rate=1e-3")
OFTEN = ("--set", "train.val_every=250", "--set", "train.log_every=50")


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    data = args.folder / "data.h5"
    if not data.exists():
        airkit_command("make-data", "--source", args.source, "--out", str(data))
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = [
            pool.submit(measure, args, name, seed, data)
            for name in SETTINGS
            for seed in (args.long_seeds if name in LONG else args.seeds)
        ]
        for job in as_completed(jobs):
            rows.append(job.result())
            save(args, rows)


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write what there is so far, and draw it."""
    rows.sort(key=lambda row: (list(SETTINGS).index(row["name"]), row["seed"]))
    content = {
        **provenance.note(
            f"estimators.py --source FOLDER --long-steps {args.long_steps} "
            f"--seeds {' '.join(map(str, args.seeds))} "
            f"--long-seeds {' '.join(map(str, args.long_seeds))} --jobs {args.jobs}",
            "torch",
            how=f"one thread a training, {args.jobs} at a time",
        ),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(content) + "\n", encoding="utf-8")
    draw(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--long-seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--long-steps", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/estimators"))
    return parser.parse_args()


def airkit_command(*arguments: str) -> str:
    """Run the command line on one thread; returns what it printed."""
    command = [sys.executable, "-m", "airkit", *arguments]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=one
    ).stdout


def measure(args: argparse.Namespace, name: str, seed: int, data: Path) -> dict[str, Any]:
    """Train and measure one; what it learned when, and its accuracy in the end."""
    run = args.folder / f"{name.replace(' + ', '-')}-{seed}"
    given = [*SETTINGS[name], *OFTEN, "--seed", str(seed), "--data", str(data), "--run", str(run)]
    if name in LONG:
        given += ["--steps", str(args.long_steps)]
    if name.endswith("nvil"):
        given += RATE
    airkit_command("train", *given)
    only = ("--set", "eval.looks=1", "--checkpoint", "last", "--json")
    measures = json.loads(airkit_command("eval", "--run", str(run), *only))
    row = {"name": name, "seed": seed, "curve": curve(run)}
    for key in ("count_accuracy_one_look", "elbo", "log_likelihood_bound", "mean_iou"):
        row[key] = measures[key]
    step, seconds, _ = curve(run)[-1]
    print(
        f"{name:<18} seed {seed}  {step:>6} steps  {seconds:>6.0f} s  "
        f"{row['count_accuracy_one_look']:.2%} of test  ELBO {row['elbo']:.1f}",
        flush=True,
    )
    return row


def curve(run: Path) -> list[tuple[int, float, float]]:
    """Step, seconds and accuracy at every validation."""
    rows = RunFolder(run).rows()
    seconds = {row["step"]: row["seconds"] for row in rows if "seconds" in row}
    found = [row for row in rows if "val_count_accuracy" in row]
    return [(row["step"], seconds[row["step"]], row["val_count_accuracy"]) for row in found]


def draw(rows: list[dict[str, Any]]) -> None:
    """Miscounts against steps, and against seconds; one line a training."""
    figure, axes = figures.chart("Miscounts on held-out digits, one look, every seed", 2)
    for name, colour in zip(SETTINGS, figures.COLOURS, strict=True):
        mine = [row for row in rows if row["name"] == name]
        for row, (panel, each) in product(mine, enumerate(axes)):
            each.plot(
                [point[panel] for point in row["curve"]],
                [max(0.05, 100 * (1 - point[2])) for point in row["curve"]],
                color=colour,
                linewidth=1.3,
                label=name if row is mine[0] else None,
            )
    for each, words in zip(axes, ("steps", "seconds on one thread"), strict=True):
        figures.log_axis(each.xaxis, (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000))
        figures.label(each, f"{words} (log scale)")
    figures.log_axis(axes[0].yaxis, (0.5, 1, 2, 5, 10, 20, 50, 100))
    axes[0].set_ylabel("counted wrong, % (log scale)")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels))
    figures.save(figure, PICTURE)


if __name__ == "__main__":
    main()
