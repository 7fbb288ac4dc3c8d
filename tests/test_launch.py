"""A process among several, and its device."""

from __future__ import annotations

import re

import pytest
import torch

from airkit.errors import DeviceError, LaunchError
from airkit.system.device import own_device, pick_device
from airkit.system.processes import Launch, launched, muted
from airkit.training.parallel import check_batch


def test_where_a_process_is() -> None:
    place = {"RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for alone in ({}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}):
        assert launched({**place, **alone}) == Launch()
    two = {**place, "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    assert launched(two) == Launch(3, 1, 4, 2)
    assert launched({**place, "WORLD_SIZE": "4"}) == Launch(3, 1, 4, 4)
    programs = [launched(two).program, Launch(0, 0, 2, 2).program, Launch().program]
    assert programs == [
        "torchrun ... -m -- airkit",
        "torchrun --nproc-per-node 2 -m -- airkit",
        "airkit",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"MASTER_ADDR": None},
        {"MASTER_PORT": ""},
        {"LOCAL_RANK": None},
        {"RANK": "2"},
        {"RANK": "-1"},
        {"LOCAL_RANK": "-1"},
        {"WORLD_SIZE": "two"},
    ],
)
def test_no_way_to_meet(monkeypatch: pytest.MonkeyPatch, change: dict[str, str | None]) -> None:
    names = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    place = {**dict(zip(names, ("2", "1", "1", "here", "99"), strict=True)), **change}
    given = {name: value for name, value in place.items() if value is not None}
    with pytest.raises(LaunchError) as caught:
        launched(given)
    got = ", ".join(f"{name}={given[name]}" for name in names if name in given)
    assert f"  got       {got}\n" in str(caught.value)
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert muted() == (given.get("LOCAL_RANK", "0") != "0")


@pytest.mark.parametrize(
    ("size", "count", "hint"),
    [
        (64, 3, "2 in all with torchrun --nproc-per-node, or, for a new run, "
         "--set train.batch_size=63"),
        (4, 6, "4 in all with torchrun --nproc-per-node, or, for a new run, "
         "--set train.batch_size=6"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_shared(size: int, count: int, hint: str) -> None:
    with pytest.raises(LaunchError, match=re.escape(hint)):
        check_batch(size, Launch(0, 0, count))
    check_batch(size, Launch(0, 0, 2))


def test_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert own_device("cuda:1", Launch()) == torch.device("cuda:1")
    assert own_device("cpu", Launch(2, 2, 3)) == torch.device("cpu")
    assert chosen == []
    assert own_device("auto", Launch(5, 1, 6)) == torch.device("cuda:1")
    assert chosen == [1]
    with pytest.raises(DeviceError, match="There are more processes than GPUs on a machine"):
        own_device("cuda", Launch(2, 2, 3))
    with pytest.raises(DeviceError, match="Several processes cannot share a device"):
        own_device("cuda:1", Launch(1, 1, 2))


def test_devices_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(DeviceError, match=r"(?m)^  expected  one of cpu$"):
            pick_device(name)


def test_devices_with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="one of cpu, cuda"):
        pick_device("cuda:2")
