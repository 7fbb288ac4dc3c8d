"""Splits: two objects in place of one that leaves too much unexplained.

Where two objects touch, every look may end between them and find a bit of each. Such an object is
taken off the canvas, and two are read in its window instead, beginning with pieces of it. It is the
split move of samplers of mixtures (Richardson and Green 1997, JRSS B 59, section 3.2), made where
it raises the score by enough.

Legend: B images, M objects that are tried, C channels, H height, W width, T slots.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model import tuples
from airkit.model.air import AIR, Object
from airkit.model.batch_sizes import batch_size
from airkit.model.canvas import Canvas
from airkit.model.explained import Explained, best_of_each, note_refused, nothing_refused
from airkit.model.parts import Reader, placed
from airkit.model.search import Found

TRIED_FROM = 2.0
"""An object is tried if the error around it, in nats, exceeds its KL plus this multiple of the log
prior odds against one more object."""
CHARGE = 1.0
"""Charge for a split, in log prior odds against one more object and in addition to them: the best
of several pairs gains something by chance."""
LEFT_ADD, LEFT_OVER = 0.5, 0.1
"""Charge for each nat of error that a pair leaves in its own windows, where objects add up and
where they occlude each other. Two real objects leave little; two pieces of an object that the
decoder cannot draw leave much. Pieces imitate an object more easily where ink adds up, so the
charge is larger there."""
HOPELESS = -0.5
"""Lines aside are tried where the best pair along lines through the middle scores more than the
one object plus this multiple of the log prior odds against one more, charges not counted."""
THROUGH, ASIDE = (0.0,), (-0.2, 0.2)
"""How far lines are from the middle of what is in the window, in typical object sizes."""
TOGETHER = 64
"""Objects to split at once: more make it no faster."""


@torch.no_grad()
def split(air: AIR, ink: Tensor, found: Found, counts: Tensor) -> tuple[Found, Tensor]:
    """Split objects, in each image the one that gains most first, until no split gains.

    The pair takes the object's slot and the next, and later objects move up by one. An object whose
    split gains nothing is not tried again. In an image with a split, slots without an object are
    blank, as after the end of a search.

    Args:
        air: the trained model, with a guide that samples looks.
        ink: ``Background.ink``, [B, C, H, W].
        found: what a search found.
        counts: how many of its objects are there, [B].

    Returns:
        What is found then; and the gain of the best of the refused splits, in nats, at most 0, -inf
        where none was tried, [B].
    """
    explained, refused = Explained(air, ink, found, counts), nothing_refused(ink)
    tried = torch.zeros_like(found.size, dtype=torch.bool)
    rows = explained.poor(TRIED_FROM * explained.odds_against)
    rows = rows[counts[rows] < air.slots]
    while len(rows):
        some = explained.rows(rows)
        canvas = some.painted(some.present)
        poor = some.unexplained(canvas) > TRIED_FROM * some.odds_against
        image, slot = (poor & ~tried[rows]).nonzero().unbind(1)
        if not len(image):
            break
        pairs = _pairs(some, canvas, image, slot)
        tried[rows[image], slot] = pairs.gain <= 0
        note_refused(refused, rows[image], pairs.gain)
        best = best_of_each(image, pairs.gain)
        image, slot = image[best], slot[best]
        after = _instead(some.rows(image), slot, tuples.rows(pairs, best))
        wanted = some.counts[image] + 1
        pays = (after.score(wanted) > some.score[image]) & (after.log_q.argmax(1) == wanted)
        rows, slot = rows[image[pays]], slot[pays]
        explained = explained.replaced(rows, tuples.rows(after, pays), wanted[pays])
        tried[rows] = _with_room(tried[rows], slot)
        tried[rows, slot] = False
        rows = rows[explained.counts[rows] < air.slots]
    return explained.found, refused


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


def _pairs(explained: Explained, canvas: Canvas, image: Tensor, slot: Tensor) -> Pair:
    """``_pair`` of the object at ``slot`` [M] of each ``image`` [M]; ``canvas`` has all objects."""
    at_once = batch_size(explained.air.shape, explained.air.channels, 0, TOGETHER)
    places = zip(torch.split(image, at_once), torch.split(slot, at_once), strict=True)
    return tuples.joined(
        [_pair(explained.rows(some), canvas.rows(some), at) for some, at in places]
    )


def _pair(explained: Explained, canvas: Canvas, slot: Tensor) -> Pair:
    """The best pair for the object at ``slot`` [B] of each image, on the canvas of all.

    Where objects occlude each other, the object and its rivals are compared as if in front of
    the others.
    """
    air, ink, found, _ = explained
    images = torch.arange(len(slot), device=slot.device)
    window = explained.window(slot)
    reader = Reader(air, ink, explained.without(canvas, slot).residual(), *window[1:])
    before = -reader.unexplained(window) - found.kl[images, slot]
    rival = torch.maximum(before, reader.score(reader.one()))
    first, second = _best_pair(reader, rival + HOPELESS * explained.odds_against)
    left = reader.unexplained_inside(placed(first), placed(second))
    share = LEFT_OVER if air.occludes else LEFT_ADD
    charge = CHARGE * explained.odds_against + share * left.clamp(min=0)
    gain = reader.score(first, second) - explained.odds_against - charge - rival
    return Pair(first, second, found.charges[images, slot] + charge, gain)


def _best_pair(reader: Reader, least: Tensor) -> tuple[Object, Object]:
    """The best pair along lines through the middle; where it scores more than ``least``, of all."""
    pair = reader.two(THROUGH)
    score = reader.score(*pair)
    rows = (score > least).nonzero().squeeze(1)
    if len(rows):
        some = reader.rows(rows)
        other = some.two(ASIDE)
        better = some.score(*other) > score[rows]
        pair = tuples.with_rows(pair, rows[better], tuples.rows(other, better))
    return pair


def _instead(explained: Explained, slot: Tensor, pair: Pair) -> Found:
    """What is found with a pair in place of the object at ``slot`` [B] of each image."""
    air, present = explained.air, explained.only(explained.present)
    images = torch.arange(len(slot), device=slot.device)
    found = tuples.map_tensors(lambda part: _with_room(part, slot), present)
    for after, each in enumerate((pair.first, pair.second)):
        found.put(images, slot + after, each, air.kl(each))
        found.charges[images, slot + after] = after * pair.charge
    most = int(explained.counts.max()) + 1 if len(slot) else 0
    return found.scored(air, explained.ink, most)


def _with_room(part: Tensor, slot: Tensor) -> Tensor:
    """Slots [B, T, ...] with those after ``slot`` [B] moved up; the last one falls out."""
    slots, images = torch.arange(part.shape[1], device=slot.device), torch.arange(len(slot))
    source = slots - (slots > slot[:, None]).long()
    return part[images.to(slot.device)[:, None], source]
