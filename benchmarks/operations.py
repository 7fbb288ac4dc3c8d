"""Counts and times of the operations of a training step, where PyTorch dispatches them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from steps import now
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

SIDES = 512, 1024, 2048, 4096
"""Of the square products whose best is the peak; 4096 on a GPU alone."""
PICKING = torch.ops.aten.index, torch.ops.aten.index_select, torch.ops.aten.gather
"""What reads no more of its first input than it returns."""


class Operation(NamedTuple):
    """One call of an operator, in the backward pass and inside custom gradients too."""

    flop: int
    """Of a matrix product; 0 for all else."""
    bytes: int
    """Of its inputs and outputs; 0 for a view."""
    seconds: float


class Log(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation while active, in order."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.found: list[Operation] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        began = now(self.device)
        out = func(*args, **named)
        seconds = now(self.device) - began
        count = flop_registry.get(func._overloadpacket)
        flop = count(*args, **named, out_val=out) if count else 0
        read = (out, *args[1:]) if func._overloadpacket in PICKING else args
        moved = 0 if func.is_view else sum(map(size, tree_leaves((read, named, out))))
        self.found.append(Operation(flop, moved, seconds))
        return out


def size(value: object) -> int:
    """Bytes of a tensor, what is expanded counted once; 0 of anything else."""
    if not isinstance(value, Tensor):
        return 0
    return min(value.nbytes, value.untyped_storage().nbytes())


def summary(
    logs: list[list[Operation]], step_ms: float, peak: float, device: str
) -> dict[str, Any]:
    """What a step of ``step_ms`` computes and moves, and the shares of its time, by logs of some.

    A logged operation took what it takes to run less what an empty one does, so that the shares
    of products and of other operations are work alone. The rest is the price of having
    operations: Python and dispatch, and on a GPU launches.
    """
    idle = empty(device)
    products, others = (
        1000 * median(sum(max(0.0, each.seconds - idle) for each in part) for part in parts)
        for parts in zip(*map(split, logs), strict=True)
    )
    last, gflop = logs[-1], sum(each.flop for each in logs[-1]) / 1e9
    return {
        "gflop": gflop,
        "megabytes": sum(each.bytes for each in last) / 1e6,
        "operations": len(last),
        "products": len(split(last)[0]),
        "peak_gflop_per_second": peak,
        "share_of_peak": 1000 * gflop / step_ms / peak,
        "share_of_peak_in_products": 1000 * gflop / products / peak,
        "share_products": products / step_ms,
        "share_other_operations": others / step_ms,
        "share_overhead": 1 - (products + others) / step_ms,
        "empty_operation_us": 1e6 * plain_empty(device),
    }


def split(log: list[Operation]) -> tuple[list[Operation], list[Operation]]:
    """Matrix products, and all else."""
    return [each for each in log if each.flop], [each for each in log if not each.flop]


def logged(
    step: Callable[[int], Any], first: int, steps: int, device: str
) -> list[list[Operation]]:
    """The log of each step, after one that is not kept."""
    found = []
    for number in range(first, first + 1 + steps):
        with Log(device) as log:
            step(number)
        found.append(log.found)
    return found[1:]


def empty(device: str) -> float:
    """Seconds that the log finds for an operation on one number."""
    one = torch.ones(1, device=device)
    with Log(device) as log:
        for _ in range(2000):
            one.neg()
    found: list[Operation] = log.found
    return median(each.seconds for each in found)


def plain_empty(device: str) -> float:
    """Seconds from one operation on one number to the next, without a log."""
    one, many, times = torch.ones(1, device=device), 500, []
    for _ in range(20):
        began = now(device)
        for _ in range(many):
            one.neg()
        times.append((now(device) - began) / many)
    return median(times)


def peak(dtype: torch.dtype, device: str, seconds: float) -> float:
    """GFLOP a second of the best of many large square products."""
    best = 0.0
    sides = SIDES if device != "cpu" else SIDES[:-1]
    for side in sides:
        one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        until = time.perf_counter() + seconds / len(sides)
        while time.perf_counter() < until:
            began = now(device)
            torch.mm(one, other)
            best = max(best, 2 * side**3 / 1e9 / (now(device) - began))
    return best
