"""The posterior over counts: what several looks at an image say together.

Look k gives the count n the score S_k(n) = log p(x | canvas_n) + log p(n) - sum of costs, at the
means of the latents. Rivals are splits and merges of the first look that were tried and refused:
each is a score of one object more or fewer. All but the first look are charged (``OTHERS``). With
S(n) the greatest of these scores,

    p(n)  is proportional to  exp(S(n) / TEMPERATURE) q(n)

where q(n) is the mean of all q_k(n), and the better look k explains the image with n objects, the
more it weighs: exp(S_k(n) / TEMPERATURE). Rivals have no q of their own: the guide counts as being
as sure of them as of what was kept. Where objects occlude each other, the temperature is
``OCCLUDED`` times the channels. With small chances (``ERRORS_ADD``, ``ERRORS_OVER``) there is one
object more or fewer than all this says.

Where the first look and its rivals leave no doubt (``SURE``), no more looks are needed.

It is a rule for counting and drawing, never a bound.

Legend: B batch, K looks, T slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model.air import AIR
from airkit.model.search import Found, odds_against, temperature
from airkit.model.tuples import map_tensors

OTHERS = 1.5
"""Charge for what other looks than the first find, and for rivals, in log prior odds against one
more object: splits, restarts and merges have searched the first, and the best of several gains
something by chance."""
SURE = 0.9995
"""Probability of a count, by the first look and but for errors, from which no more looks are taken
at an image."""
ERRORS_ADD, ERRORS_OVER = (0.001, 0.001), (0.02, 0.002)
"""The chances of one object more than any look finds, of two that look like one or that one hides;
and, where at least two are found, of one object less: they may be pieces of one. Where objects add
up, and where they occlude each other."""


class Explanation(NamedTuple):
    """The best explanation of each image with its count.

    Attributes:
        found: what the look that explains it best found.
        counts: the mode of p(n), [B].
        probability: p(n) for n = 0..T, [B, T + 1].
    """

    found: Found
    counts: Tensor
    probability: Tensor


def rival_scores(found: Found, splits: Tensor, merges: Tensor) -> Tensor:
    """Scores with one object more or fewer than is ``found``, -inf for other counts, [B, T + 1].

    ``splits`` and ``merges`` are what the best of those refused would have gained, [B].
    """
    count, scores = found.log_q.argmax(1), torch.full_like(found.scores, -math.inf)
    kept, most = found.score(count), scores.shape[1] - 1
    scores.scatter_(1, (count - 1).clamp(min=0)[:, None], (kept + merges)[:, None])
    return scores.scatter_(1, (count + 1).clamp(max=most)[:, None], (kept + splits)[:, None])


def explain_by(air: AIR, looks: Sequence[Found], rivals: Tensor) -> Explanation:
    """The count of K looks and their ``rivals`` [B, T + 1], and the look that explains it best."""
    scores, probability = _compared(air, looks, rivals)
    probability = _with_errors(probability, *(ERRORS_OVER if air.occludes else ERRORS_ADD))
    count = probability.argmax(1)
    image = torch.arange(len(count), device=count.device)
    winner = scores[:-1, image, count].argmax(0)
    found = map_tensors(lambda *parts: torch.stack(parts)[winner, image], *looks)
    return Explanation(found, count, probability)


def in_doubt(air: AIR, first: Found, rivals: Tensor) -> Tensor:
    """Indices of images whose count is not ``SURE`` by the ``first`` look and its ``rivals``."""
    _, probability = _compared(air, [first], rivals)
    return (probability.amax(1) < SURE).nonzero().squeeze(1)


def _compared(air: AIR, looks: Sequence[Found], rivals: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of looks and rivals, charged, [K + 1, B, T + 1]; p(n) but for errors, [B, T + 1]."""
    scores = torch.stack([*(look.scores for look in looks), rivals])
    scores[1:] -= OTHERS * odds_against(air)
    tempered = scores / temperature(air)
    as_sure = looks[0].log_q.amax(1, keepdim=True).expand_as(rivals)
    log_q = torch.stack([*(look.log_q for look in looks), as_sure])
    mean_log_q = (tempered.log_softmax(0) + log_q).logsumexp(0)
    return scores, (tempered.amax(0) + mean_log_q).softmax(1)


def _with_errors(probability: Tensor, unseen: float, needless: float) -> Tensor:
    """p(n), [B, T + 1], allowing for one object more or fewer than all looks say.

    Nothing is unseen where no object is seen.
    """
    more, fewer = unseen * probability[:, 1:-1], needless * probability[:, 2:]
    return probability + pad(more - fewer, (2, 0)) - pad(more - fewer, (1, 1))
