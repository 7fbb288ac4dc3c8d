"""What cannot fit into memory is refused in words, and nothing else is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import data_file, fit, reference

import airkit
from airkit.data.dataset import CanvasDataset
from airkit.data.make import make_data
from airkit.errors import NoMemoryError
from airkit.runs.folder import RunFolder
from airkit.system import memory

FREE = {"MemAvailable": 4 * 2**20, "SwapFree": 2**20}  # kB


@pytest.fixture(name="machine")
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 5 GiB without limits, in the folder ``machine``."""
    machine = tmp_path / "machine"
    (machine / "proc/self").mkdir(parents=True)
    lines = [f"{name}:  {number} kB" for name, number in FREE.items()]
    (machine / "proc/meminfo").write_text("\n".join([*lines, "HugePages_Free: 0"]))
    monkeypatch.setattr(memory, "PROC", machine / "proc")
    monkeypatch.setattr(memory, "GROUPS", machine / "groups")
    return machine


def limited(machine: Path, group: str, limit: object, *, cgroup: str = "", **stat: int) -> None:
    """Put the process into a control group with a limit."""
    folder = machine / "groups" / group
    folder.mkdir(parents=True, exist_ok=True)
    name = "memory.limit_in_bytes" if "total_rss" in stat else "memory.max"
    (folder / name).write_text(f"{limit}\n")
    (folder / "memory.stat").write_text("".join(f"{k} {v}\n" for k, v in stat.items()))
    (machine / "proc/self/cgroup").write_text(cgroup)


def has(monkeypatch: pytest.MonkeyPatch, there: float) -> None:
    monkeypatch.setattr(memory, "available", lambda _=None: (there, "what is free"))


# What there is


def test_what_is_free(machine: Path) -> None:
    assert memory.available() == (5 * 2**30, "what is free")
    limited(machine, "", "max", anon=7)
    assert memory.available()[0] == 5 * 2**30
    limited(machine, "memory", 2**63 - 4096, total_rss=7)
    assert memory.available()[0] == 5 * 2**30


@pytest.mark.parametrize(
    ("group", "cgroup", "stat"),
    [
        ("", "0::/\n", {"anon": 2**20}),
        ("job", "0::/job/step\n", {"anon": 2**20, "file": 2**40}),
        ("memory", "4:memory:/\n", {"total_rss": 2**20}),
        ("memory/slurm", "4:memory:/slurm/job/step\n0::/\n", {"total_rss": 2**20}),
    ],
)
def test_limits_of_containers_and_jobs(
    machine: Path, group: str, cgroup: str, stat: dict[str, int]
) -> None:
    """Less what is in use, but for files that were read; what is swapped comes on top."""
    limited(machine, group, 2**28, cgroup=cgroup, **stat)
    there, named = memory.available()
    assert there == 2**28 - 2**20 + 2**30
    assert "limit" in named


def test_on_other_systems(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "proc/meminfo").unlink()
    assert 0 < memory.available()[0] < math.inf
    monkeypatch.delattr("os.sysconf")
    assert memory.available()[0] == math.inf
    memory.check(2**60, "Everything", where="here", hint="none")
    fit(machine / "run", train__steps=1)


def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"mem_get_info": (2**20, 2**30), "memory_reserved": 2**18, "memory_allocated": 2**17}
    for name, value in given.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    gpu = torch.device("cuda")
    assert memory.available(gpu) == (2**20 + 2**17, "what is free on the GPU")
    with pytest.raises(NoMemoryError, match="GPU"):
        memory.check(2**21, "It", where="here", hint="less", device=gpu)


# What is refused


def refused(work: Any, *args: Any, **keys: Any) -> str:
    with pytest.raises(NoMemoryError) as caught:
        work(*args, **keys)
    text = str(caught.value)
    assert "cannot fit into memory" in text
    assert "GB" in text
    return text


def test_making_canvases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, 10**9)
    large = {"data.canvas_size": 1024, "data.train": 2000}
    text = refused(make_data, tmp_path / "data.h5", settings=large, workers=8)
    assert "fewer --workers" in text
    assert not [*tmp_path.iterdir()]


def test_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 60 canvases of 24 px: 3 slots and 8 more, 4 bytes each."""
    need = 4 * 60 * 24 * 24 * (3 + 8)
    has(monkeypatch, need - 1)
    text = refused(fit, tmp_path / "run", train__batch_size=64)
    assert "train.batch_size=59 or less" in text
    assert not RunFolder(tmp_path / "run").saved()
    has(monkeypatch, need)
    fit(tmp_path / "run", train__batch_size=64, train__steps=1)


def test_images_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    need = 20 * 24 * 24
    has(monkeypatch, need - 1)
    assert str(data_file()) in refused(CanvasDataset, data_file(), "test")
    has(monkeypatch, need)
    CanvasDataset(data_file(), "test")


def test_looking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run, need = reference(), 4 * 4 * 12 * 24 * 24
    np.save(tmp_path / "image.npy", np.zeros((24, 24), np.uint8))
    has(monkeypatch, need - 1)
    assert "eval.batch_size" in refused(airkit.evaluate, run)
    refused(airkit.predict, run)
    refused(lambda: [*airkit.infer(tmp_path / "image.npy", run)])
    has(monkeypatch, need)
    airkit.evaluate(run)
