"""The README's commands as they stand, on the built-in strokes: what ``airkit eval`` prints.

    python benchmarks/first_run.py

In a folder that has the data file or the training already, these are used.
``benchmarks/results/first_run.json`` keeps the measures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import provenance

RESULTS = Path(__file__).resolve().parent / "results" / "first_run.json"
STROKES = {"AIRKIT_OFFLINE": "1", "AIRKIT_CACHE": "cache"}
"""No network and no cache, so that ``auto`` takes the strokes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("runs/first-run"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "multi-mnist.h5").exists():
        airkit_command(folder, "make-data", "--max-digits", "2")
    airkit_command(folder, "train")
    measures = json.loads(airkit_command(folder, "eval", "--json"))
    measures["data"] = Path(measures["data"]).name
    found = {**provenance.note("first_run.py", "torch"), "measures": measures}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def airkit_command(folder: Path, *arguments: str) -> str:
    """Run the command line as a user would; what it prints."""
    command = [sys.executable, "-m", "airkit", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **STROKES}, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


if __name__ == "__main__":
    main()
