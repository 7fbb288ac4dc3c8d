"""Splits: two objects in place of one that leaves too much unexplained.

Where two objects touch, every look may end between them and find a bit of each. Such an object is
taken off the canvas, and two are read in its window instead, beginning with halves of it. It is the
split move of samplers of mixtures (Richardson and Green 1997, JRSS B 59, section 3.2), made where
it raises the score by enough.

Legend: B images, M objects that are tried, C channels, H height, W width, T slots.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model import tuples
from airkit.model.air import AIR, Object
from airkit.model.batch_sizes import batch_size
from airkit.model.canvas import Canvas
from airkit.model.counts import first_slots
from airkit.model.parts import Around, Reader, placed
from airkit.model.search import Found

TRIED_FROM = 3.0
"""An object is tried if the error around it, in nats, exceeds its KL plus this multiple of the log
prior odds against one more object."""
CHARGE = 0.5
"""Charge for a split, in log prior odds against one more object and in addition to them: the best
of several pairs gains something by chance."""
LEFT_ADD, LEFT_OVER = 0.5, 0.1
"""Charge for each nat of error that a pair leaves, where objects add up and where they occlude each
other. Two real objects leave little; two pieces of an object that the decoder cannot draw leave
much. Pieces imitate an object more easily where ink adds up, so the charge is larger there."""
TOGETHER = 64
"""Objects to split at once: more make it no faster."""


@torch.no_grad()
def split(air: AIR, ink: Tensor, found: Found, counts: Tensor) -> Found:
    """Split objects, in each image the one that gains most first, until no split gains.

    The pair takes the object's slot and the next, and later objects move up by one. An object whose
    split gains nothing is not tried again. In an image with a split, slots without an object are
    blank, as after the end of a search.

    Args:
        air: the trained model, with a guide that samples looks.
        ink: ``Background.ink``, [B, C, H, W].
        found: what a search found.
        counts: how many of its objects are there, [B].
    """
    explained = _Explained(air, ink, found, counts)
    tried = torch.zeros_like(found.size, dtype=torch.bool)
    rows = explained.poorly_explained()
    while len(rows):
        some = explained.rows(rows)
        canvas = some.painted(some.present)
        image, slot = ((some.doubt(canvas) > 0) & ~tried[rows]).nonzero().unbind(1)
        if not len(image):
            break
        pairs = some.split(canvas, image, slot)
        tried[rows[image], slot] = pairs.gain <= 0
        best = _best_of_each(image, pairs.gain)
        image, slot = image[best], slot[best]
        after = some.rows(image).instead(slot, tuples.rows(pairs, best))
        wanted = some.counts[image] + 1
        pays = (after.score(wanted) > some.score[image]) & (after.log_q.argmax(1) == wanted)
        rows, slot = rows[image[pays]], slot[pays]
        explained = explained.replaced(rows, tuples.rows(after, pays))
        tried[rows] = _with_room(tried[rows], slot)
        tried[rows, slot] = False
        rows = rows[explained.counts[rows] < air.slots]
    return explained.found


class Pair(NamedTuple):
    """Two objects in place of one, M rows.

    Attributes:
        first, second: the two.
        charge: what the split costs, in nats, [M].
        gain: how much better the pair scores than the object as it is, and than the object read
            anew, in nats, [M].
    """

    first: Object
    second: Object
    charge: Tensor
    gain: Tensor


class _Explained(NamedTuple):
    """Images, what was found in them, and how many of these objects are there."""

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

    def rows(self, index: Tensor) -> _Explained:
        """The images at ``index``."""
        parts = self.ink, self.found, self.counts
        return _Explained(self.air, *tuples.rows(parts, index))

    def replaced(self, rows: Tensor, found: Found) -> _Explained:
        """With ``found``, which has one object more, in the images at ``rows``."""
        counts = self.counts.index_add(0, rows, torch.ones_like(rows))
        return self._replace(found=tuples.with_rows(self.found, rows, found), counts=counts)

    def poorly_explained(self) -> Tensor:
        """Indices of images with a free slot in which an object may be tried."""
        air, kept = self.air, self.present
        log_p_x = self.score + (self.found.kl * kept).sum(1) - air.log_prior[self.counts]
        noise = torch.full_like(log_p_x, air.config.noise**2 * self.ink[0].numel())
        poorly = air.log_p_x(noise) - log_p_x > TRIED_FROM * self.odds_against
        return (poorly & (self.counts < air.slots)).nonzero().squeeze(1)

    def doubt(self, canvas: Canvas) -> Tensor:
        """What is unexplained around each object, beyond ``TRIED_FROM``, in nats, [B, T].

        Objects above 0 are tried; it is -inf from slot ``counts`` on. ``canvas`` has all objects.
        """
        found = self.found
        around = Around.of(self.air, found.size.flatten(), found.centre.flatten(0, 1))
        left = canvas.residual().read(around.patches).chunk(2, 1)[1]
        doubt = around.nats(self.air, left).view_as(found.size) - found.kl
        return (doubt - TRIED_FROM * self.odds_against).masked_fill(~self.present, -math.inf)

    def painted(self, present: Tensor) -> Canvas:
        """The canvas of the objects that are ``present`` [B, T]."""
        canvas, found = self.air.canvas(self.ink), self.found
        for t in range(int(self.counts.max())):
            windows = found.windows[:, t] * present[:, t, None, None, None]
            canvas.add(windows, found.size[:, t], found.centre[:, t])
        return canvas

    def split(self, canvas: Canvas, image: Tensor, slot: Tensor) -> Pair:
        """``split_one`` of the object at ``slot`` [M] of each ``image`` [M]."""
        at_once = batch_size(self.air.shape, self.air.channels, 0, TOGETHER)
        places = zip(torch.split(image, at_once), torch.split(slot, at_once), strict=True)
        return tuples.joined(
            [self.rows(some).split_one(canvas.rows(some), at) for some, at in places]
        )

    def split_one(self, canvas: Canvas, slot: Tensor) -> Pair:
        """The best pair for the object at ``slot`` [B] of each image, on the canvas of all.

        Where objects occlude each other, the object and its rivals are compared as if in front of
        the others.
        """
        images = torch.arange(len(slot), device=slot.device)
        place = self.found.size[images, slot], self.found.centre[images, slot]
        window, charged = self.found.windows[images, slot], self.found.charges[images, slot]
        if self.air.occludes:
            others = self.present
            others[images, slot] = False
            canvas = self.painted(others)
        else:  # faster than to paint all others
            canvas.add(-window, *place)
        reader = Reader(self.air, self.ink, canvas.residual(), *place)
        before = -reader.unexplained((window, *place)) - self.found.kl[images, slot]
        rival = torch.maximum(before, reader.score(reader.one()))
        first, second = reader.two()
        left = reader.unexplained(placed(first), placed(second))
        share = LEFT_OVER if self.air.occludes else LEFT_ADD
        charge = CHARGE * self.odds_against + share * left.clamp(min=0)
        kl = self.air.kl(first) + self.air.kl(second)
        gain = -left - kl - self.odds_against - charge - rival
        return Pair(first, second, charged + charge, gain)

    def instead(self, slot: Tensor, pair: Pair) -> Found:
        """What is found with a pair in place of the object at ``slot`` [B] of each image."""
        images = torch.arange(len(slot), device=slot.device)
        found = tuples.map_tensors(lambda part: _with_room(part, slot), self.only_present())
        for after, each in enumerate((pair.first, pair.second)):
            found.put(images, slot + after, each, self.air.kl(each))
            found.charges[images, slot + after] = after * pair.charge
        most = int(self.counts.max()) + 1 if len(slot) else 0
        return found.scored(self.air, self.ink, most)

    def only_present(self) -> Found:
        """What was found, with nothing in the slots from ``counts`` on."""
        *parts, scores = self.found
        *blank, _ = Found.nothing(self.air, scores[:, 0])
        return Found._make(
            [*(_where(self.present, *both) for both in zip(parts, blank, strict=True)), scores]
        )


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
