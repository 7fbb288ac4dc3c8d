"""How long ``airkit train`` takes as a process, from its start; a part of ``speed.py``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from worker import environment

Row = dict[str, Any]


def until(
    arguments: Sequence[str],
    run: Path,
    reached: Callable[[Row], bool],
    *,
    threads: int,
    source: Path,
) -> tuple[float, Row]:
    """Seconds from the start of a training to the row of metrics that was waited for.

    The training is told to stop then.
    """
    command = [sys.executable, "-m", "airkit", "train", "--run", str(run), "--fresh", *arguments]
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment(threads, source), stdout=subprocess.DEVNULL, stderr=said
        )
        found, ended = None, False
        while found is None and not ended:
            ended = process.poll() is not None  # asked before the rows, so that none is missed
            found = next(filter(reached, metrics(run)), None)
            seconds = time.perf_counter() - began
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait()
        said.seek(0)
        if found is None:
            raise SystemExit(
                f"{' '.join(command)} ended before it got there:\n{said.read()[-2000:]}"
            )
    return seconds, found


def metrics(run: Path) -> list[Row]:
    """The rows of a run that are wholly written."""
    try:
        text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def first_step(given: Sequence[str], run: Path, *, threads: int, source: Path) -> float:
    """Seconds from a training's start to the end of its first step."""
    given = (*given, "--set", "train.log_every=1")
    seconds, _ = until(given, run, lambda row: "loss" in row, threads=threads, source=source)
    return seconds


def accurate(
    given: Sequence[str], run: Path, share: float, *, threads: int, source: Path
) -> dict[str, Any]:
    """What it took to the first validation that counts a ``share`` right."""
    seconds, row = until(
        given,
        run,
        lambda row: row.get("val_count_accuracy", -1) >= share,
        threads=threads,
        source=source,
    )
    return {"seconds": seconds, "steps": row["step"], "accuracy": row["val_count_accuracy"]}


def make_data(given: Sequence[str], path: Path, source: Path) -> Path:
    """A data file that the airkit of a source tree can read."""
    command = [sys.executable, "-m", "airkit", "make-data", "--out", str(path), *given]
    subprocess.run(command, check=True, env=environment(1, source), stdout=subprocess.DEVNULL)
    return path


def import_torch(threads: int) -> float:
    """Seconds that a process takes that imports torch and ends: no training starts sooner."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "import torch"]
    subprocess.run(command, check=True, env=environment(threads))
    return time.perf_counter() - began
