"""How fast canvases are made: airkit's composer beside a loop over images with Pillow.

Run ``python benchmarks/generator.py [--canvases N] [--source FOLDER]`` (needs pillow). Both make
the default canvases: 50 x 50 px, 0 to 2 digits of about 21 px, drawn again while a pixel adds up
to more than full ink. The loop does what generators of multi-MNIST usually do: one canvas, one
digit at a time. For one core, put ``taskset -c 0`` before it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from airkit.canvases.compose import compose
from airkit.canvases.digits import Digits, load
from airkit.canvases.make import make_data
from airkit.config import DataConfig

STEP = 4096


def compose_all(config: DataConfig, digits: Digits, many: int) -> None:
    for start in range(0, many, STEP):
        compose(config, "train", digits, start, min(start + STEP, many))


def loop(config: DataConfig, digits: Digits, many: int) -> None:
    """The rival: canvas by canvas."""
    rng = np.random.default_rng(config.seed)
    for start in range(0, many, STEP):
        block = min(STEP, many - start)
        images = np.zeros((block, config.canvas_size, config.canvas_size), np.uint8)
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


def written(source: str, many: int) -> None:
    sizes = {"data.train": many, "data.val": 0, "data.test": 0, "data.source": source}
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder) / "data.h5", settings=sizes)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_memory() -> str:
    """Greatest memory of this process so far, where the system tells."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return "unknown"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--canvases", type=int, default=60_000)
    parser.add_argument("--source", default="strokes", help="as data.source")
    arguments = parser.parse_args()
    many, source = arguments.canvases, arguments.source
    config = DataConfig()
    digits = load(source, 0).pools["train"]
    few = min(many, 10_000)  # the loop's speed does not depend on how many
    compose_all(config, digits, min(many, 64))  # the first call is slower
    ours = many / seconds(lambda: compose_all(config, digits, many))
    whole = seconds(lambda: written(source, many)) - seconds(lambda: load(source, 0))
    peak = peak_memory()
    rival = few / seconds(lambda: loop(config, digits, few))
    print(f"{many:,} canvases of 50x50 px with 0 to 2 digits of {source}")
    print(f"  composed             {ours:10,.0f} canvases/s   {ours / rival:5.1f} x the loop")
    print(
        f"  and written, gzip    {many / whole:10,.0f} canvases/s   {many / whole / rival:5.1f} x,"
        f" {whole:.1f} s, peak memory {peak}"
    )
    print(f"  loop with Pillow     {rival:10,.0f} canvases/s   (composed only, {few:,} canvases)")


if __name__ == "__main__":
    main()
