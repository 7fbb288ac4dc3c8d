"""What these benchmarks share: their arguments, data files, runs and results."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accuracy import airkit_command
from provenance import note

RESULTS = Path(__file__).resolve().parents[1] / "results"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser of the arguments that all have; ``doc`` is the docstring of the script."""
    shared = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    shared.add_argument("--source", default="strokes")
    shared.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    shared.add_argument("--folder", type=Path, default=Path("runs/paper"))
    return shared


def made(args: argparse.Namespace, name: str, *options: str) -> Path:
    """A data file of the benchmark's folder, made unless it is there."""
    path: Path = args.folder / f"{name}.h5"
    if not path.exists():
        airkit_command("make-data", "--out", str(path), "--source", args.source, *options)
    return path


def trained(args: argparse.Namespace, name: str, seed: int, *options: str) -> Path:
    """The run of a seed on the data file ``name``; one that is there goes on, to its end."""
    run: Path = args.folder / f"{name}-{seed}"
    data = made(args, name, *options)
    airkit_command("train", "--data", str(data), "--run", str(run), "--seed", str(seed))
    return run


def save(path: Path, args: argparse.Namespace, command: str, how: str, **content: Any) -> None:
    """Keep what was measured, with what it was measured on."""
    told = note(f"paper/{path.stem}.py --source FOLDER {command}", "torch", how=how)
    report = {**told, "digits": Path(args.source).name, **content}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def spelled(seeds: list[int]) -> str:
    """Seeds as they are typed."""
    return " ".join(map(str, seeds))
