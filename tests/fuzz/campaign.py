"""Starts workers and collects what they report; a worker that dies is a finding, too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import airkit
from fuzz.worker import KEPT, keep

_TESTS = Path(__file__).parents[1]


@dataclass
class Report:
    """What became of the inputs of one reader, or of several that took turns."""

    reader: str
    inputs: int = 0
    read: int = 0
    """Inputs that were read; the others gave an error."""
    slowest: float = 0.0
    memory: int = 0
    """The most memory that a reading took, in bytes."""
    ways: Counter[str] = field(default_factory=Counter)
    """How often each first line of a message came up."""
    failures: list[str] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """Count one outcome; an input that went wrong is kept."""
        self.inputs += 1
        self.read += not line["error"]
        self.slowest = max(self.slowest, line["seconds"])
        self.memory = max(self.memory, line["memory"])
        self.ways[line["error"].partition("\n")[0] or "read"] += 1
        if line["faults"]:
            self.failures.append(f"{self._name(line)}: {'; '.join(line['faults'])}")

    def died(self, line: dict[str, Any], code: int) -> None:
        """Count an input whose reading ended the process."""
        self.inputs += 1
        how = "hung" if code == -signal.SIGALRM else f"died with code {code}"
        self.failures.append(f"{self._name(line)}: {how}")

    def _name(self, line: dict[str, Any]) -> str:
        return f"{line['reader']} {line['number']} ({line['how']}), kept in {KEPT}"

    def __str__(self) -> str:
        return (
            f"{self.reader}: {self.inputs} inputs, {self.read} read, slowest {self.slowest:.3f} s, "
            f"at most {self.memory / 1e6:.0f} MB, {len(self.failures)} failures"
        )


def run(reader: str, seeds: Path, first: int, last: int) -> Report:
    """Read inputs ``first`` to ``last - 1``, in as many processes as it takes."""
    report = Report(reader)
    while first < last:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            first = _work(report, seeds, Path(folder), range(first, last))
    return report


def _work(report: Report, seeds: Path, folder: Path, numbers: range) -> int:
    """Run one worker to its end, natural or not; returns the number to go on from."""
    arguments = [report.reader, seeds, folder, numbers.start, numbers.stop]
    command = [sys.executable, "-m", "fuzz.worker", *map(str, arguments)]
    line: dict[str, Any] = {"number": numbers.start - 1, "how": "start", "error": ""}
    errors = folder / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=_environment()
        ) as worker,
    ):
        assert worker.stdout is not None
        for text in worker.stdout:
            line = json.loads(text)
            if "error" in line:
                report.take(line)
    if worker.returncode == 0:
        return numbers.stop
    assert "error" not in line, (
        f"died after {line['number']}, making the next: {errors.read_text()}"
    )
    keep(line["reader"], line["number"], folder / "input" / "it")
    report.died(line, worker.returncode)
    return int(line["number"]) + 1


def _memory() -> Path | None:
    """A folder in memory, where there is one: the disk is not what is tested."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None


def _environment() -> dict[str, str]:
    """That of the tests, finding the same airkit."""
    paths = [str(Path(airkit.__file__).parents[1]), str(_TESTS)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
