"""Makes and reads inputs FIRST to LAST - 1 of one reader, and tells of each in a line of JSON.

    python -m fuzz.worker READER SEEDS FOLDER FIRST LAST

An input follows from its reader and number alone, given the seeds. It is FOLDER/input/it, and
is left there where the reading kills the process.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from fuzz.readers import READERS
from fuzz.watch import Watch

KEPT = Path(tempfile.gettempdir()) / "airkit-fuzz"


def main(reader: str, seeds: str, folder: str, first: str, last: str) -> None:
    """Read one input after another; the outcome goes out before the next one is begun."""
    report = os.fdopen(os.dup(1), "w", buffering=1)
    kind, path = READERS[reader], Path(folder) / "input" / "it"
    watch = Watch(path)
    kind.warm_up(Path(seeds))
    for number in range(int(first), int(last)):
        _clear(path)
        how = kind.make(Path(seeds), path, random.Random(f"{reader} {number}"))
        report.write(json.dumps({"number": number, "how": how}) + "\n")
        verdict = watch.judge(lambda it: kind.take(it, Path(seeds)))
        if verdict.faults:
            keep(reader, number, path)
        report.write(json.dumps({"number": number, "how": how, **asdict(verdict)}) + "\n")


def keep(reader: str, number: int, path: Path) -> None:
    """Set an input aside that went wrong."""
    target = KEPT / f"{reader}-{number}"
    if path.exists():
        KEPT.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)


def _clear(path: Path) -> None:
    """An empty folder around the input."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
