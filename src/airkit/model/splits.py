"""Splits: two objects in place of one that leaves too much unexplained.

Where two objects touch, every look may end between them and find a bit of each. Such an object is
taken off the canvas, and two are read in its window instead, beginning with halves of it. It is the
split move of samplers of mixtures (Richardson and Green 1997, JRSS B 59, section 3.2), made where
it raises the score by enough.

Legend: B images, M objects that are tried, C channels, H height, W width, T slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from airkit.model.air import AIR, Object
from airkit.model.batch_sizes import batch_size
from airkit.model.canvas import Canvas
from airkit.model.parts import Reader, around, placed
from airkit.model.search import Found

DOUBTED = 3.0
"""An object is tried if more is unexplained around it than its latents cost, and this many times
the log prior odds against one more object."""
COST = 0.5
"""What a split costs beside the object that it adds, in log prior odds against one more object: the
best of many gains by chance."""
LEFT_ADD, LEFT_OVER = 0.5, 0.1
"""What it costs for each nat that it leaves unexplained, where objects add up and where they
occlude each other. Two objects that are there leave little. Two that draw what one cannot, because
a model has not learned to, leave much; it is those that add up that can."""
TOGETHER = 64
"""Objects to split at once: more make it no faster."""


@torch.no_grad()
def split(air: AIR, ink: Tensor, found: Found, counts: Tensor) -> Found:
    """Split objects, in each image the one that gains most first, until no split gains.

    The two take the slot of the one and the slot after it, and those after that move up. An object
    is tried once.

    Args:
        air: the trained model, with a guide that samples looks.
        ink: ``Background.ink``, [B, C, H, W].
        found: what a search found.
        counts: how many of its objects are there, [B].
    """
    explained = _Explained(air, ink, found, counts)
    tried = torch.zeros_like(found.size, dtype=torch.bool)
    rows = explained.poorly()
    while len(rows):
        some = explained.rows(rows)
        canvas = some.painted(some.present)
        image, slot = ((some.doubt(canvas) > 0) & ~tried[rows]).nonzero().unbind(1)
        if not len(image):
            break
        halves = some.halved(canvas, image, slot)
        tried[rows[image], slot] = halves.gain <= 0
        best = _best_of_each(image, halves.gain)
        image, slot = image[best], slot[best]
        halved = some.rows(image).instead(slot, halves.rows(best))
        pays = (halved.score(some.counts[image] + 1) > some.score[image]).nonzero().squeeze(1)
        rows, slot = rows[image[pays]], slot[pays]
        explained = explained.replaced(rows, halved.rows(pays))
        tried[rows] = _with_room(tried[rows], slot)
        tried[rows, slot] = False
        rows = rows[explained.counts[rows] < air.slots]
    return explained.found


class Halves(NamedTuple):
    """Two objects in place of one, M rows.

    Attributes:
        first, second: the two.
        cost: what the split costs beside the second object, in nats, [M].
        gain: what it gains over the one, as that is or read anew, in nats, [M].
    """

    first: Object
    second: Object
    cost: Tensor
    gain: Tensor

    def rows(self, index: Tensor) -> Halves:
        """The rows at ``index``."""
        first, second, cost, gain = self
        return Halves(first.rows(index), second.rows(index), cost[index], gain[index])


class _Explained(NamedTuple):
    """Images, what was found in them, and how many of these objects are there."""

    air: AIR
    ink: Tensor
    found: Found
    counts: Tensor

    @property
    def present(self) -> Tensor:
        """Which slots are among the first ``counts``, [B, T]."""
        return torch.arange(self.air.slots, device=self.counts.device) < self.counts[:, None]

    @property
    def score(self) -> Tensor:
        """The score of the objects that are there, [B]."""
        return self.found.score(self.counts)

    @property
    def price(self) -> float:
        """The log prior odds against one more object, in nats."""
        return -math.log(self.air.prior_ratio)

    def rows(self, index: Tensor) -> _Explained:
        """The images at ``index``."""
        return _Explained(self.air, self.ink[index], self.found.rows(index), self.counts[index])

    def replaced(self, rows: Tensor, found: Found) -> _Explained:
        """With ``found``, which has one object more, in the images at ``rows``."""
        counts = self.counts.index_add(0, rows, torch.ones_like(rows))
        return self._replace(found=self.found.replaced(rows, found), counts=counts)

    def poorly(self) -> Tensor:
        """Indices of images with a free slot in which an object may be tried."""
        air, costs = self.air, (self.found.costs * self.present).sum(1)
        log_p_x = self.score + costs - air.log_prior[self.counts]
        noise = torch.full_like(log_p_x, air.config.noise**2 * self.ink[0].numel())
        poorly = air.log_p_x(noise) - log_p_x > DOUBTED * self.price
        return (poorly & (self.counts < air.slots)).nonzero().squeeze(1)

    def doubt(self, canvas: Canvas) -> Tensor:
        """By how much an object is to be doubted, [B, T]; tried if it is more than 0.

        In nats, on the canvas of all objects: the error around it without the noise that was found,
        minus what ``DOUBTED`` says; -inf from slot ``counts`` on.
        """
        air, found = self.air, self.found
        patches = around(air, found.size.flatten(), found.centre.flatten(0, 1))
        left = canvas.residual().read(patches).chunk(2, 1)[1]
        error = (left.square() - air.config.noise**2).sum((1, 2, 3)).view_as(found.size)
        doubt = error / (2 * air.pixel_sd**2) - found.costs - DOUBTED * self.price
        return doubt.masked_fill(~self.present, -math.inf)

    def painted(self, present: Tensor) -> Canvas:
        """The canvas of the objects that are ``present`` [B, T]."""
        canvas, found = self.air.canvas(self.ink), self.found
        for t in range(int(self.counts.max())):
            windows = found.windows[:, t] * present[:, t, None, None, None]
            canvas.add(windows, found.size[:, t], found.centre[:, t])
        return canvas

    def halved(self, canvas: Canvas, image: Tensor, slot: Tensor) -> Halves:
        """``halve`` of the object at ``slot`` [M] of each ``image`` [M]."""
        at_once = batch_size(self.air.shape, self.air.channels, 0, TOGETHER)
        pairs = zip(torch.split(image, at_once), torch.split(slot, at_once), strict=True)
        halves = [self.rows(some).halve(canvas.rows(some), at) for some, at in pairs]
        joined: Halves = _joined(halves)
        return joined

    def halve(self, canvas: Canvas, slot: Tensor) -> Halves:
        """The best split of the object at ``slot`` [B] of each image, on the canvas of all."""
        images = torch.arange(len(slot), device=slot.device)
        size, centre = self.found.size[images, slot], self.found.centre[images, slot]
        window = self.found.windows[images, slot]
        if self.air.occludes:
            others = self.present
            others[images, slot] = False
            canvas = self.painted(others)
        else:
            canvas.add(-window, size, centre)
        reader = Reader(self.air, self.ink, canvas.residual(), size, centre)
        before = -reader.error((window, size, centre)) - self.found.costs[images, slot]
        anew, (first, second) = reader.one(), reader.two()
        rival = torch.maximum(before, reader.score(anew))
        share = LEFT_OVER if self.air.occludes else LEFT_ADD
        cost = COST * self.price + share * reader.error(*map(placed, (first, second)))
        gain = reader.score(first, second) - self.price - cost - rival
        return Halves(first, second, cost, gain)

    def instead(self, slot: Tensor, halves: Halves) -> Found:
        """What is found with two objects in place of that at ``slot`` [B] of each image."""
        images, (*parts, scores) = torch.arange(len(slot), device=slot.device), self.only_present()
        found = Found._make([*(_with_room(part, slot) for part in parts), scores])
        found.put(images, slot, halves.first, self.air.kl(halves.first))
        found.put(images, slot + 1, halves.second, self.air.kl(halves.second) + halves.cost)
        return found.scored(self.air, self.ink)

    def only_present(self) -> Found:
        """What was found, with nothing in the slots from ``counts`` on."""
        *parts, scores = self.found
        *blank, _ = Found.nothing(self.air, scores[:, 0])
        return Found._make(
            [*(_where(self.present, *both) for both in zip(parts, blank, strict=True)), scores]
        )


def _joined(parts: Sequence[Any]) -> Any:
    """Tensors, or named tuples of them, one after the other along their first axis."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    joined = [_joined(part) for part in zip(*parts, strict=True)]
    return type(parts[0])(*joined)


def _where(present: Tensor, part: Tensor, other: Tensor) -> Tensor:
    """Parts [B, T, ...] where slots are ``present`` [B, T], others elsewhere."""
    return torch.where(present.view(*present.shape, *(1,) * (part.dim() - 2)), part, other)


def _with_room(part: Tensor, slot: Tensor) -> Tensor:
    """Slots [B, T, ...] with those after ``slot`` [B] moved up; the last one falls out."""
    slots, images = torch.arange(part.shape[1], device=slot.device), torch.arange(len(slot))
    source = slots - (slots > slot[:, None]).long()
    return part[images.to(slot.device)[:, None], source]


def _best_of_each(image: Tensor, gain: Tensor) -> Tensor:
    """Indices of the greatest ``gain`` [M] of each ``image`` [M], where that is more than 0."""
    order = gain.argsort(descending=True, stable=True)
    order = order[image[order].argsort(stable=True)]
    first = image[order].diff(prepend=image.new_full((1,), -1)) != 0
    best = order[first]
    return best[gain[best] > 0]
