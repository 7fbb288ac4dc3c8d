"""Few pictures to train on: with and without turning and mirroring them.

    python benchmarks/few_pictures.py [--pictures 30 100 300] [--seeds 0 1] [--out FILE]
        [--source FOLDER]

``--source`` has digits in MNIST's layout. What FILE has already is not measured again. For each
kind and number of pictures, models are trained for 1,500 steps with ``train.augment`` on and off,
with every other setting on ``auto``, and count the same 1,000 held-out pictures.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import provenance
from accuracy import airkit_command, make

PRESETS = {"grey sprites": "grey-sprites", "cells": "cells", "digits": "default"}
STEPS = 1_500
RESULTS = Path(__file__).parent / "results" / "few_pictures.json"


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = json.loads(args.out.read_text("utf-8"))["rows"] if args.out.exists() else []
    for kind, many in itertools.product(args.kinds, args.pictures):
        data = args.folder / f"{PRESETS[kind]}-{many}.h5"
        source = ("--source", args.source) if kind == "digits" else ()
        sizes = ("--train", str(many), "--val", "0", "--test", "1000")
        make(data, "--preset", PRESETS[kind], *source, *sizes)
        for seed, augment in itertools.product(args.seeds, (False, True)):
            what = {"kind": kind, "pictures": many, "seed": seed, "augment": augment}
            if not any(what.items() <= row.items() for row in rows):
                rows.append(what | measure(data, args.folder / "run", seed, augment))
                print(*rows[-1].values(), flush=True)
                save(args, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kinds", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--pictures", nargs="+", type=int, default=[30, 100, 300])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--folder", type=Path, default=Path("runs/few-pictures"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def measure(data: Path, run: Path, seed: int, augment: bool) -> dict[str, Any]:
    """Train one model, and measure it with 16 looks and with one."""
    chosen = ("--set", f"train.augment={str(augment).lower()}", "--steps", str(STEPS))
    where = ("--data", str(data), "--run", str(run), "--fresh")
    airkit_command("train", *where, "--seed", str(seed), *chosen)
    given = ("--set", "eval.likelihood_samples=0", "--json")
    found = json.loads(airkit_command("eval", "--run", str(run), *given))
    return {name: found[name] for name in ("count_accuracy_one_look", "count_accuracy")}


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keep the rows, with what they were measured on."""
    seeds = sorted({row["seed"] for row in rows})
    command = f"few_pictures.py --source FOLDER --seeds {' '.join(map(str, seeds))}"
    provenance.keep(args.out, rows, command, "torch")


if __name__ == "__main__":
    main()
