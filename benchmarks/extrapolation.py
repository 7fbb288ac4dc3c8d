"""Counts that training never showed: more digits, also on larger canvases.

    python benchmarks/extrapolation.py --source FOLDER [--preset default] [--sweep FOLDER]
        [--seeds 0 1 2] [--out FILE]

``--source`` has digits in MNIST's layout (or is ``mnist`` or ``strokes``); ``--sweep`` is a sweep
of the preset, such as ``success.py`` leaves of the default one, of models trained on 0 to 2 digits
on 50x50 pixels. ``benchmarks/results/extrapolation.json`` keeps the counts; its rows of other
presets stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import provenance
from accuracy import airkit_command, make

SIZES = {50: (3, 8_000), 80: (5, 12_000), 128: (9, 2_000)}
"""Side of the canvases: the most digits, and how many canvases of 0 to that many."""
SEEN = [0, 1, 2]
"""Numbers of digits on the training canvases, of 50x50 pixels."""
RESULTS = Path(__file__).parent / "results" / "extrapolation.json"


def main() -> None:
    args = parse()
    rows: list[dict[str, Any]] = []
    for side, (most, many) in SIZES.items():
        data = args.sweep / f"extrapolation-{side}.h5"
        sizes = ("--canvas-size", str(side), "--max-digits", str(most), "--test", str(many))
        make(data, "--source", args.source, *sizes, "--train", "0", "--val", "0")
        for seed in args.seeds:
            row = measure(args.sweep / f"seed-{seed:03d}", seed, data, side, SEEN)
            rows.append(row | {"preset": args.preset})
            save(args, rows, "extrapolation.py")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--sweep", type=Path, default=Path("runs/success/default"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def measure(run: Path, seed: int, data: Path, side: int, seen: list[int]) -> dict[str, Any]:
    """What a run, trained on ``seen`` numbers of digits, counts right of each number."""
    given = ("--data", str(data), "--set", "eval.likelihood_samples=0", "--json")
    found = json.loads(airkit_command("eval", "--run", str(run), *given))
    canvases = [sum(row) for row in found["confusion"]]
    shares = found["per_count_accuracy_one_look"], found["per_count_accuracy"]
    print(f"{side} px, seed {seed}:", *(f"{100 * share:.1f}" for share in shares[1].values()))
    counts = [
        {
            "digits": digits,
            "canvases": many,
            "right_one_look": round(many * shares[0][str(digits)]),
            "right": round(many * shares[1][str(digits)]),
        }
        for digits, many in enumerate(canvases)
        if many
    ]
    about = {"preset": "default", "trained_on": {"canvas": 50, "counts": seen}, "seed": seed}
    return {**about, "canvas": side, "slots": SIZES[side][0] + 1, "looks": 16, "counts": counts}


def save(args: argparse.Namespace, rows: list[dict[str, Any]], script: str) -> None:
    """Keep the rows beside those of other presets, with what they were measured on, and by what."""
    before = json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.out.exists() else []
    others = [row for row in before if row["preset"] != rows[0]["preset"]]
    command = f"{script} --seeds {' '.join(map(str, args.seeds))}"
    report = {**provenance.note(command, "torch"), "digits": Path(args.source).name}
    args.out.write_text(json.dumps({**report, "rows": rows + others}, indent=1) + "\n")


if __name__ == "__main__":
    main()
