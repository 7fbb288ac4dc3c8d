"""The peak memory of importing many small pictures beside that of importing few.

    python benchmarks/import_memory.py [--few N] [--many N] [--files N] [--out FILE]

Pictures of 8 x 8 px as one .npy file, as one .npz archive, and as a folder of PNG files, of which
there are ``--files`` rather than ``--many``, as a million of them take long to write. Each import
is a process of its own; needs Linux.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import provenance
from PIL import Image

SIDE = 8
IMPORT = """
import json, sys
from pathlib import Path
from airkit import import_scenes

report = import_scenes(sys.argv[1], path=sys.argv[2], force=True)
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([int(status["VmHWM"].split()[0]) / 1024, report.seconds]))
"""


def pictures(many: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (many, SIDE, SIDE), np.uint8)


def npy(folder: Path, many: int) -> Path:
    np.save(folder / "pictures.npy", pictures(many))
    return folder / "pictures.npy"


def npz(folder: Path, many: int) -> Path:
    np.savez(folder / "pictures.npz", images=pictures(many))
    return folder / "pictures.npz"


def files(folder: Path, many: int) -> Path:
    target = folder / "files"
    target.mkdir()
    for place, picture in enumerate(pictures(many)):
        Image.fromarray(picture).save(target / f"{place}.png", compress_level=0)
    return target


KINDS: dict[str, Callable[[Path, int], Path]] = {".npy": npy, ".npz": npz, "folder": files}


def imported(kind: str, many: int) -> dict[str, Any]:
    """What it takes to import so many pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-c", IMPORT, KINDS[kind](folder, many), folder / "data.h5"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    peak, took = json.loads(done.stdout)
    return {"pictures": many, "peak_megabytes": round(peak, 1), "seconds": round(took, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, help="a JSON file for what is measured")
    args = parser.parse_args()
    command = f"import_memory.py --files {args.files} --out FILE"
    found = provenance.note(command, "h5py", "numpy", "pillow") | {"rows": []}
    for kind in args.kinds:
        few = imported(kind, args.few)
        many = imported(kind, args.files if kind == "folder" else args.many)
        more = many["peak_megabytes"] / few["peak_megabytes"] - 1
        found["rows"].append({"kind": kind, "few": few, "many": many, "more": round(more, 3)})
        print(
            f"{kind:<8} {few['pictures']:,}: {few['peak_megabytes']} MB; {many['pictures']:,}: "
            f"{many['peak_megabytes']} MB in {many['seconds']} s, {more:+.1%}",
            flush=True,
        )
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
