"""A count that training never showed, between those it did: 0, 1 and 3 digits, then 2.

    python benchmarks/interpolation.py --source FOLDER [--seeds 0 1 2] [--out FILE]

``--source`` has digits in MNIST's layout (or is ``mnist`` or ``strokes``).
``benchmarks/results/interpolation.json`` keeps the counts; its rows of other presets stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from accuracy import airkit_command, make
from extrapolation import measure, save

SEEN = [0, 1, 3]
"""Numbers of digits on the training canvases."""
SIDE, TEST = 50, "8000"
"""Side of the canvases, and how many of 0 to 3 digits are counted."""
RESULTS = Path(__file__).parent / "results" / "interpolation.json"


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    train, test = args.folder / "train.h5", args.folder / "test.h5"
    digits = ("--source", args.source, "--max-digits", "3")
    weights = [int(count in SEEN) for count in range(4)]
    make(train, *digits, "--set", f"data.count_weights={weights}")
    make(test, *digits, "--train", "0", "--val", "0", "--test", TEST)
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        run = args.folder / f"seed-{seed:03d}"
        airkit_command("train", "--data", str(train), "--run", str(run), "--seed", str(seed))
        rows.append(measure(run, seed, test, SIDE, SEEN))
        save(args, rows, "interpolation.py")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--folder", type=Path, default=Path("runs/interpolation"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
