"""Counter-based random numbers for canvases: canvas i owns a fixed range of a stream's words.

Numbers are drawn by comparing and multiplying integers, so that no machine's rounding changes
them.

Shapes: n canvases.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.digits import SPLITS
from airkit.data.raster import Ints
from airkit.system import seeds

Words = NDArray[np.uint64]

_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)


def draw_counts(config: DataConfig, split: str, start: int, stop: int) -> Ints:
    """Number of digits on canvases ``start`` to ``stop`` (excluded) of ``split``: i64 [n].

    The counts have a stream of their own, so that laying out a canvas never changes its count.
    """
    weights = config.count_weights or (1.0,) * (config.max_digits - config.min_digits + 1)
    parts = np.cumsum(np.array(weights) / max(weights))
    edges = np.floor(parts / parts[-1] * 2**32).astype(np.uint64)
    stream = seeds.sequence(config.seed, "counts", SPLITS.index(split))
    words = owned_words(stream, start, stop, 1)[:, 0] >> _HALF
    return config.min_digits + np.searchsorted(edges, words, side="right")


def side_edges(config: DataConfig) -> tuple[int, Words]:
    """Distribution of a patch's side, for inverse transform sampling with 32-bit words.

    Sides are round(N(digit_size, digit_size_sd)) given that the normal is within three standard
    deviations. Probabilities are multiples of 2^-20, far coarser than the error of any erf.

    Returns:
        The least side, and the cumulative probabilities of it and of each greater side, in
        units of 2^-32: u64 [sides].
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
    """Random words of canvases ``start`` to ``stop`` (excluded), ``width`` each: u64 [n, width].

    Philox counts in steps of four words, so that a canvas owns a whole number of steps.
    """
    steps = -(-width // 4)
    bits = np.random.Philox(stream)
    bits.advance(start * steps)
    words: Words = bits.random_raw((stop - start) * steps * 4)
    return words.reshape(stop - start, steps * 4)[:, :width]


def below(bound: Words | np.uint64, word: Words) -> Ints:
    """Map 32-bit words to integers in 0..bound - 1, uniform to within bound / 2^32."""
    return ((word * bound) >> _HALF).astype(np.int64)
