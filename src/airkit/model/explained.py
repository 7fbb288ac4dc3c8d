"""Images and what was found in them: what splits and restarts begin with.

Legend: B images, M chosen ones, C channels, H height, T slots, W width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model import tuples
from airkit.model.air import AIR
from airkit.model.canvas import Canvas
from airkit.model.counts import first_slots
from airkit.model.parts import Around
from airkit.model.search import Found


class Explained(NamedTuple):
    """Images, what was found in them, and how many of these objects are there.

    Attributes:
        air: the trained model.
        ink: ``Background.ink``, [B, C, H, W].
        found: what a search found.
        counts: how many of its objects are there, [B].
    """

    air: AIR
    ink: Tensor
    found: Found
    counts: Tensor

    @property
    def present(self) -> Tensor:
        """Which slots are among the first ``counts``, [B, T]."""
        return first_slots(self.counts, self.air.slots)

    @property
    def score(self) -> Tensor:
        """The score of the objects that are there, [B]."""
        return self.found.score(self.counts)

    @property
    def odds_against(self) -> float:
        """The log prior odds against one more object, in nats."""
        return -math.log(self.air.prior_ratio)

    def rows(self, index: Tensor) -> Explained:
        """The images at ``index``."""
        parts = self.ink, self.found, self.counts
        return Explained(self.air, *tuples.rows(parts, index))

    def replaced(self, rows: Tensor, found: Found, counts: Tensor) -> Explained:
        """With ``found``, and ``counts`` [M] of its objects, in the images at ``rows`` [M]."""
        found = tuples.with_rows(self.found, rows, found)
        return self._replace(found=found, counts=self.counts.index_copy(0, rows, counts))

    def unexplained(self, canvas: Canvas) -> Tensor:
        """What is unexplained around each object, beyond its KL, in nats, [B, T].

        It is -inf from slot ``counts`` on. ``canvas`` has all objects.
        """
        found = self.found
        around = Around.of(self.air, found.size.flatten(), found.centre.flatten(0, 1))
        left = canvas.residual().read(around.patches).chunk(2, 1)[1]
        nats = around.nats(self.air, left).view_as(found.size) - found.kl
        return nats.masked_fill(~self.present, -math.inf)

    def painted(self, present: Tensor) -> Canvas:
        """The canvas of the objects that are ``present`` [B, T]."""
        canvas, found = self.air.canvas(self.ink), self.found
        for t in range(int(self.counts.max())):
            windows = found.windows[:, t] * present[:, t, None, None, None]
            canvas.add(windows, found.size[:, t], found.centre[:, t])
        return canvas

    def only(self, kept: Tensor) -> Found:
        """What was found, with nothing in slots that are not ``kept`` [B, T]."""
        *parts, scores = self.found
        *blank, _ = Found.nothing(self.air, scores[:, 0])
        return Found._make(
            [*(_where(kept, *both) for both in zip(parts, blank, strict=True)), scores]
        )


def best_of_each(image: Tensor, gain: Tensor) -> Tensor:
    """Indices of the greatest ``gain`` [M] of each ``image`` [M], where that is more than 0."""
    order = gain.argsort(descending=True, stable=True)
    order = order[image[order].argsort(stable=True)]
    first = image[order].diff(prepend=image.new_full((1,), -1)) != 0
    best = order[first]
    return best[gain[best] > 0]


def _where(present: Tensor, part: Tensor, other: Tensor) -> Tensor:
    """Parts [B, T, ...] where slots are ``present`` [B, T], others elsewhere."""
    return torch.where(present.view(*present.shape, *(1,) * (part.dim() - 2)), part, other)
