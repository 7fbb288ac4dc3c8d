"""Training on more canvases than memory holds: peak memory and time beside a set in memory.

    python benchmarks/streaming.py [--canvases N ...] [--steps N] [--folder DIR] [--out FILE]

Needs Linux. Each training is a process of its own, on default canvases of the built-in strokes. The
data files, 183 bytes a canvas, are made in ``--folder`` and used again from there; ten million take
some minutes. Then steps on the largest set take turns with steps on as many of its canvases as
memory holds, so that whatever else the machine does slows both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import provenance
import torch

import airkit
from airkit.data import reader
from airkit.data.dataset import images_of
from airkit.data.stream import Streamed, block_of
from airkit.training.step import Trainer

VAL = 2_000
SAME = 100_000  # canvases in memory that steps are compared on
WARM, ROUNDS = 20, 200
TRAIN = """
import json, sys
from pathlib import Path
from airkit import train

data, run, steps = sys.argv[1:]
report = train(data, run, settings={"train.steps": int(steps), "train.device": "cpu"})
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([int(status["VmHWM"].split()[0]) / 1024, report.seconds]))
"""


def made(folder: Path, many: int) -> Path:
    """The data file of so many canvases to train on."""
    path = folder / f"streaming-{many}.h5"
    if not path.exists():
        sizes = {"data.train": many, "data.val": VAL, "data.test": 0, "data.source": "strokes"}
        airkit.make_data(path, settings=sizes)
    return path


def trained(path: Path, many: int, steps: int) -> dict[str, Any]:
    """What a training takes, start-up and validation included."""
    info = reader.read_info(path)
    with tempfile.TemporaryDirectory() as run:
        command = [sys.executable, "-c", TRAIN, path, run, steps]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    peak, took = json.loads(done.stdout)
    return {
        "canvases": many,
        "image_megabytes": round(many * info.config.data.numel / 1e6),
        "file_megabytes": round(path.stat().st_size / 1e6),
        "in_memory": block_of(info, "train") or many,
        "steps": steps,
        "seconds": round(took, 1),
        "peak_megabytes": round(peak),
    }


def steps(path: Path) -> dict[str, float]:
    """Milliseconds of CPU time a step, in memory and from the file, and for reading alone."""
    info, cpu = reader.read_info(path), torch.device("cpu")
    block = block_of(info, "train")
    streamed = Streamed(path, "train", "image", block or SAME)
    trainers = [Trainer(info.config, images, cpu) for images in (streamed[:SAME], streamed)]
    times: list[list[float]] = [[], []]
    for number in range(WARM + ROUNDS):
        for trainer, each in zip(trainers, times, strict=True):
            began = time.process_time()
            trainer.step(number)
            each.append(1e3 * (time.process_time() - began))
    return {
        "memory": round(statistics.median(times[0][WARM:]), 2),
        "file": round(statistics.median(times[1][WARM:]), 2),
        "reading": round(reading(trainers[1], path, block or SAME), 3),
    }


def reading(trainer: Trainer, path: Path, block: int) -> float:
    """Milliseconds of CPU time that a step's canvases take to read, the mean of two blocks."""
    images, batches = images_of(path, "train", block), trainer.batches
    many = min(2 * block // batches.size, batches.per_epoch)
    began = time.process_time()
    for number in range(many):
        images[batches.at(number)]
    return 1e3 * (time.process_time() - began) / many


def report(found: dict[str, Any]) -> None:
    for row in found["trainings"]:
        print(
            f"{row['canvases']:>12,} canvases, {row['image_megabytes']:,} MB: peak memory "
            f"{row['peak_megabytes']:,} MB, {row['steps']:,} steps in {row['seconds']} s"
        )
    step = found["step"]
    print(
        f"a step: {step['memory']} ms in memory, {step['file']} ms from the file, of which reading "
        f"takes {step['reading']} ms on average"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--canvases", type=int, nargs="+", default=[100_000, 10_000_000])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, help="where data files are made, and stay")
    parser.add_argument("--out", type=Path, help="a JSON file for what is measured")
    args = parser.parse_args()
    sizes = " ".join(map(str, args.canvases))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        found = {
            **provenance.note(f"streaming.py --canvases {sizes}", "h5py", "numpy", "torch"),
            "trainings": [trained(made(folder, n), n, args.steps) for n in args.canvases],
            "step": steps(made(folder, max(args.canvases))),
        }
    report(found)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
