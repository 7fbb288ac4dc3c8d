"""The C library's memory, which a training step asks for again and again."""

from __future__ import annotations

import torch

_BYTES = 2**25 - 2**16
"""A little less than the greatest block that glibc takes for a hint, 32 MB."""


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, for the next step to take.

    glibc gives large freed blocks back to the system, which then clears them anew page by page:
    a fifth of a training step. What it holds for large follows the largest block that was freed
    so far (``mallopt``, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD); so one is. Elsewhere this does
    nothing.
    """
    block = torch.empty(_BYTES, dtype=torch.uint8, device="cpu")
    del block
