"""Restarts: objects that leave much unexplained are found again, from other looks.

A guide that finds one object after another is misled where the first look falls between two that
touch, and all later slots then explain what is left. So an object and its neighbours are taken off
the canvas, and the guide finds what is there anew, once from each of several looks around it. What
explains the place best is kept if it raises the score by enough. In other fields such a move is
called ruin and recreate (Schrimpf et al. 2000, Journal of Computational Physics 159) or large
neighbourhood search.

Legend: B images, M objects that are tried, K looks at each, N = M K rows (K consecutive ones of an
object), P most objects found from a look, C channels, T slots.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from airkit.model import tuples
from airkit.model.air import AIR, Object
from airkit.model.batch_sizes import batch_size
from airkit.model.canvas import RegionCanvas
from airkit.model.counts import first_slots
from airkit.model.distributions import cumulative_sum
from airkit.model.explained import Change, Explained, best_of_each, kept_first
from airkit.model.guides import MEANS, Slot
from airkit.model.search import Found, even_looks, first_of_its_kind, temperature
from airkit.model.spatial_transformer import Patches, span

TRIED_FROM = 0.5
"""An object with neighbours is tried if the error around it, in nats, exceeds its KL plus this
multiple of the log prior odds against one more object."""
LOOKS = 16
"""Looks from which an object is found again."""
SIDE = 4.0
"""Side of the region that is searched, in typical object sizes."""
CHARGE = 0.3
"""Charge for another count, in log prior odds against one more object."""
MORE_ADD, MORE_OVER = 1.5, 0.5
"""Charge for each object more, in the same unit and in addition to its prior odds, where objects
add up and where they occlude each other: the best of several looks gains something by chance, and
pieces imitate an object more easily where ink adds up."""
SAME_NATS = 0.1
"""An object that was found again in vain is not tried once more while the nats unexplained around
it, and so what surrounds it, differ by less."""
TOGETHER = 32
"""Objects to find again at once: more make it no faster."""


@torch.no_grad()
def restart(air: AIR, ink: Tensor, found: Found, counts: Tensor) -> Found:
    """Find objects again, in each image those that gain most first, until nothing gains.

    In an image where something gained, slots without an object are blank, as after the end of a
    search.

    Args:
        air: the trained model, with a guide that samples looks.
        ink: ``Background.ink``, [B, C, H, W].
        found: what a search found.
        counts: how many of its objects are there, [B].
    """
    explained = Explained(air, ink, found, counts)
    in_vain = torch.full_like(found.size, math.nan)  # nats unexplained when nothing was gained
    rows = explained.poor(TRIED_FROM * explained.odds_against)
    while len(rows):
        some = explained.rows(rows)
        unexplained = some.unexplained(some.painted(some.present))
        poor = unexplained > _least(some)
        tried = torch.isclose(unexplained, in_vain[rows], atol=SAME_NATS)
        image, slot = (poor & ~tried).nonzero().unbind(1)
        if not len(image):
            break
        once = _once(image, some.neighbours[image, slot], unexplained[image, slot])
        again = _find_again(some, image[once], slot[once])
        unexplained[again.image, again.slot] = math.nan
        again = tuples.rows(again, best_of_each(again.image, again.gain))
        before = some.rows(again.image)
        after = before.after(again.change)
        pays = (_value(after) > _value(before)) & (after.found.log_q.argmax(1) == after.counts)
        image, kept = again.image[pays], again.change.kept[pays]
        in_vain[rows[image]] = kept_first(unexplained[image].masked_fill(~kept, math.nan), kept)
        rows = rows[image]
        explained = explained.replaced(rows, *tuples.rows((after.found, after.counts), pays))
    return explained.found


def _least(explained: Explained) -> Tensor:
    """What has to be unexplained around each object for it to be tried, in nats, [B, T].

    One without neighbours could only become several: it is tried where one more would pay.
    """
    more = 1 + CHARGE + (MORE_OVER if explained.air.occludes else MORE_ADD)
    alone = explained.neighbours.sum(2) == 1
    return explained.odds_against * torch.where(alone, more, TRIED_FROM)


def _once(image: Tensor, taken: Tensor, unexplained: Tensor) -> Tensor:
    """Of the tries that take the same objects [M, T] off an image [M], the most ``unexplained``."""
    tries = torch.cat([image[:, None], taken], 1)
    which: Tensor = torch.unique(tries, dim=0, return_inverse=True)[1]
    return best_of_each(which, unexplained)


class Again(NamedTuple):
    """What is found in place of some objects, where that gains something.

    Attributes:
        image: indices of the images, [M].
        slot: the slots of the objects that were tried, [M].
        change: to the images, M rows.
        gain: what it gains beyond its charge, in nats, [M].
    """

    image: Tensor
    slot: Tensor
    change: Change
    gain: Tensor


def _value(explained: Explained) -> Tensor:
    """The score of the objects that are there plus temperature times log q(n), in nats, [B]."""
    air, _, found, counts = explained
    log_q = found.log_q.gather(1, counts[:, None]).squeeze(1)
    return explained.score + temperature(air) * log_q


def _find_again(explained: Explained, image: Tensor, slot: Tensor) -> Again:
    """The best that is found in place of the object at ``slot`` [M] of each ``image`` [M]."""
    air = explained.air
    together = explained.neighbours[image, slot]
    at_once = batch_size(_region_shape(air), air.channels, 0, TOGETHER * LOOKS) // LOOKS or 1
    sizes = together.sum(1)
    most, found = int(sizes.max()) + 1, []
    for size in sorted(set(sizes.tolist())):
        for rows in (sizes == size).nonzero().squeeze(1).split(at_once):
            some = image[rows], slot[rows], together[rows]
            again = _from_looks(explained, *some, size + 1)
            found.append(again._replace(change=again.change.padded(most)))
    return tuples.joined(found)


def _region_shape(air: AIR) -> tuple[int, int]:
    """Height and width of the regions that are searched."""
    side = math.ceil(SIDE * air.config.object_size)
    return min(side, air.shape[0]), min(side, air.shape[1])


def _from_looks(
    explained: Explained, image: Tensor, slot: Tensor, taken: Tensor, most: int
) -> Again:
    """The best of several searches around the object at ``slot`` [M] of each ``image`` [M].

    ``taken`` [M, T] are the slots that are found again; ``most`` is P.
    """
    air, some = explained.air, explained.rows(image)
    centre = some.found.centre[torch.arange(len(slot), device=slot.device), slot]
    patches, kept = _region(air, centre), some.present & ~taken
    before = air.log_p_x(_painted(some, patches, some.present)[0].error)
    row, objects, kl, errors = _search(air, *_painted(some, patches, kept), most)
    counts = kept.sum(1, keepdim=True) + torch.arange(1, most + 1, device=slot.device)
    charge = _charge(some, counts)
    costs = (before + _value_of_taken(some, taken))[:, None] + charge - _prior(some, counts)
    value = air.log_p_x(errors) + _value_of_found(air, objects.logit, kl)
    gain, last = (value - costs[row]).max(1)
    best = best_of_each(row, gain)
    row, last, objects = row[best], last[best], tuples.rows(objects, best)
    change = Change(kept[row], objects, kl[best], last + 1, charge[row, last])
    return Again(image[row], slot[row], change, gain[best])


def _value_of_found(air: AIR, logits: Tensor, kl: Tensor) -> Tensor:
    """Temperature times log q(n), less the KLs, of the first n = 1..P objects, in nats, [N, P].

    ``logits`` and ``kl`` are [N, P].
    """
    after = pad(logsigmoid(-logits[:, 1:]), (0, 1))  # the search ended there
    log_q = cumulative_sum(logsigmoid(logits)) + after
    return temperature(air) * log_q - cumulative_sum(kl)


def _value_of_taken(explained: Explained, taken: Tensor) -> Tensor:
    """The same of the objects ``taken`` [M, T], less their charges too, in nats, [M]."""
    air, _, found, counts = explained
    after = pad(logsigmoid(-found.logits), (0, 1)).gather(1, counts[:, None])[:, 0]
    log_q = (logsigmoid(found.logits) * taken).sum(1) + after
    costs = ((found.kl + found.charges) * taken).sum(1)
    return temperature(air) * log_q - costs


def _prior(explained: Explained, counts: Tensor) -> Tensor:
    """Log p(n) of ``counts`` [M, P] less that of the count now.

    It is -inf for more objects than slots, and for two more than now.
    """
    log_prior, now = explained.air.log_prior, explained.counts[:, None]
    ratio = log_prior[counts.clamp(max=len(log_prior) - 1)] - log_prior[now]
    return ratio.masked_fill((counts >= len(log_prior)) | (counts > now + 1), -math.inf)


def _charge(explained: Explained, counts: Tensor) -> Tensor:
    """What a change to ``counts`` [M, P] costs beyond the prior, in nats, [M, P]."""
    more = counts - explained.counts[:, None]
    each = MORE_OVER if explained.air.occludes else MORE_ADD
    return explained.odds_against * (CHARGE * (more != 0) + each * more.clamp(min=0))


def _region(air: AIR, centre: Tensor) -> Patches:
    """The regions around objects at ``centre`` [M, 2]."""
    x, y = ((centre + 1) * (air.canvas_size / 2)).floor().long().unbind(1)
    (height, width), shape = _region_shape(air), air.shape
    rows, columns = span(y - height // 2, height, shape[0]), span(x - width // 2, width, shape[1])
    return Patches(rows, columns, shape)


def _painted(explained: Explained, patches: Patches, present: Tensor) -> tuple[RegionCanvas, Any]:
    """Regions, one of each image, with the objects ``present`` [M, T]; the guide's state then."""
    air, ink, found, _ = explained
    canvas = RegionCanvas(ink, patches, signed=air.background.signed)
    state = air.guide.start(canvas.ink)
    present = present & _reaches(found, patches, air.guide.window)
    many = present.sum(1)
    on = first_slots(many, air.slots).to(ink)
    where, what, size, centre, windows = (kept_first(part, present) for part in found[:5])
    for t in range(int(many.max())):
        canvas.add(windows[:, t] * on[:, t, None, None, None], size[:, t], centre[:, t])
        slot = Slot(*(part[:, t] for part in (on, where, what, size, centre)))
        state = air.guide.advance(state, _inside(slot, patches))
    return canvas, state


def _reaches(found: Found, patches: Patches, window: int) -> Tensor:
    """Which windows, of ``window`` pixels, paint in regions, one of each image, [M, T]."""
    low = patches.offset(found.centre[:, 0])[:, None] - 1
    sides = low.new_tensor([patches.columns.shape[1], patches.rows.shape[1]])
    high = low + sides * (2 / max(patches.shape))
    half = (found.size * (1 + 1 / window))[:, :, None]
    return ((found.centre + half > low) & (found.centre - half < high)).all(2)


def _inside(slot: Slot, patches: Patches) -> Slot:
    """A slot on the canvases of regions, which are the upper left parts of larger ones."""
    return slot._replace(centre=slot.centre - patches.offset(slot.centre))


def _search(
    air: AIR, canvas: RegionCanvas, state: Any, most: int
) -> tuple[Tensor, Object, Tensor, Tensor]:
    """Find ``most`` objects in M regions, the first from each look, others at the peaks.

    Looks that lead to the same first object are one.

    Returns:
        The region of each row [N], its objects [N, P, ...], their KLs, and the squared errors of
        the canvas after each, [N, P].
    """
    many, guide = len(canvas.ink), air.guide
    look = even_looks(canvas.ink, LOOKS)
    row = torch.arange(many, device=look.device).repeat_interleave(LOOKS)
    found = []
    for t in range(most):
        residual, looks = canvas.residual(), None if t else look
        logit, q_where, state = guide.checked_proposal(state, residual, looks, len(row))
        if t == 0:
            first = first_of_its_kind(air, q_where.mean.view(many, LOOKS, -1)).flatten()
            row, logit, q_where = tuples.rows((row, logit, q_where), first)
            canvas, state = canvas.rows(row), guide.checked_rows(state, row, many)
            residual = canvas.residual()
        object_t = air.draw(logit, q_where, residual, MEANS)
        canvas.add(object_t.window, object_t.size, object_t.centre)
        state = guide.advance(state, _inside(object_t.slot(), canvas.patches))
        found.append((object_t, air.kl(object_t), canvas.error))
    return row, *tuples.map_tensors(lambda *slots: torch.stack(slots, 1), *found)
