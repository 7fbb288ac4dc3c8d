"""``airkit train`` and ``airkit eval`` beside busy loops, by number of threads.

    python benchmarks/busy.py [--loops 2] [--steps 300] [--rounds 3] [--threads 2] [--out FILE]

Every round takes the variants in turns. What counts is the ratio of airkit's own choice to the
better fixed number, of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import provenance
from training_time import make_data
from worker import OURS, environment

RESULTS = Path(__file__).parent / "results" / "busy.json"


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, busy(args.loops):
        seconds = measure(Path(folder), args)
    found = {
        "seconds": seconds,
        "ratio": {verb: ratio(times) for verb, times in seconds.items()},
        "measured": provenance.note(
            f"busy.py --loops {args.loops} --steps {args.steps} --rounds {args.rounds}",
            "torch",
            how=f"{args.loops} busy loops",
        ),
    }
    print(json.dumps(found, indent=2))
    args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes that never rest."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def measure(folder: Path, args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Seconds by command and number of threads, a value for each round."""
    sizes = ("--train", "2000", "--val", "200", "--test", "1000")
    data = make_data(("--source", "strokes", *sizes), folder / "data.h5", OURS)
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(args.rounds):
        for threads in ("own", "1", str(args.threads)):
            run = str(folder / threads)
            train = ("train", "--fresh", "--data", str(data), "--steps", str(args.steps))
            seconds["train"][threads].append(spent((*train, "--run", run), threads))
            seconds["eval"][threads].append(spent(("eval", "--run", run), threads))
            print({verb: dict(times) for verb, times in seconds.items()}, file=sys.stderr)
    return {verb: dict(times) for verb, times in seconds.items()}


def spent(arguments: Sequence[str], threads: str) -> float:
    """Seconds that a command takes, from its start to its end."""
    own: dict[str, Any] = environment(int(threads) if threads != "own" else 1)
    if threads == "own":
        del own["OMP_NUM_THREADS"]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "airkit", *arguments, "--quiet"], check=True, env=own)
    return round(time.perf_counter() - began, 2)


def ratio(times: dict[str, list[float]]) -> float:
    """How long airkit's own choice takes, as a multiple of the better fixed number."""
    fixed = [median(values) for threads, values in times.items() if threads != "own"]
    return round(median(times["own"]) / min(fixed), 3)


if __name__ == "__main__":
    main()
