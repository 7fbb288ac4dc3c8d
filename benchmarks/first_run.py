"""The README's commands as they stand, on the built-in strokes: what ``airkit eval`` prints.

    python benchmarks/first_run.py

In a folder that has the data file or the training already, these are used.
``benchmarks/results/first_run.json`` keeps the measures, and what each command took: seconds of the
processor, which depend less than the clock on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import provenance
import torch

RESULTS = Path(__file__).resolve().parent / "results" / "first_run.json"
STROKES = {"AIRKIT_OFFLINE": "1", "AIRKIT_CACHE": "cache"}
"""No network and no cache, so that ``auto`` takes the strokes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("runs/first-run"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    took: dict[str, float] = {}
    if not (folder / "multi-mnist.h5").exists():
        airkit_command(folder, took, "make-data", "--max-digits", "2")
    airkit_command(folder, took, "train")
    measures = json.loads(airkit_command(folder, took, "eval", "--json"))
    measures["data"] = Path(measures["data"]).name
    for verb in ("render", "report"):
        airkit_command(folder, took, verb)
    note = provenance.note("first_run.py", "torch", how=f"threads: {torch.get_num_threads()}")
    found = {"eval": {**note, "measures": measures}, "times": {**note, "processor_seconds": took}}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def airkit_command(folder: Path, took: dict[str, float], *arguments: str) -> str:
    """Run the command line as a user would; what it prints. ``took`` gets what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "airkit", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **STROKES}, stdout=subprocess.PIPE, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took[arguments[0]] = round(spent, 1)
    return done.stdout.decode()


if __name__ == "__main__":
    main()
