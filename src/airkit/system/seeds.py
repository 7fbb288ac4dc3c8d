"""One seed, many independent random streams, each with a name.

A stream depends on (seed, name, indices) alone, so that drawing more from one never moves
another, and nothing needs to be saved to go on where a run stopped.
"""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, name: str, *indices: int) -> np.random.SeedSequence:
    """The seed sequence of stream ``name`` under ``seed``; ``indices`` number its parts.

    Args:
        seed: the user's seed, a non-negative integer.
        name: the stream's name, such as ``"batches"``.
        indices: non-negative integers, such as the epoch or the step.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *indices))


def generator(seed: int, name: str, *indices: int) -> np.random.Generator:
    """A NumPy generator on stream ``name`` of ``seed`` (PCG64)."""
    return np.random.Generator(np.random.PCG64(sequence(seed, name, *indices)))


def integer(seed: int, name: str, *indices: int) -> int:
    """A 63-bit integer from stream ``name`` of ``seed``, to seed another library's generator."""
    return int(sequence(seed, name, *indices).generate_state(1, np.uint64)[0] >> np.uint64(1))
