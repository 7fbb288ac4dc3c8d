"""From q(z | x) to scenes: how many objects, where, and what they look like.

Legend: B batch, C channels, T slots, H height, W width, w window side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model.air import AIR, Unrolled
from airkit.model.boxes import ink_boxes
from airkit.model.counts import log_count_posterior
from airkit.model.distributions import cumulative_sum
from airkit.model.guides import Noise
from airkit.model.spatial_transformer import paint


@dataclass(frozen=True)
class Scene:
    """The objects inferred on each canvas."""

    count: Tensor
    """Objects, int64 [B]."""
    count_probability: Tensor
    """q(n) for n = 0..T under the explanation kept, [B, T + 1]."""
    presence: Tensor
    """Probability that slot t is on, p_1 ... p_t, [B, T]."""
    box: Tensor
    """Extent of each object's painted ink (x, y, width, height) in pixels, [B, T, 4]; -1 from
    slot ``count`` on."""
    centre: Tensor
    """Centre (x, y) of every slot's window in pixels from the canvas's upper left, [B, T, 2]."""
    where: Tensor
    """Mean of z_where in every slot, [B, T, 3]."""
    what: Tensor
    """Mean of z_what in every slot, [B, T, Z]."""
    windows: Tensor
    """Ink of the decoded windows, [B, T, C, w, w]."""
    masks: Tensor
    """How much of each pixel is object t's, 0..1: where objects occlude each other its mask without
    what later ones hide, else the ink that it paints; 0 from slot ``count`` on, [B, T, H, W]."""
    canvases: Tensor
    """The background with the first n objects on it, n = 0..T, [B, T + 1, C, H, W]."""
    score: Tensor
    """log p(x | canvas) + log p(n) - sum KL of the explanation kept, in nats, [B]."""

    @property
    def canvas(self) -> Tensor:
        """The reconstruction: the canvas of the first ``count`` objects, [B, C, H, W]."""
        return self.canvases[torch.arange(len(self.count)), self.count]

    @property
    def mode(self) -> Tensor:
        """The most probable count under q(n), int64 [B]."""
        return self.count_probability.argmax(1)


def explain(air: AIR, images: Tensor, counts: torch.Generator | None = None) -> Scene:
    """One look per slot, means of all latents, and the mode of q(n).

    Each slot compares ``air.candidates`` looks and takes the one whose object fits best.

    Args:
        air: the trained model.
        images: ink in 0..1, [B, C, H, W].
        counts: samples the count from q(n), in place of its mode.
    """
    unrolled = air.unroll(air.background.ink(images), candidates=air.candidates)
    return _one_look(air, images, unrolled, _scores(air, unrolled), counts)


def explain_best(air: AIR, images: Tensor, looks: int, generator: torch.Generator) -> Scene:
    """The best of several explanations: a rule for counting and drawing, never a bound.

    The first look is that of ``explain``, the others are sampled; kept is the (look, count)
    of greatest log p(x | canvas_n) + log p(n) - sum of KLs, at the means of the latents.

    Args:
        air: the trained model.
        images: ink in 0..1, [B, C, H, W].
        looks: explanations to compare; at least 1.
        generator: samples the looks.
    """
    return explain_both(air, images, looks, generator)[1]


def possible_looks(air: AIR, asked: int) -> int:
    """Looks that can differ: those asked for, or 1 for a guide that does not sample looks."""
    return asked if air.guide.samples_looks else 1


def explain_by_looks(
    air: AIR,
    images: Tensor,
    looks: int,
    generator: torch.Generator,
    counts: torch.Generator | None = None,
) -> Scene:
    """``explain`` for one look, ``explain_best`` for more: the rule of ``airkit eval``."""
    if looks == 1:
        return explain(air, images, counts)
    return explain_best(air, images, looks, generator)


def explain_both(
    air: AIR,
    images: Tensor,
    looks: int,
    generator: torch.Generator,
    counts: torch.Generator | None = None,
) -> tuple[Scene, Scene]:
    """The scenes of ``explain`` and of ``explain_best``, from the passes of the latter alone."""
    ink = air.background.ink(images)
    unrolled = air.unroll(ink, candidates=air.candidates)
    scores = _scores(air, unrolled)
    one = _one_look(air, images, unrolled, scores, counts)
    best = _best_count(unrolled, scores)
    for _ in range(looks - 1):
        unrolled = air.unroll(ink, Noise.draw_looks(generator, len(images), air.slots))
        best = _better(best, _best_count(unrolled, _scores(air, unrolled)))
    return one, _scene(air, images, best)


class _Explanation(NamedTuple):
    """The parts of one pass of the guide that a scene is made of, [B, ...] each."""

    logits: Tensor
    where: Tensor
    what: Tensor
    size: Tensor
    centre: Tensor
    windows: Tensor
    objects: Tensor
    score: Tensor


def _explanation(unrolled: Unrolled, count: Tensor, score: Tensor) -> _Explanation:
    means = unrolled.where.normal.mean, unrolled.what.normal.mean
    place = unrolled.size, unrolled.centre
    return _Explanation(unrolled.logits, *means, *place, unrolled.windows, count, score)


def _one_look(
    air: AIR,
    images: Tensor,
    unrolled: Unrolled,
    scores: Tensor,
    counts: torch.Generator | None,
) -> Scene:
    """The scene of one pass, counted by the mode of q(n) or by a sample of it."""
    log_q = log_count_posterior(unrolled.logits)[0]
    if counts is None:
        count = log_q.argmax(1)
    else:
        count = torch.multinomial(log_q.exp(), 1, generator=counts).squeeze(1)
    score = scores.gather(1, count[:, None]).squeeze(1)
    return _scene(air, images, _explanation(unrolled, count, score))


def _best_count(unrolled: Unrolled, scores: Tensor) -> _Explanation:
    """A pass with the count of the greatest score."""
    score, count = scores.max(1)
    return _explanation(unrolled, count, score)


def _scores(air: AIR, unrolled: Unrolled) -> Tensor:
    """Log p(x | canvas_n) + log p(n) - sum of the first n KLs, in nats, [B, T + 1]."""
    cost = pad(cumulative_sum(air.kl(unrolled)), (1, 0))
    return unrolled.log_likelihood + air.log_prior - cost


def _better(one: _Explanation, other: _Explanation) -> _Explanation:
    """The explanation of the greater score, image by image."""
    wins = other.score > one.score
    return _Explanation(
        *(
            torch.where(wins.view(-1, *[1] * (no.dim() - 1)), yes, no)
            for yes, no in zip(other, one, strict=True)
        )
    )


def _scene(air: AIR, images: Tensor, found: _Explanation) -> Scene:
    """The scene of an explanation; painting again is cheaper than keeping every look's canvases."""
    log_q, presence = log_count_posterior(found.logits)
    flat = found.windows.flatten(0, 1), found.size.flatten(), found.centre.flatten(0, 1)
    painted = paint(*flat, air.shape)
    painted = painted.view(*found.size.shape, *painted.shape[1:])
    present = torch.arange(air.slots, device=painted.device) < found.objects[:, None]
    box = ink_boxes(air.cover(painted), found.size, found.centre)
    return Scene(
        count=found.objects,
        count_probability=log_q.exp(),
        presence=presence,
        box=torch.where(present[:, :, None], box, -torch.ones_like(box)),
        centre=(found.centre + 1) * air.canvas_size / 2,
        where=found.where,
        what=found.what,
        windows=found.windows[:, :, : air.channels],
        masks=_masks(air, painted, present),
        canvases=air.background.picture(images, _canvases(air, painted)),
        score=found.score,
    )


def _canvases(air: AIR, painted: Tensor) -> Tensor:
    """Canvas of the first n painted objects [B, T, ...], n = 0..T, [B, T + 1, C, H, W]."""
    if not air.occludes:
        return pad(cumulative_sum(painted), (0, 0, 0, 0, 0, 0, 1, 0))
    blank = torch.zeros_like(painted[:, 0, :-1])
    return torch.stack(list(accumulate(painted.unbind(1), air.compose, initial=blank)), 1)


def _masks(air: AIR, painted: Tensor, present: Tensor) -> Tensor:
    """See ``Scene.masks``."""
    covered = air.cover(painted) * present[:, :, None, None]
    if not air.occludes:
        return covered
    shown = (
        (1 - covered).flip(1).cumprod(1).flip(1)
    )  # what an object and the later ones let through
    return covered * pad(shown[:, 1:], (0, 0, 0, 0, 0, 1), value=1.0)
