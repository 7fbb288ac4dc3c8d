"""Which of several processes this one is, as ``torchrun`` tells it. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from airkit.errors import LaunchError

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""The variables that ``torchrun`` sets, and all that is needed to meet the other processes."""


@dataclass(frozen=True)
class Launch:
    """This process among those that train together; by default there is no other."""

    rank: int = 0
    """Its number among all; the first one writes and speaks."""
    local_rank: int = 0
    """Its number among those on this machine."""
    count: int = 1
    """How many processes there are."""

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1


def launched(environment: Mapping[str, str] | None = None) -> Launch:
    """Read the process's place from ``environment``, by default that of the process.

    Without ``WORLD_SIZE``, or where it is 1, nothing else is looked at.

    Raises:
        LaunchError: there should be other processes, and the way to meet them is not told.
    """
    found = os.environ if environment is None else environment
    if found.get("WORLD_SIZE", "1") in ("", "1"):
        return Launch()
    try:
        count, rank, local_rank = (int(found[name]) for name in NAMES[:3])
        fits = all(found[name] for name in NAMES[3:]) and 0 <= rank < count
    except (KeyError, ValueError):
        fits = False
    if not fits or local_rank < 0:
        raise LaunchError(
            "The environment tells of several processes, and not how they meet",
            where=", ".join(NAMES),
            expected="what torchrun sets, with 0 <= RANK < WORLD_SIZE",
            got=", ".join(f"{name}={found[name]}" for name in NAMES if name in found),
            hint="torchrun --nproc-per-node 2 -m airkit train, or unset WORLD_SIZE for one process",
        )
    return Launch(rank, local_rank, count)


def muted() -> bool:
    """Whether another process speaks for this one; never raises."""
    try:
        return launched().rank > 0
    except LaunchError:
        return os.environ.get("LOCAL_RANK", "0") != "0"
