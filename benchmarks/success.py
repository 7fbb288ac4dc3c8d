"""How often training works: ``airkit sweep`` on the presets, every seed, none left out.

    python benchmarks/success.py --source FOLDER [--presets default ...]

FOLDER has digits in MNIST's layout (or is ``mnist`` or ``strokes``). A sweep that was stopped goes
on. ``benchmarks/results/success.json`` keeps the reports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import provenance
from accuracy import COLUMNS, make

SWEEPS = {
    "default": (20, 0.99, 10_000),
    "small-digits": (10, 0.99, 4_000),
    "many-digits": (5, 0.97, 4_000),
}
"""Seeds, threshold and test canvases of each preset."""
RESULTS = Path(__file__).parent / "results" / "success.json"


def main() -> None:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    for preset in args.presets:
        data = args.folder / f"{preset}.h5"
        if not data.exists():
            many = str(SWEEPS[preset][2])
            make(data, "--preset", preset, "--source", args.source, "--test", many)
        save(args, preset, swept(preset, data, args.folder / preset))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", default="strokes")
    parser.add_argument("--presets", nargs="+", default=list(SWEEPS), choices=SWEEPS)
    parser.add_argument("--folder", type=Path, default=Path("runs/success"))
    return parser.parse_args()


def swept(preset: str, data: Path, folder: Path) -> dict[str, Any]:
    """The report of a preset's sweep, whether all seeds went well or not."""
    seeds, threshold, _ = SWEEPS[preset]
    options = ("--seeds", str(seeds), "--threshold", str(threshold))
    command = [sys.executable, "-m", "airkit", "sweep", "--data", str(data), "--out", str(folder)]
    done = subprocess.run([*command, *options, "--json"], stdout=subprocess.PIPE, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["attempted"] == seeds, "the sweep was stopped; the same command goes on"
    return report


def measured(measures: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a seed's measures: the bins of its calibration are not."""
    calibration = {name: value for name, value in measures["calibration"].items() if name != "bins"}
    kept = (*COLUMNS, "canvases", "looks")
    return {**{name: measures[name] for name in kept}, "calibration": calibration}


def save(args: argparse.Namespace, preset: str, report: dict[str, Any]) -> None:
    """Keep a report beside those of other presets, without the folders of this machine."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"sweeps": {}}
    rows = [
        {
            **{name: row[name] for name in ("seed", "failure", "train_seconds")},
            **(measured(row["measures"]) if row["measures"] else {}),
        }
        for row in report.pop("rows")
    ]
    del report["folder"], report["data"]
    kept.update(
        **provenance.note("success.py", "torch"),
        digits=Path(args.source).name,
    )
    kept["sweeps"][preset] = {**report, "rows": rows}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
