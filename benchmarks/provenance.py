"""What every benchmark notes beside its numbers."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import airkit


def note(command: str, *packages: str, how: str = "", device: str = "cpu") -> dict[str, Any]:
    """The command without what is this machine's alone, the date, the hardware and the versions.

    Args:
        command: what to type, after ``python benchmarks/``.
        packages: whose versions matter beside airkit's and Python's.
        how: what else to say of the hardware's use.
        device: where it was measured, as PyTorch names it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = device.startswith("cuda")
    kind = torch.cuda.get_device_name(device) if gpu else "CPU"
    hardware = f"{platform.machine()}, {kind}, {cores} cores"
    return {
        "command": f"python benchmarks/{command}",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{hardware}; {how}" if how else hardware,
        "versions": {
            "airkit": airkit.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }


def keep(
    out: Path, rows: list[dict[str, Any]], command: str, *packages: str, how: str = ""
) -> None:
    """Write rows and what they were measured on; arguments as of ``note``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    report = {**note(command, *packages, how=how), "rows": rows}
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
