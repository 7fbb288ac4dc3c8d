"""Freed memory stays with the process, for the next step to take."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from airkit.memory import keep_freed_memory

def step():
    blocks = [torch.empty(12 * 2**20, dtype=torch.uint8).fill_(1) for _ in range(4)]
    return sum(map(len, blocks))

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(what: str) -> int:
    """Pages that the system had to clear for twenty steps."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, what]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries differ")
def test_pages_are_cleared_once() -> None:
    assert 5 * _faults("kept") < _faults("given back")
