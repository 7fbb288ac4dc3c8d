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
    local_count: int = 1
    """How many of them are on this machine."""

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    @property
    def program(self) -> str:
        """How such processes are started, for commands that a user is told to try."""
        if self.alone:
            return "airkit"
        here = f"--nproc-per-node {self.local_count}"
        return f"torchrun {here if self.local_count == self.count else '...'} -m -- airkit"


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read the process's place from the environment.

    Without ``WORLD_SIZE``, or where it is 1, nothing else is looked at.

    Raises:
        LaunchError: there should be other processes, and the way to meet them is not told.
    """
    if not several(environment):
        return Launch()
    try:
        count, rank, local_rank = (int(environment[name]) for name in NAMES[:3])
        local_count = int(environment.get("LOCAL_WORLD_SIZE", count))
        fits = all(environment[name] for name in NAMES[3:]) and 0 <= rank < count
    except (KeyError, ValueError):
        fits = False
    if not fits or local_rank < 0:
        raise LaunchError(
            "The environment tells of several processes, and not how they meet",
            where=", ".join(NAMES),
            expected="what torchrun sets, with 0 <= RANK < WORLD_SIZE",
            got=", ".join(f"{name}={environment[name]}" for name in NAMES if name in environment),
            hint="torchrun --nproc-per-node 2 -m -- airkit train, or unset WORLD_SIZE to be alone",
        )
    return Launch(rank, local_rank, count, local_count)


def several(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment tells of several processes."""
    return environment.get("WORLD_SIZE", "1") not in ("", "1")


def muted() -> bool:
    """Whether another process speaks for this one; never raises."""
    try:
        return launched().rank > 0
    except LaunchError:
        return os.environ.get("LOCAL_RANK", "0") != "0"
