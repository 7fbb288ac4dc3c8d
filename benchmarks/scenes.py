"""Scenes beyond digits: counting without a label, beside the classical way with labels.

    python benchmarks/scenes.py [--scenes cells ...] [--seeds 0 1 2] [--steps 3000] [--out FILE]

What FILE has already is not measured again.

For each scene one data file is made (3,000 training pictures, 1,000 test) and one model trained a
seed with every setting on ``auto``, each command in a process of its own as a user would start it.
``classical.py`` counts the same test pictures, tuned on labelled validation pictures. The table and
``benchmarks/results/scenes.json`` have all of it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import classical
import provenance
from accuracy import airkit_command, make

from airkit.data.reader import read_split

SCENES: dict[str, tuple[str, ...]] = {
    "white sprites": ("--preset", "sprites"),
    "grey sprites": ("--preset", "grey-sprites"),
    "colour sprites": ("--preset", "colour-sprites"),
    "sprites on gradients": ("--preset", "gradient-sprites"),
    "grey on grey": (
        "--preset", "grey-sprites", "--set", "scenes.grey=[0.0, 1.0]",
        "--set", "scenes.background_grey=[0.0, 1.0]",
    ),
    "sprites under a lamp": (
        "--preset", "grey-sprites", "--set", "scenes.grey=[0.0, 0.2]", "--set",
        "scenes.background=lamp", "--set", "scenes.background_grey=[0.4, 0.9]", "--set",
        "scenes.noise=0.02",
    ),
    "cells": ("--preset", "cells"),
}  # fmt: skip
SIZES = ("--train", "3000", "--val", "500", "--test", "1000")
RESULTS = Path(__file__).parent / "results" / "scenes.json"


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = earlier(args.out, args.steps)
    print(f"{'scene':<22} {'seed':>4} {'train s':>8} {'one look':>9} {'16 looks':>9} {'fg ARI':>7}")
    for scene in args.scenes:
        data = args.folder / f"{scene.replace(' ', '-')}.h5"
        make(data, *SCENES[scene], *SIZES)
        if not done(rows, scene, "classical"):
            share, recipe = by_hand(data)
            rows.append({"scene": scene, "way": "classical", "count_accuracy": share})
            rows[-1] |= {"recipe": vars(recipe)}
        share = done(rows, scene, "classical")[0]["count_accuracy"]
        print(f"{scene:<22} {'':>4} {'':>8} {100 * share:>9.1f} {'':>9} {'':>7} classical")
        for seed in args.seeds:
            if not done(rows, scene, "airkit", seed):
                row = {"scene": scene, "way": "airkit", "seed": seed, "steps": args.steps}
                row |= measure(data, args.folder / f"{data.stem}-{seed}", seed, args.steps)
                rows.append(row)
                save(args, rows)
            print(f"{scene:<22} {seed:>4} {told(done(rows, scene, 'airkit', seed)[0])}", flush=True)


def earlier(out: Path, steps: int) -> list[dict[str, Any]]:
    """Rows of an earlier call of as many steps, which is gone on with."""
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    return [row for row in rows if row.get("steps", steps) == steps]


def done(
    rows: list[dict[str, Any]], scene: str, way: str, seed: int | None = None
) -> list[dict[str, Any]]:
    """The rows of a scene and a way of counting, with a seed where that has one."""
    wanted = scene, way, seed
    return [row for row in rows if (row["scene"], row["way"], row.get("seed")) == wanted]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--folder", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def by_hand(data: Path) -> tuple[float, classical.Recipe]:
    """Share of test pictures that the tuned classical recipe counts right, and the recipe."""
    splits = [read_split(data, split).known for split in ("val", "test")]
    return classical.accuracy(splits[0], splits[1])


def measure(data: Path, run: Path, seed: int, steps: int) -> dict[str, Any]:
    """Train one model, and measure it with 16 looks and with one."""
    began = time.perf_counter()
    options = ("--steps", str(steps), "--seed", str(seed), "--fresh")
    airkit_command("train", "--data", str(data), "--run", str(run), *options)
    seconds = time.perf_counter() - began
    found = json.loads(airkit_command("eval", "--run", str(run), "--json"))
    names = ("count_accuracy_one_look", "count_accuracy", "mean_iou", "ari", "foreground_ari")
    return {"train_seconds": seconds, **{name: found[name] for name in names}}


def told(row: dict[str, Any]) -> str:
    shares = [100 * row["count_accuracy_one_look"], 100 * row["count_accuracy"]]
    return (
        f"{row['train_seconds']:>8.0f} {shares[0]:>9.1f} {shares[1]:>9.1f} "
        f"{row['foreground_ari']:>7.3f}"
    )


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keep the rows, with what they were measured on."""
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    command = f"scenes.py --seeds {' '.join(map(str, seeds))} --steps {args.steps}"
    provenance.keep(args.out, rows, command, "torch", "scipy")


if __name__ == "__main__":
    main()
