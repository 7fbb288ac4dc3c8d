"""Freed memory stays with the process, for the next step to take."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys, torch
from airkit.training.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
block = torch.empty(24 * 2**20, dtype=torch.uint8)
(heap,) = (line.split()[0] for line in open("/proc/self/maps") if line.endswith("[heap]\\n"))
start, end = (int(each, 16) for each in heap.split("-"))
print(start <= block.data_ptr() < end)
"""


def _on_the_heap(what: str) -> bool:
    """Whether a large block is part of what a process keeps, or on loan from the system."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout == "True\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries differ")
def test_large_blocks_come_from_the_heap_once_memory_is_kept() -> None:
    assert _on_the_heap("kept")
    assert not _on_the_heap("given back")
