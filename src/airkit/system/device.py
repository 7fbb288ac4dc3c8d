"""Devices, their random generators, and deterministic algorithms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from airkit.errors import DeviceError
from airkit.system import seeds
from airkit.system.processes import Launch

SAME_BITS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MKL_CBWR": "AUTO,STRICT"}
"""Environment variables of cuBLAS and MKL; MKL reads its own once, when it is first used."""


def generator(seed: int, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator on a named random stream of a seed."""
    return torch.Generator(device).manual_seed(seeds.integer(seed, stream))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generators while inside, of the CPU and of a CUDA ``device``.

    Their states are restored at the end.
    """
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed visits every backend
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def is_gpu(name: str) -> bool:
    """Whether ``train.device`` names a CUDA GPU; auto does where there is one."""
    return name.startswith("cuda") or (name == "auto" and torch.cuda.is_available())


def pick_device(name: str) -> torch.device:
    """Return the device that ``train.device`` names; auto is a CUDA GPU where there is one.

    Raises:
        DeviceError: this machine has no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    device = torch.device(name)
    count = {"cpu": 1, "cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps)}
    if (device.index or 0) >= count[device.type]:
        raise DeviceError(
            "There is no such device here",
            where="train.device",
            expected="one of " + ", ".join(kind for kind, number in count.items() if number),
            got=name,
            hint="--device auto takes the best there is",
        )
    return device


def own_device(name: str, launch: Launch) -> torch.device:
    """Return the device of one of several processes; on GPUs, each process has its own.

    Raises:
        DeviceError: this machine has no such device, or too few of them.
    """
    device = pick_device(name)
    if launch.alone or device.type == "cpu":
        return device
    if device.type == "mps" or device.index is not None:
        raise DeviceError(
            "Several processes cannot share a device",
            where="train.device",
            expected="cpu, or cuda for a GPU each",
            got=f"{name}, for {launch.count} processes",
            hint="--device cuda",
        )
    count = torch.cuda.device_count()
    if launch.local_rank >= count:
        raise DeviceError(
            "There are more processes than GPUs on a machine",
            where="train.device",
            expected=f"at most {count} a machine: two cannot share a GPU",
            got=f"process {launch.local_rank + 1} of a machine",
            hint=f"torchrun --nproc-per-node {count} -m -- airkit train, or --device cpu",
        )
    torch.cuda.set_device(launch.local_rank)  # where NCCL and others look when not told
    return torch.device("cuda", launch.local_rank)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Use deterministic algorithms alone while inside, if ``wanted``.

    PyTorch's global settings are restored at the end. cuDNN needs none: AIR's networks are plain
    matrix products.
    """
    if not wanted:
        yield
        return
    memory: Any = torch.utils.deterministic
    chosen = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = memory.fill_uninitialized_memory
    with _environment(SAME_BITS):
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False  # finds bugs, and costs time
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(chosen, warn_only=warns)
            memory.fill_uninitialized_memory = fills


def needs_deterministic(tensor: Tensor) -> bool:
    """Whether ``tensor`` is on a GPU while deterministic algorithms are asked for.

    A few operations have none on CUDA and need another way round then.
    """
    return tensor.is_cuda and torch.are_deterministic_algorithms_enabled()


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while inside, except those that are set already."""
    new = [name for name in wanted if name not in os.environ]
    os.environ.update({name: wanted[name] for name in new})
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
