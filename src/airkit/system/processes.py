"""This process's place among several, as ``torchrun`` gives it. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from airkit.errors import LaunchError

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that ``torchrun`` sets, by which processes find each other."""


@dataclass(frozen=True)
class Launch:
    """This process among those that train together; by default it is alone."""

    rank: int = 0
    """Its number among all, from 0; rank 0 writes files and prints."""
    local_rank: int = 0
    """Its number among those on this machine, from 0."""
    count: int = 1
    """Number of processes."""
    local_count: int = 1
    """Number of processes on this machine."""

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    @property
    def program(self) -> str:
        """The program in commands that a user is told to try."""
        if self.alone:
            return "airkit"
        here = f"--nproc-per-node {self.local_count}"
        return f"torchrun {here if self.local_count == self.count else '...'} -m -- airkit"


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return the process's place, read from the environment.

    Without ``WORLD_SIZE``, or where it is 1, no other variable is read.

    Raises:
        LaunchError: there are several processes, but variables are missing or contradict.
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
            "The environment names several processes, but not how they find each other",
            where=", ".join(NAMES),
            expected="what torchrun sets, with 0 <= RANK < WORLD_SIZE",
            got=", ".join(f"{name}={environment[name]}" for name in NAMES if name in environment),
            hint="torchrun --nproc-per-node 2 -m -- airkit train, or unset WORLD_SIZE to be alone",
        )
    return Launch(rank, local_rank, count, local_count)


def several(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment names several processes."""
    return environment.get("WORLD_SIZE", "1") not in ("", "1")


def muted() -> bool:
    """Return whether another process prints in place of this one; never raises."""
    try:
        return launched().rank > 0
    except LaunchError:
        return os.environ.get("LOCAL_RANK", "0") != "0"
