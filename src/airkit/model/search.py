"""The objects of an image, slot by slot, at the means of all latents.

The bounds of ``airkit.model.objectives`` need every slot of one draw. A search for objects does
not: a slot may compare several candidates and take the best, and an image is searched no further
once another object would not be worth its cost, so that its time goes with its number of objects.

Legend: B batch, H height, K looks, M images still searched, N = M K rows (K consecutive ones of an
image), P channels of a window (C, and a mask where objects occlude each other), T slots, W width, Z
code size, w window side.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model import tuples
from airkit.model.air import AIR, Object
from airkit.model.canvas import Canvas
from airkit.model.counts import log_count_posterior
from airkit.model.distributions import Normal, cumulative_sum
from airkit.model.guides import MEANS

TEMPERATURE = 10.0
"""What scores are divided by before they are compared as log probabilities. Errors of neighbouring
pixels go together, so that a likelihood of independent pixels counts each several times."""
OCCLUDED = 20.0
"""The temperature for each channel, where objects occlude each other: errors are whole objects
then, and those of all channels go together."""
NEEDLESS = -6.0
"""The search of an image ends after an object whose log odds, by score and guide together, are less
than this, and whose log odds by the guide alone are less than ``DOUBTED``."""
DOUBTED = -4.0
OFF = -60.0
"""Presence logit of the slots after the end, which have blank windows and no KL."""
PAYS = 3.0
"""Several looks are compared where the unexplained error, in nats, exceeds this multiple of the log
prior odds against one more object: an object costs these and its KL."""
SAME = 0.02
"""Objects are the same if places and sizes differ by less, in typical object sizes."""
TIE = 1.001
"""Looks whose costs differ by less than this factor are equally good."""


class Found(NamedTuple):
    """What a search found in each image; slots after its end are as ``OFF`` says.

    Attributes:
        where: mean of z_where, [B, T, 3].
        what: mean of z_what, [B, T, Z].
        size: window sides as fractions of S, [B, T].
        centre: window centres (x, y) on [-1, 1], [B, T, 2].
        windows: decoded windows, [B, T, P, w, w].
        logits: log odds of z_pres_t = 1 given that all slots before are on, [B, T].
        kl: KL of each slot's latents, in nats, [B, T].
        charges: what the splits that a slot comes from cost, in nats, [B, T].
        scores: log p(x | canvas_n) + log p(n) - sum of the first n KLs and charges, in nats,
            [B, T + 1].
    """

    where: Tensor
    what: Tensor
    size: Tensor
    centre: Tensor
    windows: Tensor
    logits: Tensor
    kl: Tensor
    charges: Tensor
    scores: Tensor

    @property
    def log_q(self) -> Tensor:
        """Log q(n), n = 0..T, [B, T + 1]."""
        return log_count_posterior(self.logits)[0]

    def score(self, count: Tensor) -> Tensor:
        """The score of the first ``count`` [B] objects, [B]."""
        return self.scores.gather(1, count[:, None]).squeeze(1)

    def scored(self, air: AIR, ink: Tensor, most: int) -> Found:
        """With the scores of its objects on ``ink`` [B, C, H, W], where at most ``most`` are."""
        canvas = air.canvas(ink)
        errors = [canvas.error] * (air.slots + 1)
        for t in range(most):
            canvas.add(self.windows[:, t], self.size[:, t], self.centre[:, t])
            errors[t + 1 :] = [canvas.error] * (air.slots - t)
        costs = pad(cumulative_sum(self.kl + self.charges), (1, 0))
        return self._replace(scores=air.log_p_x(torch.stack(errors, 1)) - costs + air.log_prior)

    @classmethod
    def nothing(cls, air: AIR, blank: Tensor) -> Self:
        """The state before the first slot; ``blank`` is log p(x | blank canvas), [B]."""
        many, code = (len(blank), air.slots), blank.new_zeros(1, air.code)
        size, centre = air.pose.decode(air.pose.mean[None])
        return cls(
            where=air.pose.mean.repeat(*many, 1),
            what=code.repeat(*many, 1),
            size=size.repeat(many),
            centre=centre.repeat(*many, 1),
            windows=blank.new_zeros(*many, *air.decode(code).shape[1:]),
            logits=blank.new_full(many, OFF),
            kl=blank.new_zeros(many),
            charges=blank.new_zeros(many),
            scores=blank[:, None] + air.log_prior,
        )

    def put(self, rows: Tensor, t: int | Tensor, object_t: Object, kl: Tensor) -> None:
        """Set slot ``t`` of the images at ``rows`` [M], but for charges and scores.

        Args:
            rows: indices of the images.
            t: the slot, or that of each image, [M].
            object_t: what was found, M rows.
            kl: of its latents, [M].
        """
        self.where[rows, t] = object_t.where.value
        self.what[rows, t] = object_t.what.value
        self.size[rows, t] = object_t.size
        self.centre[rows, t] = object_t.centre
        self.windows[rows, t] = object_t.window
        self.logits[rows, t] = object_t.logit
        self.kl[rows, t] = kl


@torch.no_grad()
def search(air: AIR, ink: Tensor, look: Tensor | None = None, *, candidates: int = 1) -> Found:
    """Find the objects of each image, until another one would not be worth its cost.

    Args:
        air: the trained model.
        ink: ``Background.ink``, [B, C, H, W].
        look: uniform noise to sample looks with, [B, T]; None looks at the peak.
        candidates: looks that each slot compares, if the guide samples looks, in place of ``look``.
    """
    canvas, state = air.canvas(ink), air.guide.start(ink)
    found, log_prior = Found.nothing(air, air.log_p_x(canvas.error)), air.log_prior
    rows = torch.arange(len(ink), device=ink.device)
    for t in range(air.slots):
        if candidates > 1 and air.guide.samples_looks:
            object_t, state = _best_object(air, candidates, state, canvas)
        else:
            object_t, state = _object(air, None if look is None else look[rows, t], state, canvas)
        canvas.add(object_t.window, object_t.size, object_t.centre)
        before = found.scores[rows, t]
        found.put(rows, t, object_t, air.kl(object_t))
        kl = found.kl[rows, : t + 1].sum(1)
        scores = (air.log_p_x(canvas.error) - kl)[:, None] + log_prior[t + 1 :]
        found.scores[rows, t + 1 :] = scores
        going_on = _not_ended(object_t.logit, scores[:, 0] - before)
        if not len(going_on):
            break
        state = air.guide.advance(state, object_t.slot())
        rows = rows[going_on]
        state, canvas = _some(air, going_on, state, canvas)
    return found


def temperature(air: AIR) -> float:
    """What scores are divided by before they are compared as log probabilities."""
    return OCCLUDED * air.channels if air.occludes else TEMPERATURE


def odds_against(air: AIR) -> float:
    """The log prior odds against one more object, in nats: what it costs beside its KL."""
    return -math.log(air.prior_ratio)


def left_unexplained(air: AIR, log_p_x: Tensor) -> Tensor:
    """How far log p(x | canvas) is below that of a canvas which leaves only noise, in nats, [B]."""
    noise = torch.full_like(log_p_x, air.config.noise**2 * air.channels * math.prod(air.shape))
    return air.log_p_x(noise) - log_p_x


def _not_ended(logit: Tensor, gain: Tensor) -> Tensor:
    """Indices, among M images, of those to search further.

    Args:
        logit: the guide's log odds of the object found last, [M].
        gain: what it adds to the score, in nats, [M].
    """
    needless = gain / TEMPERATURE + logit < NEEDLESS
    return (~(needless & (logit < DOUBTED))).nonzero().squeeze(1)


def _object(air: AIR, look: Tensor | None, state: Any, canvas: Canvas) -> tuple[Object, Any]:
    """The object at each ``look`` [N], or at the peaks; the state."""
    residual, many = canvas.residual(), len(canvas.ink if look is None else look)
    logit, q_where, state = air.guide.checked_proposal(state, residual, look, many)
    return air.draw(logit, q_where, residual, MEANS), state


def _best_object(air: AIR, candidates: int, state: Any, canvas: Canvas) -> tuple[Object, Any]:
    """The object of each image with the least ``_cost`` from several looks; the state.

    A look between two objects that touch finds a bit of each, which one window cannot draw; a look
    at a part of an object finds what fits well and explains little. But the object at the peak is
    taken where too little is unexplained for any to pay, or where all looks lead to it.
    """
    best, after = _object(air, None, state, canvas)
    left = left_unexplained(air, air.log_p_x(canvas.error))
    rows = (left > PAYS * odds_against(air)).nonzero().squeeze(1)
    if len(rows):
        state, canvas = _some(air, rows, state, canvas)
        looks = even_looks(canvas.ink, candidates)
        logit, q_where, _ = air.guide.checked_proposal(state, canvas.residual(), looks, len(looks))
        poses = q_where.mean.view(len(rows), candidates, -1)
        poses = torch.cat([best.where.value[rows, None], poses], 1)
        differ = first_of_its_kind(air, poses)[:, 1:].any(1)
        if differ.any():
            proposals = tuples.rows((logit, q_where), differ.repeat_interleave(candidates))
            _, canvas = _some(air, differ.nonzero().squeeze(1), state, canvas)
            best = tuples.with_rows(best, rows[differ], _least_costly(air, *proposals, canvas))
    return best, after


def _least_costly(air: AIR, logit: Tensor, q_where: Normal, canvas: Canvas) -> Object:
    """The object of each image with the least ``_cost``, of K proposals for each, N rows."""
    objects = air.draw(logit, q_where, canvas.residual(), MEANS)
    costs = _cost(air, objects, canvas).view(len(canvas.ink), -1)
    # Looks that lead to one pose differ by rounding: the first of them is taken.
    best = (costs <= TIE * costs.amin(1, keepdim=True)).byte().argmax(1)
    best += costs.shape[1] * torch.arange(len(costs), device=best.device)
    return tuples.rows(objects, best)


def _some(air: AIR, rows: Tensor, state: Any, canvas: Canvas) -> tuple[Any, Canvas]:
    """State and canvases of the images at ``rows``, ascending; no copies if these are all."""
    if len(rows) == len(canvas.ink):
        return state, canvas
    return air.guide.checked_rows(state, rows, len(canvas.ink)), canvas.rows(rows)


def even_looks(ink: Tensor, many: int) -> Tensor:
    """Uniform noise for K = ``many`` looks at each of M images, spread evenly, [M K]."""
    return ((torch.arange(many).to(ink) + 0.5) / many).repeat(len(ink))


def first_of_its_kind(air: AIR, poses: Tensor) -> Tensor:
    """Which of the means of z_where [M, K, 3] are not at the place of an earlier one, [M, K]."""
    size, centre = air.pose.decode(poses.flatten(0, 1))
    places = torch.cat([centre, 2 * size[:, None]], 1).view_as(poses)
    apart = (places[:, :, None] - places[:, None]).abs().amax(3)
    same = apart < 2 * SAME * air.config.object_size / air.canvas_size
    return ~same.tril(-1).any(2)


def _cost(air: AIR, objects: Object, canvas: Canvas) -> Tensor:
    """The cost of each object, painted alone, in nats for each nat of likelihood it gains, [N].

    Its cost is its KL, the log prior odds against one more object, and the squared error that is
    left where it paints; infinite for one that gains nothing.
    """
    gain, left = canvas.error_change(objects.window, objects.size, objects.centre)
    nats = air.kl(objects) + odds_against(air)
    return torch.where(gain > 0, (left + 2 * air.pixel_sd**2 * nats) / gain, torch.inf)
