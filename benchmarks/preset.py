"""What a preset for default canvases takes, from start to end of ``airkit train``, and its counts.

    python benchmarks/preset.py quick|thorough [--source FOLDER | --data FILE] [--threads 2]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``); the data file is made before
the clock starts. ``benchmarks/results/preset.json`` keeps every seed. Seconds on the clock are
those of this machine as busy as it is; processor seconds depend on that less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import provenance
import training_time
from worker import OURS, environment

RESULTS = Path(__file__).parent / "results" / "preset.json"
ONE_LOOK = ("--looks", "1", "--set", "eval.likelihood_samples=0", "--json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("preset", choices=["quick", "thorough"])
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--data", type=Path, help="a data file, in place of one made of the source")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        folder, given = Path(name), ("--preset", args.preset, "--source", args.source)
        data = args.data or training_time.make_data(given, folder / "data.h5", OURS)
        rows = [measured(args, data, folder / f"{seed}", seed) for seed in args.seeds]
    note = provenance.note(f"preset.py {args.preset}", "torch", how=f"threads: {args.threads}")
    digits = "the file given" if args.data else Path(args.source).name
    others = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    content = others | {args.preset: {**note, "digits": digits, "rows": rows}}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


def measured(args: argparse.Namespace, data: Path, run: Path, seed: int) -> dict[str, Any]:
    """A training of one seed."""
    given = ("--data", str(data), "--preset", args.preset, "--seed", str(seed))
    began, load = time.perf_counter(), os.getloadavg()[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command("train", run, *given, n=args.threads)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, Any] = {
        "seed": seed,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        "load_before": round(load, 1),
    }
    found = json.loads(command("eval", run, *ONE_LOOK, n=args.threads))
    row["count_accuracy_one_look"] = found["count_accuracy_one_look"]
    print(row, flush=True)
    return row


def command(verb: str, run: Path, *arguments: str, n: int) -> bytes:
    """What a command prints, on ``n`` threads."""
    words = [sys.executable, "-m", "airkit", verb, "--run", str(run), *arguments]
    done = subprocess.run(words, env=environment(n, OURS), stdout=subprocess.PIPE, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
