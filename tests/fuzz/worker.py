"""Makes and reads inputs FIRST to LAST - 1 of a reader, and tells of each in a line of JSON.

    python -m fuzz.worker READER[,READER...] SEEDS FOLDER FIRST LAST

Several readers take turns, which saves starting a process for each.

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
from functools import partial
from pathlib import Path

from fuzz.readers import READERS, Reader
from fuzz.watch import Watch

KEPT = Path(tempfile.gettempdir()) / "airkit-fuzz"


def main(readers: str, seeds: str, folder: str, first: str, last: str) -> None:
    """Read one input after another; the outcome goes out before the next one is begun."""
    report = os.fdopen(os.dup(1), "w", buffering=1)
    names, path = readers.split(","), Path(folder) / "input" / "it"
    watch = Watch(path)
    for name in names:
        READERS[name].warm_up(Path(seeds))
    for number in range(int(first), int(last)):
        _clear(path)
        reader = names[number % len(names)]
        kind = READERS[reader]
        how = kind.make(Path(seeds), path, random.Random(f"{reader} {number}"))
        line = {"reader": reader, "number": number, "how": how}
        report.write(json.dumps(line) + "\n")
        verdict = watch.judge(partial(_take, kind, Path(seeds)))
        if verdict.faults:
            keep(reader, number, path)
        report.write(json.dumps({**line, **asdict(verdict)}) + "\n")


def _take(kind: Reader, seeds: Path, path: Path) -> None:
    kind.take(path, seeds)


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
