"""How fast canvases are made and read: airkit beside a loop over images with Pillow.

    python benchmarks/generator.py [--canvases N ...] [--workers N ...] [--source DIR] [--out FILE]

Needs pillow and Linux. All make the default canvases: 50 x 50 px, 0 to 2 digits of about 21 px,
drawn again while a pixel adds up to more than full ink. The loop does what generators of
multi-MNIST usually do: one canvas, one digit at a time. The two take turns, so that whatever else
the machine does slows both, and the medians are compared. Files are then written by processes of
their own, for each number of canvases and workers; one of the first number is read. For one core,
put ``taskset -c 0`` before it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import provenance
from numpy.typing import NDArray
from PIL import Image

from airkit.config.schema import DataConfig
from airkit.data import reader
from airkit.data.compose import compose
from airkit.data.dataset import CanvasDataset
from airkit.data.digits import Digits
from airkit.data.format import pack
from airkit.data.make import split_up
from airkit.data.sources import load

ROUNDS = 5
COMPOSED, LOOPED = 60_000, 2_000  # canvases a round
WRITE = """
import json, resource, sys
from pathlib import Path
from airkit import make_data

path, source, many, workers = sys.argv[1:]
sizes = {"data.train": int(many), "data.val": 0, "data.test": 0, "data.source": source}
report = make_data(path, settings=sizes, workers=int(workers))
# not RUSAGE_SELF, which counts the process that started this one
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
own = int(status["VmHWM"].split()[0]) / 1024
worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([report.seconds, report.bytes, own, worker]))
"""


def compose_all(config: DataConfig, digits: Digits) -> None:
    for part in split_up(config):
        compose(config, "train", digits, part.start, part.stop)


def loop(config: DataConfig, digits: Digits, many: int) -> None:
    """The rival: canvas by canvas."""
    rng = np.random.default_rng(config.seed)
    images = np.zeros((many, config.canvas_size, config.canvas_size), np.uint8)
    for image in images:
        count = int(rng.integers(config.min_digits, config.max_digits + 1))
        sums = one_canvas(config, digits, count, rng)
        while sums.max() > 255:
            sums = one_canvas(config, digits, count, rng)
        image[:] = sums


def one_canvas(
    config: DataConfig, digits: Digits, count: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    sums = np.zeros((config.canvas_size, config.canvas_size), np.uint16)
    for _ in range(count):
        digit = Image.fromarray(digits.images[rng.integers(len(digits.images))])
        cut = np.clip(rng.normal(), -3, 3)
        side = round(config.digit_size + config.digit_size_sd * cut)
        patch = np.asarray(digit.resize((side, side), Image.Resampling.BILINEAR))
        y, x = rng.integers(0, config.canvas_size - side + 1, 2)
        sums[y : y + side, x : x + side] += patch
    return sums


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def making(source: str) -> list[dict[str, Any]]:
    """Canvases a second of CPU time, composed and compressed, beside the loop."""
    config = DataConfig(train=COMPOSED, val=0, test=0)
    digits = load(source).pools["train"]
    first = next(split_up(config))
    some = compose(config, "train", digits, first.start, first.stop)
    rivals: dict[str, tuple[int, Callable[[], object]]] = {
        "loop with Pillow": (LOOPED, lambda: loop(config, digits, LOOPED)),
        "composed": (COMPOSED, lambda: compose_all(config, digits)),
        "compressed by gzip": (first.stop, lambda: pack(config, "train", some)),
    }
    rates: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(ROUNDS):
        for name, (many, work) in rivals.items():
            rates[name].append(many / seconds(work, time.process_time))
    slow = statistics.median(rates["loop with Pillow"])
    return [
        {"what": name, "canvases_per_second": round(middle), "times": round(middle / slow, 2)}
        for name, each in rates.items()
        if (middle := statistics.median(each))
    ]


def written(path: Path, source: str, many: int, workers: int) -> dict[str, Any]:
    """What it takes to write a file, the digits' loading left out, and the peaks of memory."""
    command = [sys.executable, "-c", WRITE, path, source, many, workers]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    whole, size, parent, child = json.loads(done.stdout)
    took = whole - seconds(lambda: load(source))
    return {
        "canvases": many,
        "workers": workers,
        "seconds": round(took, 2),
        "canvases_per_second": round(many / took),
        "megabytes": round(size / 1e6, 1),
        "peak_megabytes": round(parent),
        "peak_megabytes_of_a_worker": round(child) if workers > 1 else None,
    }


def reading(path: Path) -> list[dict[str, Any]]:
    """Canvases and megabytes a second, beside h5py alone, which checks nothing."""

    def plain() -> list[Any]:
        with h5py.File(path) as file:
            return [array[:] for array in file["train"].values()]

    rivals: dict[str, Callable[[], object]] = {
        "h5py": plain,
        "store.read_split": lambda: reader.read_split(path, "train"),
        "CanvasDataset": lambda: CanvasDataset(path, "train"),
    }
    many, size = reader.read_info(path).splits["train"], sum(array.nbytes for array in plain())
    times = {name: [seconds(work) for _ in range(ROUNDS)] for name, work in rivals.items()}
    return [
        {
            "what": name,
            "canvases_per_second": round(many / statistics.median(each)),
            "megabytes_per_second": round(size / 1e6 / statistics.median(each)),
        }
        for name, each in times.items()
    ]


def report(found: dict[str, Any]) -> None:
    for row in found["making"]:
        rate, times = row["canvases_per_second"], row["times"]
        print(f"{row['what']:<18} {rate:10,} canvases/s  {times:5.1f} x the loop")
    for row in found["writing"]:
        worker = row["peak_megabytes_of_a_worker"]
        print(
            f"{row['canvases']:,} written, {row['workers']} workers: {row['seconds']} s, "
            f"{row['canvases_per_second']:,} canvases/s, peak memory {row['peak_megabytes']} MB"
            + (f", {worker} MB a worker" if worker else "")
        )
    for row in found["reading"]:
        rate, size = row["canvases_per_second"], row["megabytes_per_second"]
        print(f"read, {row['what']:<18} {rate:10,} canvases/s  {size:6,} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--canvases", type=int, nargs="+", default=[60_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--source", default="strokes", help="as data.source")
    parser.add_argument("--out", type=Path, help="a JSON file for what is measured")
    args = parser.parse_args()
    found: dict[str, Any] = {
        **provenance.note(
            f"generator.py --source FOLDER --canvases {' '.join(map(str, args.canvases))}",
            *("h5py", "numpy", "pillow"),
        ),
        "making": making(args.source),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        found["writing"] = []
        for many in args.canvases:
            for workers in args.workers:
                path.unlink(missing_ok=True)
                found["writing"].append(written(path, args.source, many, workers))
            if many == args.canvases[0]:
                found["reading"] = reading(path)
    report(found)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
