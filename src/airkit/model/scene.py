"""What inference returns: how many objects, where, and what they look like.

Legend: B batch, T slots, H canvas side, W window side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import pad

from airkit.model.air import AIR, Unrolled
from airkit.model.geometry import paint
from airkit.model.guides import MEANS, Noise
from airkit.model.prior import log_count

INK = 0.1
"""Least ink, as a share of full ink, of a pixel that counts as inked; as in data files."""


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
    windows: Tensor
    """Decoded windows, [B, T, W, W]."""
    canvases: Tensor
    """Canvas of the first n objects, n = 0..T, [B, T + 1, H, H]."""
    score: Tensor
    """log p(x | canvas) + log p(n) - sum KL of the explanation kept, in nats, [B]."""

    @property
    def canvas(self) -> Tensor:
        """The reconstruction: the canvas of the first ``count`` objects, [B, H, H]."""
        return self.canvases[torch.arange(len(self.count)), self.count]


def explain(air: AIR, images: Tensor) -> Scene:
    """One look per slot at the saliency's peak, means of all latents, and the mode of q(n).

    Args:
        air: the trained model.
        images: ink in 0..1, [B, H, H].
    """
    unrolled = air(images)
    count = log_count(unrolled.logits)[0].argmax(1)
    score = _scores(air, images, unrolled).gather(1, count[:, None]).squeeze(1)
    return _scene(air, unrolled, count, score)


def explain_best(air: AIR, images: Tensor, looks: int, generator: torch.Generator) -> Scene:
    """The best of several explanations: a rule for counting and drawing, never a bound.

    The first look is at the saliency's peak, the others are drawn; kept is the (look, count)
    of greatest log p(x | canvas_n) + log p(n) - sum of KLs, at the means of the latents.

    Args:
        air: the trained model.
        images: ink in 0..1, [B, H, H].
        looks: explanations to compare; at least 1.
        generator: draws the looks.
    """
    best: Scene | None = None
    for look in range(looks):
        noise = Noise.draw_looks(generator, len(images), air.slots) if look else MEANS
        unrolled = air(images, noise)
        score, count = _scores(air, images, unrolled).max(1)
        scene = _scene(air, unrolled, count, score)
        best = scene if best is None else _better(best, scene)
    assert best is not None
    return best


def _scores(air: AIR, images: Tensor, unrolled: Unrolled) -> Tensor:
    """How well the first n objects explain each image, n = 0..T, in nats, as [B, T + 1]."""
    cost = pad(air.kl(unrolled).cumsum(1), (1, 0))
    return air.log_likelihood(images, unrolled.canvases) + air.log_prior - cost


def _better(one: Scene, other: Scene) -> Scene:
    """Canvas by canvas, the scene of the greater score."""
    wins = other.score > one.score
    return Scene(
        **{
            field.name: _choose(wins, getattr(other, field.name), getattr(one, field.name))
            for field in fields(Scene)
        }
    )


def _choose(wins: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """``yes`` in the rows that win [B], ``no`` in the others; both [B, ...]."""
    return torch.where(wins.view(-1, *[1] * (no.dim() - 1)), yes, no)


def _scene(air: AIR, unrolled: Unrolled, count: Tensor, score: Tensor) -> Scene:
    log_q, presence = log_count(unrolled.logits)
    box = ink_boxes(unrolled.windows, unrolled.size, unrolled.centre, air.canvas)
    present = torch.arange(air.slots, device=count.device) < count[:, None]
    return Scene(
        count=count,
        count_probability=log_q.exp(),
        presence=presence,
        box=torch.where(present[:, :, None], box, -torch.ones_like(box)),
        windows=unrolled.windows,
        canvases=torch.stack(unrolled.canvases, 1),
        score=score,
    )


def ink_boxes(windows: Tensor, size: Tensor, centre: Tensor, canvas: int) -> Tensor:
    """Extents of painted windows' ink, (x, y, width, height) in pixels, as [B, T, 4].

    Args:
        windows: [B, T, W, W].
        size: [B, T], fractions of the canvas.
        centre: [B, T, 2], (x, y) on [-1, 1].
        canvas: H, pixels.

    A window too faint to have ink gives a box of its whole extent on the canvas, at least a pixel.
    """
    batch, slots = size.shape
    painted = paint(windows.flatten(0, 1), size.flatten(), centre.flatten(0, 1), canvas)
    inked = painted >= INK
    columns, rows = inked.any(1), inked.any(2)
    extents = [_extent(columns), _extent(rows)]
    start, side = (torch.stack([extent[part] for extent in extents], 1) for part in (0, 1))
    half = size.flatten()[:, None] * canvas / 2
    middle = (centre.flatten(0, 1) + 1) * canvas / 2
    low, high = ((middle + sign * half).clamp(0, canvas) for sign in (-1, 1))
    blank = ~columns.any(1, keepdim=True)
    box = torch.where(
        blank, torch.cat([low, (high - low).clamp(min=1)], 1), torch.cat([start, side], 1)
    )
    return box.view(batch, slots, 4)


def _extent(inked: Tensor) -> tuple[Tensor, Tensor]:
    """First inked position and length up to the last, of rows [B, H] of flags, as floats [B]."""
    flags = inked.to(torch.float32)
    first = flags.argmax(1)
    last = inked.shape[1] - 1 - flags.flip(1).argmax(1)
    return first.to(torch.float32), (last - first + 1).to(torch.float32)
