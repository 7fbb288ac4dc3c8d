"""Named, independent random streams of one seed.

A stream depends on (seed, name, indices) alone, so that drawing more from one never changes
another, and no random state has to be saved to resume a run.
"""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, name: str, *indices: int) -> np.random.SeedSequence:
    """Return the seed sequence of a stream.

    Args:
        seed: the user's seed, a non-negative integer.
        name: the stream's name, such as ``"batches"``.
        indices: non-negative integers that number the parts of the stream, such as the step.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *indices))


def generator(seed: int, name: str, *indices: int) -> np.random.Generator:
    """Return a NumPy generator (PCG64) on stream ``name`` of ``seed``."""
    return np.random.Generator(np.random.PCG64(sequence(seed, name, *indices)))


def integer(seed: int, name: str, *indices: int) -> int:
    """Return a 63-bit integer from stream ``name``, to seed another library's generator."""
    return int(sequence(seed, name, *indices).generate_state(1, np.uint64)[0] >> np.uint64(1))
