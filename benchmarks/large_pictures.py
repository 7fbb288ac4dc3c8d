"""What explaining large pictures costs: local canvases beside canvases painted whole.

    python benchmarks/large_pictures.py --source FOLDER [--run RUN] [--canvases N] [--out FILE]

A model of 50 x 50 canvases, trained anew unless there is a run, explains canvases of 256 and 512
pixels with up to 100 digits, one at a time, at one look on one thread. Each row is a process of
its own, which tells its peak memory; needs Linux. Counts are for canvases of held-out digits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import provenance
import torch

import airkit
from airkit.model import air as model
from airkit.model.scene import explain
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

SIDES = {"256": (256, 30), "512": (512, 60), "512, crowded": (512, 100)}
"""Side of the canvases and most digits on them."""
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--source", required=True, help="a folder of digits in MNIST's layout")
    parser.add_argument("--run", type=Path, help="a run of the default preset")
    parser.add_argument("--canvases", type=int, default=20)
    parser.add_argument("--out", type=Path, help="a JSON file for what is measured")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        data, kind = args.worker
        print(json.dumps(explained(args.run, data, args.canvases, whole=kind == "whole")))
        return
    with tempfile.TemporaryDirectory() as name:
        rows = measured(args, Path(name))
    note = provenance.note("large_pictures.py --source FOLDER", "torch", how="threads: 1")
    if args.out:
        args.out.write_text(json.dumps({**note, "rows": rows}, indent=2) + "\n")


def measured(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A row for each kind of canvas, printed as it is known."""
    run, rows = args.run or trained(args.source, folder), []
    for name, (side, digits) in SIDES.items():
        data = folder / f"{name}.h5"
        given = {"data.canvas_size": side, "data.max_digits": digits, "data.overlap": "none"}
        splits = {"data.train": 1, "data.val": 1, "data.test": args.canvases}
        airkit.make_data(data, settings={"data.source": args.source, **given, **splits})
        row: dict[str, Any] = {"side": side, "digits": digits}
        for kind in ("local", "whole"):
            row[kind] = worker(args, run, data, kind)
        rows.append(row)
        print(name, json.dumps(row), flush=True)
    return rows


def trained(source: str, folder: Path) -> Path:
    airkit.make_data(folder / "digits.h5", settings={"data.source": source})
    airkit.train(folder / "digits.h5", folder / "run")
    return folder / "run"


def worker(args: argparse.Namespace, run: Path, data: Path, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--source", args.source, "--run", run]
    command += ["--canvases", args.canvases, "--worker", data, kind]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@torch.inference_mode()
def explained(path: Path, data: str, many: int, *, whole: bool) -> dict[str, Any]:
    """CPU seconds for a canvas, the median of rounds, with peak memory and the share right."""
    torch.set_num_threads(1)
    model.LOCAL_CANVAS_FROM = 1e9 if whole else model.LOCAL_CANVAS_FROM
    run = open_run(path, data, "best", {}, SILENT)
    canvases, rounds, right = torch.arange(many)[:, None], [], 0
    for _ in range(ROUNDS):
        began = time.process_time()
        counts = torch.cat([explain(run.air, run.images(index)).count for index in canvases])
        rounds.append((time.process_time() - began) / many)
        right = int((counts == run.canvases.truth("counts")).sum())
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "seconds_a_canvas": round(sorted(rounds)[ROUNDS // 2], 3),
        "peak_megabytes": round(int(status["VmHWM"].split()[0]) / 1024),
        "right": right,
        "canvases": many,
    }


if __name__ == "__main__":
    main()
