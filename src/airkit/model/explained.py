"""Images and what was found in them, and how splits, restarts and merges change that.

Legend: B images, M chosen ones, C channels, H height, T slots, W width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model import tuples
from airkit.model.air import AIR, Object
from airkit.model.canvas import Canvas
from airkit.model.counts import first_slots
from airkit.model.parts import Around, Window
from airkit.model.search import Found, left_unexplained, odds_against

NEIGHBOURS = 0.75
"""Objects are neighbours if their centres are nearer along both axes than this multiple of their
windows' mean side."""


class Change(NamedTuple):
    """Other objects in place of some of those in M images; they come after those that stay.

    Attributes:
        kept: the slots that stay, [M, T].
        objects: the objects in place of the others, [M, P, ...].
        kl: of their latents, in nats, [M, P].
        many: how many of these objects are there, [M].
        charge: what the last of these is charged, in nats, [M].
    """

    kept: Tensor
    objects: Object
    kl: Tensor
    many: Tensor
    charge: Tensor

    def padded(self, most: int) -> Change:
        """With P = ``most``; the last object is repeated."""
        last = torch.arange(most, device=self.kl.device).clamp(max=self.kl.shape[1] - 1)
        objects, kl = tuples.map_tensors(lambda part: part[:, last], (self.objects, self.kl))
        return self._replace(objects=objects, kl=kl)


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
        return odds_against(self.air)

    @property
    def neighbours(self) -> Tensor:
        """Which objects are near each other, and each to itself, [B, T, T]."""
        size, centre, present = self.found.size, self.found.centre, self.present
        apart = (centre[:, :, None] - centre[:, None]).abs().amax(3)
        near = apart < NEIGHBOURS * (size[:, :, None] + size[:, None])  # a window is 2 size wide
        return near & present[:, :, None] & present[:, None]

    def rows(self, index: Tensor) -> Explained:
        """The images at ``index``."""
        parts = self.ink, self.found, self.counts
        return Explained(self.air, *tuples.rows(parts, index))

    def replaced(self, rows: Tensor, found: Found, counts: Tensor) -> Explained:
        """With ``found``, and ``counts`` [M] of its objects, in the images at ``rows`` [M]."""
        found = tuples.with_rows(self.found, rows, found)
        return self._replace(found=found, counts=self.counts.index_copy(0, rows, counts))

    def poor(self, least: float) -> Tensor:
        """Indices of images in which more than ``least`` nats may be unexplained around an object.

        Judged by the error of the whole image: to find what is ``unexplained`` around each takes
        longer.
        """
        found, present = self.found, self.present
        costs = ((found.kl + found.charges) * present).sum(1)
        left = left_unexplained(self.air, self.score + costs - self.air.log_prior[self.counts])
        cheapest = found.kl.masked_fill(~present, math.inf).amin(1)
        return (left - cheapest > least).nonzero().squeeze(1)

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

    def window(self, slot: Tensor) -> Window:
        """The window of the object at ``slot`` [B] of each image."""
        images, found = torch.arange(len(slot), device=slot.device), self.found
        return found.windows[images, slot], found.size[images, slot], found.centre[images, slot]

    def without(self, canvas: Canvas, *slots: Tensor) -> Canvas:
        """``canvas``, which has all objects and is used up, without those at ``slots`` [B] each."""
        if self.air.occludes:
            others = self.present
            for slot in slots:
                others.scatter_(1, slot[:, None], value=False)
            return self.painted(others)
        for slot in slots:  # faster than to paint all others
            window, *place = self.window(slot)
            canvas.add(-window, *place)
        return canvas

    def after(self, change: Change) -> Explained:
        """With a change to each image."""
        air, ink, _, _ = self
        kept, objects, kl, many, charge = change
        images, first = torch.arange(len(ink), device=ink.device), kept.sum(1)
        *parts, scores = self.only(kept)
        found = Found._make([*(kept_first(part, kept) for part in parts), scores])
        for k in range(kl.shape[1]):
            rows = (k < many).nonzero().squeeze(1)
            object_k = tuples.map_tensors(lambda part, at=k: part[:, at], objects)
            found.put(rows, first[rows] + k, tuples.rows(object_k, rows), kl[rows, k])
        counts = first + many
        found.charges[images, counts - 1] += charge
        most = int(counts.max()) if len(counts) else 0
        return Explained(air, ink, found.scored(air, ink, most), counts)

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


def nothing_refused(ink: Tensor) -> Tensor:
    """The gains of the best changes that were refused, before any: -inf, [B]."""
    return torch.full_like(ink[:, 0, 0, 0], -math.inf)


def note_refused(refused: Tensor, image: Tensor, gain: Tensor) -> None:
    """Put the gains [M] of changes to images [M] into ``refused`` [B], where none was better.

    Those that gain something are not refused.
    """
    refused.scatter_reduce_(0, image, gain.masked_fill(gain > 0, -math.inf), "amax")


def kept_first(parts: Tensor, kept: Tensor) -> Tensor:
    """Parts [M, T, ...] with those of ``kept`` slots [M, T] before the others."""
    order = kept.byte().argsort(dim=1, descending=True, stable=True)
    return parts[torch.arange(len(parts), device=parts.device)[:, None], order]


def _where(present: Tensor, part: Tensor, other: Tensor) -> Tensor:
    """Parts [B, T, ...] where slots are ``present`` [B, T], others elsewhere."""
    return torch.where(present.view(*present.shape, *(1,) * (part.dim() - 2)), part, other)
