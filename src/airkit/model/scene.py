"""From q(z | x) to scenes: how many objects, where, and what they look like.

Legend: B batch, C channels, T slots, H height, W width, N windows, S the longer side, w window
side, h and w' sides of a patch, Z code size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model import image_noise
from airkit.model.air import AIR
from airkit.model.batch_sizes import batch_size
from airkit.model.canvas import compose, cover
from airkit.model.counts import first_slots
from airkit.model.distributions import cumulative_sum
from airkit.model.merges import merge
from airkit.model.posterior import Explanation, explain_by, in_doubt, rival_scores
from airkit.model.restarts import restart
from airkit.model.search import Found, search
from airkit.model.spatial_transformer import Patches, paint
from airkit.model.splits import split
from airkit.model.tuples import rows, with_rows

AGREEING = 4
"""Looks that have to agree before no more are taken at an image in doubt."""
TOGETHER = 250
"""Rows, looks times images, of one search: more make it no faster."""
INK = 0.1
"""Least ink of a pixel inside a box, as a share of full ink; the same as in data files."""


@dataclass(frozen=True)
class Scene:
    """The objects inferred on each canvas."""

    count: Tensor
    """Objects, int64 [B]."""
    count_probability: Tensor
    """p(n) for n = 0..T, [B, T + 1]; see ``airkit.model.posterior``."""
    presence: Tensor
    """Probability p_1 ... p_t that slot t is on, by q of the look kept, [B, T]."""
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
    score: Tensor
    """log p(x | canvas) + log p(n) - sum of the objects' KLs and charges, of the explanation kept,
    in nats, [B]; a charge is what a split or restart costs beyond the prior."""
    found: Found = field(repr=False)
    """The explanation kept; its windows have masks where objects occlude each other."""
    air: AIR = field(repr=False)
    """The model, which paints the pictures below once they are asked for."""
    images: Tensor = field(repr=False)
    """Levels in 0..1, [B, C, H, W]."""

    @cached_property
    @torch.no_grad()
    def canvas(self) -> Tensor:
        """The reconstruction: the canvas of the first ``count`` objects, [B, C, H, W]."""
        *_, canvas = self._stages(first_slots(self.count, self.air.slots))
        return self.air.background.picture(self.images, canvas[:, None])[:, 0]

    @cached_property
    @torch.no_grad()
    def canvases(self) -> Tensor:
        """The background with the first n objects on it, n = 0..T, [B, T + 1, C, H, W]."""
        stages = self._stages(torch.ones_like(self.found.size, dtype=torch.bool))
        canvases = torch.stack([canvas.clone() for canvas in stages], 1)
        return self.air.background.picture(self.images, canvases)

    @cached_property
    @torch.no_grad()
    def masks(self) -> Tensor:
        """How much of each pixel is object t's, 0..1, [B, T, H, W].

        Where objects occlude each other it is the mask without what later ones hide, else the ink
        that is painted; 0 from slot ``count`` on.
        """
        covered = cover(paint(*_all_slots(self.found), self.air.shape), self.air.channels)
        covered = covered.view(*self.found.size.shape, *self.air.shape)
        covered = covered * first_slots(self.count, self.air.slots)[:, :, None, None]
        if not self.air.occludes:
            return covered
        # what an object and the later ones let through
        shown = (1 - covered).flip(1).cumprod(1).flip(1)
        return covered * pad(shown[:, 1:], (0, 0, 0, 0, 0, 1), value=1.0)

    @property
    def mode(self) -> Tensor:
        """The most probable count under ``count_probability``, int64 [B]."""
        return self.count_probability.argmax(1)

    def _stages(self, present: Tensor) -> Iterator[Tensor]:
        """One canvas [B, C, H, W], blank and after each slot, with the objects ``present``."""
        canvas = torch.zeros_like(self.images)
        yield canvas
        for t in range(self.air.slots):
            size, centre = self.found.size[:, t], self.found.centre[:, t]
            windows = self.found.windows[:, t] * present[:, t, None, None, None]
            patches = Patches.around(size, centre, self.air.shape, windows.shape[-1])
            after = compose(patches.read(canvas), patches.paint(windows, size, centre))
            patches.write(canvas, after)
            yield canvas


def explain(air: AIR, images: Tensor, generator: torch.Generator | None = None) -> Scene:
    """The scene at one look, the means of all latents and the mode of p(n).

    Each slot compares ``air.candidates`` positions and takes the one whose object costs least for
    what it explains; then objects that stand for two are split, those that leave much unexplained
    are found again, and pieces of one are merged. For a guide that does not sample looks, or with
    one candidate, it is one plain pass of the guide, and p(n) is q(n).

    Args:
        air: the trained model.
        images: levels in 0..1, [B, C, H, W].
        generator: samples the count from p(n), in place of its mode.
    """
    return scene_of(air, images, explanations(air, images, 1, 0)[0], generator)


def explain_best(air: AIR, images: Tensor, looks: int, seed: int) -> Scene:
    """The count from several looks, and the best explanation with that count.

    The first look is that of ``explain``, the others are sampled. The count is the mode of their
    posterior p(n) (``airkit.model.posterior``); the explanation kept is that of the look with the
    greatest score of that count. With several candidates, an image gets no more looks where the
    first leaves no doubt (``airkit.model.posterior.SURE``). Where ``AGREEING`` looks score the same
    count highest, these are all.

    Args:
        air: the trained model.
        images: levels in 0..1, [B, C, H, W].
        looks: the most explanations to compare; at least 1.
        seed: of the looks, which for an image depend on it and on its pixels alone.
    """
    return explain_both(air, images, looks, seed)[1]


def possible_looks(air: AIR, asked: int) -> int:
    """Looks that can differ: those asked for, or 1 for a guide that does not sample looks."""
    return asked if air.guide.samples_looks else 1


def explain_by_looks(
    air: AIR,
    images: Tensor,
    looks: int,
    seed: int,
    generator: torch.Generator | None = None,
) -> Scene:
    """``explain`` for one look, ``explain_best`` for more: the rule of ``airkit eval``."""
    if looks == 1:
        return explain(air, images, generator)
    return explain_best(air, images, looks, seed)


def explain_both(
    air: AIR,
    images: Tensor,
    looks: int,
    seed: int,
    generator: torch.Generator | None = None,
) -> tuple[Scene, Scene]:
    """The scenes of ``explain`` and of ``explain_best``, which share the first look."""
    one, best = explanations(air, images, looks, seed)
    return scene_of(air, images, one, generator), scene_of(air, images, best)


def explanations(
    air: AIR, images: Tensor, looks: int, seed: int
) -> tuple[Explanation, Explanation]:
    """What one look says, and what all of ``looks`` say together, which scenes are made of.

    Args:
        air: the trained model.
        images: levels in 0..1, [B, C, H, W].
        looks: as for ``explain_best``.
        seed: as for ``explain_best``.
    """
    ink, mended = air.ink(images), _is_mended(air)
    first, rivals = _first_look(air, ink)
    if mended:
        one = explain_by(air, [first], rivals)
    else:
        one = Explanation(first, first.log_q.argmax(1), first.log_q.exp())
    if looks == 1:
        return one, one
    everywhere = torch.arange(len(ink), device=ink.device)
    doubtful = in_doubt(air, first, rivals) if mended else everywhere
    if not len(doubtful):
        return one, one
    draws = image_noise.uniform(images[doubtful], seed, looks, air.slots)
    several = _by_several(air, *rows((ink, first, rivals), doubtful), draws)
    return one, with_rows(one, doubtful, several)


def _by_several(air: AIR, ink: Tensor, first: Found, rivals: Tensor, draws: Tensor) -> Explanation:
    """What several looks say together, by ``draws`` [B, K, T]: the ``first``, and others."""
    passes = first, *_looks(air, ink, draws[:, 1:AGREEING])
    best = explain_by(air, passes, rivals)
    votes = torch.stack([each.scores.argmax(1) for each in passes])
    differ = (votes != votes[0]).any(0).nonzero().squeeze(1)
    if draws.shape[1] > AGREEING and len(differ):
        ink, passes, rivals, draws = rows((ink, passes, rivals, draws), differ)
        passes = *passes, *_looks(air, ink, draws[:, AGREEING:])
        best = with_rows(best, differ, explain_by(air, passes, rivals))
    return best


def _looks(air: AIR, ink: Tensor, looks: Tensor) -> Iterator[Found]:
    """What is found at each of the looks [B, K, T], of as many at once as memory allows."""
    batch = len(ink)
    at_once = max(1, batch_size(air.shape, air.channels, 0, TOGETHER) // batch)
    for start in range(0, looks.shape[1], at_once):
        some = looks[:, start : start + at_once].to(ink.dtype)
        many = some.shape[1]
        found = search(air, ink.repeat_interleave(many, 0), some.flatten(0, 1))
        for k in range(many):
            yield rows(found, torch.arange(k, batch * many, many, device=ink.device))


def _first_look(air: AIR, ink: Tensor) -> tuple[Found, Tensor]:
    """What is found at the looks that explain best, mended where that pays; and its rivals."""
    found = search(air, ink, candidates=air.candidates)
    if not _is_mended(air):
        return found, torch.full_like(found.scores, -math.inf)
    found, refused_splits = split(air, ink, found, found.log_q.argmax(1))
    found = restart(air, ink, found, found.log_q.argmax(1))
    found, refused_merges = merge(air, ink, found, found.log_q.argmax(1))
    return found, rival_scores(found, refused_splits, refused_merges)


def _is_mended(air: AIR) -> bool:
    """Whether the first look is more than one plain pass of the guide."""
    return air.candidates > 1 and air.guide.samples_looks


def scene_of(
    air: AIR, images: Tensor, best: Explanation, generator: torch.Generator | None = None
) -> Scene:
    """The scene of an explanation of ``images``; ``generator`` as for ``explain``."""
    found, count, probability = best
    if generator is not None:
        count = torch.multinomial(probability, 1, generator=generator).squeeze(1)
    present, box = first_slots(count, air.slots), _boxes(air, found)
    return Scene(
        count=count,
        count_probability=probability,
        presence=cumulative_sum(found.log_q.exp().flip(1)).flip(1)[:, 1:],
        box=torch.where(present[:, :, None], box, -torch.ones_like(box)),
        centre=(found.centre + 1) * air.canvas_size / 2,
        where=found.where,
        what=found.what,
        windows=found.windows[:, :, : air.channels],
        score=found.score(count),
        found=found,
        air=air,
        images=images,
    )


def _all_slots(found: Found) -> tuple[Tensor, Tensor, Tensor]:
    """Windows, sizes and centres of all slots, [B T, ...]."""
    return found.windows.flatten(0, 1), found.size.flatten(), found.centre.flatten(0, 1)


@torch.no_grad()
def _boxes(air: AIR, found: Found) -> Tensor:
    """Boxes of all slots' ink, [B, T, 4]; see ``ink_boxes``."""
    windows, size, centre = _all_slots(found)
    patches = Patches.around(size, centre, air.shape, windows.shape[-1])
    covered = cover(patches.paint(windows, size, centre), air.channels)
    return ink_boxes(covered, patches, size, centre).view(*found.size.shape, 4)


def ink_boxes(covered: Tensor, patches: Patches, size: Tensor, centre: Tensor) -> Tensor:
    """Boxes around the ink of painted windows.

    Args:
        covered: the ink of each window alone, in patches that hold all of it, [N, h, w'].
        patches: where these are.
        size: window sides as fractions of S, [N].
        centre: (x, y) on [-1, 1], [N, 2].

    Returns:
        (x, y, width, height) in pixels, [N, 4]; of a window too faint to have ink, its whole
        extent on the canvas.
    """
    canvas, ends = max(patches.shape), size.new_tensor(patches.shape[::-1])
    inked = covered >= INK
    columns, rows = inked.any(1), inked.any(2)
    extents = [_extent(columns, patches.columns), _extent(rows, patches.rows)]
    start, side = (torch.stack([extent[part] for extent in extents], 1) for part in (0, 1))
    half, middle = size[:, None] * canvas / 2, (centre + 1) * canvas / 2
    low, high = ((middle + sign * half).clamp(min=0).minimum(ends) for sign in (-1, 1))
    blank = ~columns.any(1, keepdim=True)
    whole = torch.cat([low, (high - low).clamp(min=1)], 1)
    return torch.where(blank, whole, torch.cat([start, side], 1).to(whole))


def _extent(inked: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """First inked pixel, and length up to the last, of flags [N, L] of ``pixels`` [N, L]."""
    flags = inked.byte()
    first, last = flags.argmax(1), inked.shape[1] - 1 - flags.flip(1).argmax(1)
    return pixels.gather(1, first[:, None])[:, 0], last - first + 1
