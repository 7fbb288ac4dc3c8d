"""Reads hostile files by the thousand, in processes that may die; a death is a finding.

A case is ``kind number`` or ``kind attack``, such as ``data 17``. To see one again:

    echo data 17 | python -m hostile.campaign SEEDS FOLDER

leaves it in FOLDER/it and prints the verdict. SEEDS are the whole inputs, planted where there
are none.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import airkit
from hostile.attacks import SAYS
from hostile.damage import spoil
from hostile.kinds import KINDS, plant
from hostile.watch import Verdict, Watch

PLACES = {"a pipe": None, "an endless device": "/dev/zero", "a folder": "."}
"""What may be there in place of any file: None for a pipe, or what a link points to."""
ATTACKS = [f"{name} {how}" for name, kind in KINDS.items() for how in (*PLACES, *kind.attacks)]
"""The cases of all attacks."""


def run(cases: Sequence[str], seeds: Path) -> Iterator[tuple[str, Verdict]]:
    """Read one file a case, in as many processes as it takes."""
    left = list(cases)
    while left:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # disks are slow
        with tempfile.TemporaryDirectory(dir=memory) as folder, _worker(seeds, folder) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            with worker.stdin as told:
                told.write("\n".join(left))
            for line in worker.stdout:
                yield left.pop(0), Verdict(**json.loads(line))
            if code := worker.wait():
                yield left.pop(0), Verdict(faults=[f"the process ended with {code}"])


def _worker(seeds: Path, folder: str) -> subprocess.Popen[str]:
    """A process of ``main``, with the same airkit."""
    paths = (Path(airkit.__file__).parents[1], Path(__file__).parents[1])
    path = os.pathsep.join((*map(str, paths), os.environ.get("PYTHONPATH", "")))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "hostile.campaign", str(seeds), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


def main(seeds: Path, folder: Path) -> None:
    """Read the cases on stdin, and print each verdict as a line of JSON before the next."""
    if not seeds.exists():
        plant(seeds)
    output = os.fdopen(os.dup(1), "w", buffering=1)
    watch = Watch(folder / "it", ())
    for case in sys.stdin.read().splitlines():
        name, _, how = case.partition(" ")
        watch.errors = KINDS[name].errors
        for _ in range(2):  # modules that are loaded on first use are no fault of the file's
            make(case, seeds, watch.folder)
            verdict = watch.judge(KINDS[name].read)
            if not verdict.faults:
                break
        if SAYS.get(case, "") not in verdict.error:
            verdict.faults.append(f"does not say {SAYS[case]}: {verdict.error[:300]!r}")
        if how in KINDS[name].attacks and not verdict.error:
            verdict.faults.append("was read")
        output.write(json.dumps(asdict(verdict)) + "\n")


def make(case: str, seeds: Path, folder: Path) -> None:
    """Make the input of a case, a copy of a whole folder with one hostile file."""
    rng, (name, _, how) = random.Random(case), case.partition(" ")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(rng.choice(sorted((seeds / name).iterdir())), folder)
    path = rng.choice(sorted(folder.glob(KINDS[name].files)))
    content = path.read_bytes()
    if how in PLACES:
        path.unlink()
        path.symlink_to(target) if (target := PLACES[how]) else os.mkfifo(path)
    elif how in KINDS[name].attacks:
        attack = KINDS[name].attacks[how]
        path.write_bytes(attack if isinstance(attack, bytes) else attack(content))
    else:
        try:
            path.write_bytes(rng.choice(KINDS[name].damages)(content, rng))
        except Exception:  # damage that does not fit this file
            path.write_bytes(spoil(content, rng))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
