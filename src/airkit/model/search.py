"""The objects of an image, slot by slot, at the means of all latents.

The bound of ``airkit.model.objectives`` needs a draw of every slot. Who wants the objects alone
needs less: a slot may compare several looks and take the best, and an image in which one more
object would be needless is searched no further, so that the work goes with the objects.

Legend: B batch, H height, K looks, M images still searched, N = M K rows (an image's one after
another), P channels of a window (C, and a mask where objects occlude each other), T slots, W width,
Z code size, w window side.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from airkit.model.air import AIR, Object
from airkit.model.canvas import Canvas
from airkit.model.counts import log_count_posterior
from airkit.model.distributions import Normal
from airkit.model.guides import MEANS
from airkit.model.guides.base import check_proposal

TEMPERATURE = 5.0
"""What scores are divided by before they are compared as log probabilities. Errors of neighbouring
pixels go together, so that a likelihood of independent pixels counts each several times."""
GUIDE_SHARE = 0.25
"""Weight of the guide's own q(n) beside the scores, which alone count less right where a model has
not learned yet to draw objects whole."""
NEEDLESS = -6.0
"""Log odds of one more object, by its score and the guide together, that end the search."""
DOUBTED = -4.0
"""Log odds by the guide alone that it has to have as well, at most."""
OFF = -60.0
"""Log odds of the slots after the end: blank windows at no KL."""
DRAWN = 6
"""Most looks of a slot whose objects are drawn and compared, those that settle farthest apart: many
looks settle at one place."""
TIE = 1.001
"""Factor between costs below which two looks are as good as each other."""


class Found(NamedTuple):
    """What a search found in each image, every slot present; see ``OFF`` for slots after its end.

    Attributes:
        where: mean of z_where, [B, T, 3].
        what: mean of z_what, [B, T, Z].
        size: window sides as fractions of S, [B, T].
        centre: window centres (x, y) on [-1, 1], [B, T, 2].
        windows: decoded windows, [B, T, P, w, w].
        logits: log odds of z_pres_t = 1 given that all slots before are on, [B, T].
        scores: log p(x | canvas_n) + log p(n) - sum of the first n KLs, in nats, [B, T + 1].
    """

    where: Tensor
    what: Tensor
    size: Tensor
    centre: Tensor
    windows: Tensor
    logits: Tensor
    scores: Tensor

    @property
    def log_q(self) -> Tensor:
        """Log q(n), n = 0..T, [B, T + 1]."""
        return log_count_posterior(self.logits)[0]

    def rows(self, index: Tensor) -> Found:
        """Some of the images."""
        return Found(*(part[index] for part in self))

    @classmethod
    def nothing(cls, air: AIR, blank: Tensor) -> Self:
        """Before the first slot, ``blank`` being log p(x | blank canvas), [B]."""
        many, code = (len(blank), air.slots), blank.new_zeros(1, air.code)
        size, centre = air.pose.decode(air.pose.mean[None])
        return cls(
            where=air.pose.mean.repeat(*many, 1),
            what=code.repeat(*many, 1),
            size=size.repeat(many),
            centre=centre.repeat(*many, 1),
            windows=blank.new_zeros(*many, *air.decoder(code).shape[1:]),
            logits=blank.new_full(many, OFF),
            scores=blank[:, None] + air.log_prior,
        )

    def put(self, rows: Tensor, t: int, one: Object, scores: Tensor) -> None:
        """Take slot ``t`` of the images ``rows`` [M], and scores from there on, [M, T - t]."""
        parts = one.where.value, one.what.value, one.size, one.centre, one.window, one.logit
        for ours, theirs in zip(self, parts, strict=False):
            ours[rows, t] = theirs
        self.scores[rows, t + 1 :] = scores


@torch.no_grad()
def search(air: AIR, ink: Tensor, look: Tensor | None = None, *, candidates: int = 1) -> Found:
    """Find the objects of each image, until one more would be needless.

    Args:
        air: the trained model.
        ink: ``Background.ink``, [B, C, H, W].
        look: uniform noise to sample looks with, [B, T]; None looks at the peak.
        candidates: looks that each slot compares, if the guide samples looks, in place of ``look``.
    """
    canvas, state = air.canvas(ink), air.guide.start(ink)
    found, log_prior = Found.nothing(air, air.log_p_x(canvas.error)), air.log_prior
    rows, kl = torch.arange(len(ink), device=ink.device), torch.zeros_like(canvas.error)
    for t in range(air.slots):
        if candidates > 1 and air.guide.samples_looks:
            one, state = _best_look(air, candidates, state, canvas)
        else:
            one, state = _one_look(air, None if look is None else look[rows, t], state, canvas)
        canvas.add(one.window, one.size, one.centre)
        before = found.scores[rows, t]
        kl = kl + air.kl(one)
        found.put(rows, t, one, (air.log_p_x(canvas.error) - kl)[:, None] + log_prior[t + 1 :])
        more = _wanted(one.logit, found.scores[rows, t + 1] - before)
        if not len(more):
            break
        state = air.guide.advance(state, one.slot())
        if len(more) < len(rows):
            rows, kl = rows[more], kl[more]
            state, canvas = air.guide.rows(state, more), canvas.rows(more)
    return found


def _wanted(logit: Tensor, gain: Tensor) -> Tensor:
    """Numbers of the images [M] to search further.

    Args:
        logit: the guide's log odds of the object found last, [N].
        gain: what it adds to the score, in nats, [N].
    """
    needless = gain / TEMPERATURE + GUIDE_SHARE * logit < NEEDLESS
    return (~(needless & (logit < DOUBTED))).nonzero().squeeze(1)


def _one_look(air: AIR, look: Tensor | None, state: Any, canvas: Canvas) -> tuple[Object, Any]:
    """The object at a look [M], or at the peak."""
    residual = canvas.residual()
    logit, q_where, state = air.guide.propose(state, residual, look)
    check_proposal(logit, q_where, len(canvas.ink))
    return air.draw(logit, q_where, residual, MEANS), state


def _best_look(air: AIR, candidates: int, state: Any, canvas: Canvas) -> tuple[Object, Any]:
    """The object, of several looks spread evenly, that costs least for its gain, M rows.

    A look between two objects that touch finds a bit of each, which one window cannot draw; a look
    at a part of an object finds what fits well and explains little.
    """
    residual, images = canvas.residual(), torch.arange(len(canvas.ink), device=canvas.ink.device)
    look = (torch.arange(candidates).to(canvas.ink) + 0.5) / candidates
    logit, q_where, state = air.guide.propose(state, residual, look.repeat(len(images)))
    check_proposal(logit, q_where, len(images) * candidates)
    _, centre = air.pose.decode(q_where.mean)
    apart = _farthest(centre.view(len(images), candidates, 2), DRAWN)
    drawn = (apart + candidates * images[:, None]).flatten()
    q_where = Normal(q_where.mean[drawn], q_where.sd[drawn])
    objects = air.draw(logit[drawn], q_where, residual, MEANS)
    costs = _cost(air, objects, canvas).view(apart.shape)
    # Looks that settle at one place differ by rounding: the first of them is taken.
    best = (costs <= TIE * costs.amin(1, keepdim=True)).byte().argmax(1)
    return objects.rows(best + costs.shape[1] * images), state


def _farthest(places: Tensor, most: int) -> Tensor:
    """Numbers [M, L], in order, of at most ``most`` of the places [M, K, 2], far from each other.

    The first is taken, and then always the one that is farthest from those taken (Gonzalez 1985,
    "Clustering to minimize the maximum intercluster distance").
    """
    distance = torch.cdist(places, places) - torch.eye(places.shape[1]).to(places)  # taken: once
    nearest, taken = distance[:, 0], [torch.zeros_like(places[:, 0, 0], dtype=torch.long)]
    for _ in range(min(most, places.shape[1]) - 1):
        taken.append(nearest.argmax(1))
        of_last = distance.take_along_dim(taken[-1][:, None, None], 1)[:, 0]
        nearest = torch.minimum(nearest, of_last)
    return torch.stack(taken, 1).sort(1).values


def _cost(air: AIR, objects: Object, canvas: Canvas) -> Tensor:
    """What objects cost, in nats for each nat of likelihood that they gain, [N].

    An object costs the log prior odds of one more, its KL, and what it leaves unexplained where it
    paints on the canvas, each object alone.
    """
    gain, left = canvas.worth(objects.window, objects.size, objects.centre)
    nats = air.kl(objects) - math.log(air.prior_ratio)
    return torch.where(gain > 0, (left + 2 * air.pixel_sd**2 * nats) / gain, torch.inf)
