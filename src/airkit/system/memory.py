"""How much memory there is, so that what cannot fit is refused before it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airkit.errors import NoMemoryError

if TYPE_CHECKING:
    import torch

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Files with the limit of a control group, of version 2 and of version 1."""


def check(
    needed: int, what: str, *, where: object, hint: str, device: torch.device | None = None
) -> None:
    """Refuse work that surely does not fit.

    Args:
        needed: bytes that it takes at least.
        what: what takes them, such as "The batches of a training", for the message.
        where: the setting or the file that makes it so large.
        hint: the next step.
        device: where it computes; None for the CPU.

    Raises:
        NoMemoryError: there are fewer.
    """
    there, named = available(device)
    if needed > there:
        raise NoMemoryError(
            f"{what} cannot fit into memory",
            where=where,
            expected=f"at most {there / 1e9:.2f} GB, {named}",
            got=f"{needed / 1e9:.2f} GB at least",
            hint=hint,
        )


def available(device: torch.device | None = None) -> tuple[float, str]:
    """Bytes that this process may still take, infinite where that is not known, and of what."""
    if device and device.type == "cuda":
        return _on_gpu(device)
    host = _fields("meminfo", 1024)
    swap = host.get("SwapFree", 0)
    found = [(left + swap, "the rest of a container's or job's limit") for left in _in_groups()]
    if "MemAvailable" in host:
        found.append((host["MemAvailable"] + swap, "what is free"))
    else:  # no Linux
        with suppress(AttributeError, ValueError, OSError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            found.append((total, "what the machine has"))
    return min(found, default=(float("inf"), ""))


def _on_gpu(device: torch.device) -> tuple[float, str]:
    """Bytes free on a GPU, and those that PyTorch holds there without use."""
    from torch import cuda  # noqa: PLC0415 - not for make-data

    unused = cuda.memory_reserved(device) - cuda.memory_allocated(device)
    return cuda.mem_get_info(device)[0] + unused, "what is free on the GPU"


def _in_groups() -> Iterator[int]:
    """Bytes left of each limit of a control group that this process is in."""
    for folder in _folders():
        for name in _LIMITS:
            with suppress(OSError, ValueError):  # no such file, or "max"
                limit = int((folder / name).read_text())
                used = _fields(str(folder / "memory.stat"))
                yield limit - used.get("anon", used.get("total_rss", 0))


def _folders() -> Iterator[Path]:
    """Folders of the control groups of this process, as the host and as a container sees them."""
    yield from (GROUPS, GROUPS / "memory")
    with suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):
                own = GROUPS / kinds / path.lstrip("/")
                yield from (each for each in (own, *own.parents) if GROUPS in each.parents)


def _fields(name: str, unit: int = 1) -> dict[str, int]:
    """Numbers by name of a file of the system; none where there is no such file."""
    with suppress(OSError, ValueError, IndexError):
        lines = (PROC / name).read_text().splitlines()  # an absolute name stands for itself
        return {key.rstrip(":"): int(rest[0]) * unit for key, *rest in map(str.split, lines)}
    return {}
