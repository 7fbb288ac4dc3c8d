"""Backgrounds, texture and noise of drawn scenes.

The same bytes on every machine: random numbers are looked up in tables of rounded values, sums are
of integers, and every other operation on floats is exactly rounded.

Shapes: N canvases of side H.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from airkit.data.placement import Words
from airkit.data.raster import Floats, Ints
from airkit.data.shapes import directions

LUMPS, GRAIN = 8.0, 1.5
"""Standard deviation, in pixels, of the Gaussian that blurs white noise into lumps, texture."""
_SCALE = 2**12  # sum of the weights of a blur
_LEVELS = 512  # levels of light from 0 to 1 that photons are drawn at
_BRIGHTEST = 2  # more light than this is as good as this, since pixels end at 1


def gradient(low: Floats, high: Floats, turn: Ints, size: int) -> Floats:
    """Grey that rises linearly from ``low`` [N] in one corner to ``high`` in another: [N, H, H].

    Args:
        low: the least grey of each canvas.
        high: the greatest.
        turn: the direction of the rise, 0 to ``TURNS`` - 1, [N].
        size: H.
    """
    grid = np.arange(size) - (size - 1) / 2
    cosines, sines = (table[turn][:, None] for table in directions())
    rise = (cosines * grid)[:, None, :] + (sines * grid)[:, :, None]
    most = (np.abs(cosines) + np.abs(sines)) * (max(size - 1, 1) / 2)
    share = (rise / most[:, :, None] + 1) / 2
    return low[:, None, None] + (high - low)[:, None, None] * share


def lamp(low: Floats, high: Floats, x: Ints, y: Ints, size: int) -> Floats:
    """Grey that falls off with the squared distance from a lamp: [N, H, H].

    Args:
        low: the grey of each canvas in the corner farthest from the lamp, [N].
        high: that under the lamp.
        x: its column, [N].
        y: its row.
        size: H.
    """
    across, down = (np.square(np.arange(size) - place[:, None]) for place in (x, y))
    farthest = across.max(1) + down.max(1)
    share = (down[:, :, None] + across[:, None, :]) / farthest[:, None, None]
    light: Floats = high[:, None, None] - (high - low)[:, None, None] * share
    return light


def smooth(words: Words, size: int, sd: float) -> Floats:
    """White noise blurred by a Gaussian, in whole numbers of mean near 0: f64 [N, H, H].

    Args:
        words: random words [N, at least ceil(H^2 / 8)].
        size: H.
        sd: standard deviation of the Gaussian, in pixels.
    """
    noise = np.ascontiguousarray(words, "<u8").view(np.uint8)[:, : size * size]
    weights = _blur(size, sd)
    centred = noise.reshape(-1, size, size).astype(np.float64) - 127.5
    blurred: Floats = weights @ (2 * centred) @ weights.T
    return blurred


def lumps(words: Words, size: int) -> Floats:
    """Soft lumps from 0 to 1, both of which each canvas reaches: f64 [N, H, H]."""
    field = smooth(words, size, LUMPS)
    field -= field.min((1, 2), keepdims=True)
    return np.asarray(field / np.maximum(field.max((1, 2), keepdims=True), 1))


def texture(words: Words, size: int, sd: float) -> Floats:
    """Factors of mean near 1 and standard deviation ``sd``, cut at two of them: [N, H, H]."""
    field = smooth(words, size, GRAIN)
    squares = float(np.square(_blur(size, GRAIN)[size // 2]).sum())  # of integers
    variance = squares**2 * (256**2 - 1) / 3  # of twice a byte
    factors: Floats = np.maximum(1 + np.clip(field / math.sqrt(variance), -2, 2) * sd, 0)
    return factors


def gaussian(words: Words, size: int) -> Floats:
    """Standard normal noise: f64 [N, H, H].

    Args:
        words: random words [N, at least ceil(H^2 / 4)].
        size: H.
    """
    short = np.ascontiguousarray(words, "<u8").view("<u2")[:, : size * size]
    noise: Floats = _quantiles()[short].reshape(-1, size, size)
    return noise


def poisson(light: Floats, photons: float, words: Words) -> Floats:
    """Light as a camera counts it that sees ``photons`` at full light: f64 [N, H, H].

    Args:
        light: from 0, full light being 1; [N, H, H].
        photons: mean number at full light.
        words: random words [N, at least ceil(H^2 / 2)].
    """
    level = np.minimum(light * _LEVELS + 0.5, _LEVELS * _BRIGHTEST).astype(np.int64)
    long = np.ascontiguousarray(words, "<u8").view("<u4")[:, : level[0].size].reshape(level.shape)
    edges, width = _poisson_edges(photons)
    keys = (level << 32) + long
    found = np.searchsorted(edges, keys, side="right")
    return np.asarray((found - level * width) / photons)


@lru_cache(maxsize=8)
def _blur(size: int, sd: float) -> Floats:
    """Gaussian weights in whole numbers, about ``_SCALE`` in a row: f64 [H, H]."""
    grid = np.arange(size)
    weights = np.exp(-((grid - grid[:, None]) ** 2) / (2 * sd * sd))
    whole: Floats = np.rint(weights / weights.sum(1, keepdims=True) * _SCALE)
    return whole


@lru_cache(maxsize=1)
def _quantiles() -> Floats:
    """Quantiles of the standard normal distribution, in multiples of 2^-16: f64 [2^16]."""
    upper = [NormalDist().inv_cdf(0.5 + (k + 0.5) / 2**16) for k in range(2**15)]
    rounded = np.rint(np.array(upper) * 2**16) / 2**16
    return np.concatenate([-rounded[::-1], rounded])


@lru_cache(maxsize=2)
def _poisson_edges(photons: float) -> tuple[NDArray[np.int64], int]:
    """Cumulative Poisson probabilities of every level of light, one after the other.

    Returns:
        The probabilities in multiples of 2^-24, in units of 2^-32 and plus 2^32 for each level:
        ascending, i64 [levels x width]; and the width, the number of counts of each level.
    """
    means = np.arange(_LEVELS * _BRIGHTEST + 1) * (photons / _LEVELS)
    width = math.ceil(means[-1] + 8 * math.sqrt(means[-1]) + 16)
    mass = np.array([math.exp(-mean) for mean in means])
    total = mass.copy()
    parts = np.empty((len(means), width))
    for count in range(width):
        parts[:, count] = total
        mass = mass * means / (count + 1)
        total = total + mass
    units = np.minimum(np.rint(parts * 2**24), 2**24).astype(np.int64) << 8
    return (units + (np.arange(len(means))[:, None] << 32)).ravel(), width
