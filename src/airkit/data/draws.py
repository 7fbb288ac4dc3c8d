"""Random numbers for canvases: each canvas owns its words, whoever its neighbours are.

Numbers are drawn from 32-bit words by comparing and multiplying whole numbers, which no
machine's rounding can change.

Shapes: n canvases, each with its own words.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.sources import SPLITS
from airkit.system import seeds

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


def draw_counts(config: DataConfig, split: str, start: int, stop: int) -> Ints:
    """How many digits canvases ``start`` to ``stop`` hold, whatever their layout: i64 [N]."""
    weights = config.count_weights or (1.0,) * (config.max_digits - config.min_digits + 1)
    parts = np.cumsum(np.array(weights) / max(weights))
    edges = np.floor(parts / parts[-1] * 2**32).astype(np.uint64)
    stream = seeds.sequence(config.seed, "counts", SPLITS.index(split))
    words = owned_words(stream, start, stop, 1)[:, 0] >> _HALF
    return config.min_digits + np.searchsorted(edges, words, side="right")


def side_edges(config: DataConfig) -> tuple[int, Words]:
    """The least side of a patch, and for it and each greater one the words below which it is drawn.

    Sides are round(N(digit_size, digit_size_sd)) given that the normal is within three standard
    deviations, in steps of 2^-20: far above what one machine's erf may differ from another's.
    """
    mean, sd = config.digit_size, config.digit_size_sd
    least, most = (math.floor(end + 0.5) for end in config.digit_size_range)
    tail = math.erf(3 / math.sqrt(2))
    inner = [math.erf((side + 0.5 - mean) / sd / math.sqrt(2)) for side in range(least, most)]
    shares = [*((1 + value / tail) / 2 for value in inner), 1.0]
    return least, np.array([round(share * 2**20) << 12 for share in shares], np.uint64)


def halves(words: Words) -> tuple[Words, Words]:
    """The upper and the lower 32 bits of each word."""
    return words >> _HALF, words & _LOW


def owned_words(stream: np.random.SeedSequence, start: int, stop: int, width: int) -> Words:
    """Words of items ``start`` to ``stop`` of a stream, each owning ``width``: u64 [n, width].

    Philox counts in steps of four words, so an item owns a whole number of steps.
    """
    steps = -(-width // 4)
    bits = np.random.Philox(stream)
    bits.advance(start * steps)
    words: Words = bits.random_raw((stop - start) * steps * 4)
    return words.reshape(stop - start, steps * 4)[:, :width]


def below(bound: Words | np.uint64, word: Words) -> Ints:
    """Words of 32 bits as uniform numbers below ``bound``, off by at most bound / 2^32."""
    return ((word * bound) >> _HALF).astype(np.int64)
