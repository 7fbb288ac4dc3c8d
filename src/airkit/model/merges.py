"""Merges: one object in place of two neighbours that may be pieces of it.

Where other objects are near, a guide may read a part of an object, and later slots the rest. So two
neighbours are taken off the canvas, and one object is read where they were. It is the merge move of
samplers of mixtures (Richardson and Green 1997, JRSS B 59, section 3.2), made where it raises the
score. Nothing is charged: one object seldom imitates two, while pieces often imitate one.

Legend: B images, M pairs that are tried, T slots.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from airkit.model import tuples
from airkit.model.air import AIR
from airkit.model.batch_sizes import batch_size
from airkit.model.canvas import Canvas
from airkit.model.explained import (
    Change,
    Explained,
    best_of_each,
    note_refused,
    nothing_refused,
)
from airkit.model.parts import Reader
from airkit.model.search import Found

SIDE = 1.3
"""Side of the window in which the object is read, in typical object sizes."""
TOGETHER = 64
"""Pairs to merge at once: more make it no faster."""


@torch.no_grad()
def merge(air: AIR, ink: Tensor, found: Found, counts: Tensor) -> tuple[Found, Tensor]:
    """Merge neighbours, in each image the two that gain most first, until no merge gains.

    In an image with a merge the new object comes last, in front of the others, and slots without an
    object are blank, as after the end of a search.

    Args:
        air: the trained model.
        ink: ``Background.ink``, [B, C, H, W].
        found: what a search found.
        counts: how many of its objects are there, [B].

    Returns:
        What is found then; and the gain of the best of the refused merges, in nats, at most 0, -inf
        where none was tried, [B].
    """
    explained, refused = Explained(air, ink, found, counts), nothing_refused(ink)
    rows = (counts > 1).nonzero().squeeze(1)
    while len(rows):
        some = explained.rows(rows)
        image, *two = some.neighbours.triu(1).nonzero().unbind(1)
        if not len(image):
            break
        merged = _merged(some, image, torch.stack(two, 1))
        note_refused(refused, rows[image], merged.gain)
        merged = tuples.rows(merged, best_of_each(merged.image, merged.gain))
        before = some.rows(merged.image)
        after = before.after(merged.change)
        pays = (after.score > before.score) & (after.found.log_q.argmax(1) == after.counts)
        rows = rows[merged.image[pays]]
        explained = explained.replaced(rows, *tuples.rows((after.found, after.counts), pays))
    return explained.found, refused


class Merged(NamedTuple):
    """One object in place of two.

    Attributes:
        image: indices of the images, [M].
        change: to the images, M rows.
        gain: how much better the object scores than the two, in nats, [M].
    """

    image: Tensor
    change: Change
    gain: Tensor


def _merged(explained: Explained, image: Tensor, two: Tensor) -> Merged:
    """What the objects at ``two`` slots [M, 2] of each ``image`` [M] are as one."""
    air, found = explained.air, []
    canvas = explained.painted(explained.present)
    at_once = batch_size(air.shape, air.channels, 0, TOGETHER)
    for some, pairs in zip(torch.split(image, at_once), torch.split(two, at_once), strict=True):
        found.append(Merged(some, *_read(explained.rows(some), canvas.rows(some), pairs)))
    return tuples.joined(found)


def _read(explained: Explained, canvas: Canvas, two: Tensor) -> tuple[Change, Tensor]:
    """One object in place of ``two`` [B, 2] on the canvas of all, and what it gains, [B].

    It is read between the two, and once more where it is found then.
    """
    air, ink, found, _ = explained
    first, second = two.unbind(1)
    pair = explained.window(first), explained.window(second)
    middle = (pair[0][2] + pair[1][2]) / 2
    size = torch.full_like(middle[:, 0], SIDE * air.config.object_size / air.canvas_size)
    residual = explained.without(canvas, first, second).residual()
    reader = Reader(air, ink, residual, size, middle)
    rough = reader.one()
    one = Reader(air, ink, residual, rough.size, rough.centre).one()
    costs = (found.kl + found.charges).gather(1, two).sum(1) + explained.odds_against
    gain = reader.score(one) + reader.unexplained(*pair) + costs
    kept = explained.present.scatter(1, two, value=False)
    objects, kl = tuples.map_tensors(lambda part: part[:, None], (one, air.kl(one)))
    return Change(kept, objects, kl, torch.ones_like(first), torch.zeros_like(size)), gain
