"""Whether a count is right as often as its probability says.

The forecast is that the count found is the true one, and its probability is what
``Scene.count_probability`` gives that count. Legend: N canvases.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airkit.model.scene import Scene
from airkit.system.statistics import wilson

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

BINS = 10
"""Bins of equal width."""
_LEAST = float(np.finfo(np.float32).tiny)
"""The smallest normal number of float32, as the least probability, for logarithms."""


@dataclass(frozen=True)
class Bin:
    """Canvases whose counts have about the same probability."""

    low: float
    """Lower edge of the bin."""
    high: float
    """Upper edge of the bin."""
    canvases: int
    """Number of canvases."""
    confidence: float
    """Mean probability of the count found."""
    share: float
    """Share counted right."""
    interval: tuple[float, float]
    """Its 95 % interval (Wilson)."""


@dataclass(frozen=True)
class Calibration:
    """How well the probability of the count found says whether it is right.

    Both scores are least for the true probabilities, and are better than those of a constant where
    the probability tells right counts from wrong ones.
    """

    error: float
    """Expected calibration error: mean over ``bins``, weighted by canvases, of the distance of
    confidence and share (Guo et al., arXiv 1706.04599, equation 3; ten bins of equal width)."""
    brier: float
    """Mean squared distance of the probability from 1 where the count is right, 0 where it is wrong
    (Brier 1950)."""
    brier_constant: float
    """The same with ``count_accuracy`` as the probability of every count."""
    log_score: float
    """Mean of -log of the probability given to what is the case, right or wrong, in nats (Good
    1952); probabilities below 1.2e-38 count as that."""
    log_score_constant: float
    """The same with ``count_accuracy`` as the probability of every count."""
    bins: tuple[Bin, ...]
    """The bins that are not empty."""

    @property
    def points(self) -> list[tuple[float, float, tuple[float, float]]]:
        """Confidence, share right and its interval of each bin."""
        return [(each.confidence, each.share, each.interval) for each in self.bins]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores and bins as plain values, for JSON."""
        return asdict(self)


def confidences(scene: Scene) -> Floats:
    """Return the probability of the count of each canvas, and of all others together, [2, N].

    The second is summed, as 1 less the first is 0 where float32 has no more digits.
    """
    count = scene.count[:, None]
    others = scene.count_probability.scatter(1, count, 0.0).sum(1)
    found = scene.count_probability.gather(1, count).squeeze(1)
    return np.stack([found.cpu().numpy(), others.cpu().numpy()])


def calibration(confidence: Floats, right: Flags) -> Calibration:
    """Return how well a probability says whether the count is right.

    Args:
        confidence: probability of the count, and of all others together, [2, N].
        right: whether that count is the true one, [N].
    """
    sure, doubt = confidence.astype(np.float64)
    bins, share = _bins(sure, right), float(right.mean())
    distances = [each.canvases * abs(each.confidence - each.share) for each in bins]
    likely = np.maximum(np.where(right, sure, doubt), _LEAST)
    return Calibration(
        error=sum(distances) / len(right),
        brier=float(np.square(sure - right).mean()),
        brier_constant=share * (1 - share),
        log_score=float(-np.log(likely).mean()),
        log_score_constant=-sum(p * math.log(p) for p in (share, 1 - share) if p > 0) + 0.0,
        bins=bins,
    )


def _bins(sure: Floats, right: Flags) -> tuple[Bin, ...]:
    """Return bins of equal width by the probability of the count [N], without the empty ones."""
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=index / BINS,
            high=(index + 1) / BINS,
            canvases=int(inside.sum()),
            confidence=float(sure[inside].mean()),
            share=float(right[inside].mean()),
            interval=wilson(int(right[inside].sum()), int(inside.sum())),
        )
        for index in np.unique(place).tolist()
        for inside in [place == index]
    )
