"""Attend-Infer-Repeat (Eslami et al., NIPS 2016): the generative model and its guide.

p(n) on 0..T; for each object z_where ~ the pose's prior and z_what ~ N(0, I); its window is
decoded, painted by the spatial transformer, and summed; pixels are normal around the canvas.
The guide runs over all T slots as if every object were present, so that the count can be
summed out (``airkit.estimators.exact``).

Legend: B batch, T slots, H canvas side, W window side, Z code size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from airkit.config import Config
from airkit.model.geometry import POSES, Pose, paint
from airkit.model.guides import GUIDES, MEANS, Guide, Noise, Slot
from airkit.model.networks import Decoder, Normal
from airkit.model.prior import log_count_prior


class Draw(NamedTuple):
    """A draw of one latent in every slot: the guide's normals and the values drawn, [B, T, D]."""

    normal: Normal
    value: Tensor


class Unrolled(NamedTuple):
    """One pass of the guide over all slots, each slot present."""

    logits: Tensor
    """Log odds of presence given that all slots before are on, [B, T]."""
    where: Draw
    """z_where, [B, T, 3]."""
    what: Draw
    """z_what, [B, T, Z]."""
    size: Tensor
    """Window sides as fractions of the canvas, [B, T]."""
    centre: Tensor
    """Window centres (x, y) on [-1, 1], [B, T, 2]."""
    windows: Tensor
    """Decoded windows, [B, T, W, W]."""
    canvases: tuple[Tensor, ...]
    """What the first n objects paint, n = 0..T, each [B, H, H]."""


class AIR(nn.Module):
    """The model and its guide, for any number of slots.

    The model's weights depend on neither canvas nor slots; nor do those of a guide that serves
    ``any_canvas``, so that one set of them serves every canvas size.
    """

    pose: Pose
    guide: Guide
    log_prior: Tensor

    def __init__(self, config: Config, *, canvas: int | None = None, slots: int | None = None):
        """Build for ``config``, or for other canvases (pixels) and slots than it names."""
        super().__init__()
        self.canvas = config.data.canvas_size if canvas is None else canvas
        self.slots = config.slots if slots is None else slots
        self.code, self.pixel_sd = config.model.code_size, config.model.pixel_sd
        typical = config.object_size / self.canvas
        self.pose = POSES[config.model.pose](typical, config.model.object_size_sd)
        self.guide = GUIDES[config.guide.kind](config, self.pose, self.canvas)
        self.decoder = Decoder(config)
        prior = log_count_prior(config.prior.kind, config.prior_ratio, self.slots)
        self.register_buffer("log_prior", prior, persistent=False)

    def forward(self, images: Tensor, noise: Noise = MEANS) -> Unrolled:
        """Run the guide over all slots.

        Args:
            images: ink in 0..1, [B, H, H].
            noise: the random numbers to draw with; without, means and likeliest looks.
        """
        state = self.guide.start(images)
        canvases, slots = [torch.zeros_like(images)], []
        present = images.new_ones(len(images))
        for slot in range(self.slots):
            drawn = noise.slot(slot)
            state, logit, where = self.guide.propose(state, canvases[-1], drawn.look)
            pose = where.at(drawn.where)
            size, centre = self.pose.decode(pose)
            what = self.guide.encode(state, size, centre)
            code = what.at(drawn.what)
            window = self.decoder(code)
            canvases.append(canvases[-1] + paint(window, size, centre, self.canvas))
            state = self.guide.advance(state, Slot(present, pose, code, size, centre))
            slots.append((logit, *where, pose, *what, code, size, centre, window))
        logits, *draws, sizes, centres, windows = (
            torch.stack(part, 1) for part in zip(*slots, strict=True)
        )
        return Unrolled(
            logits,
            Draw(Normal(*draws[:2]), draws[2]),
            Draw(Normal(*draws[3:5]), draws[5]),
            sizes,
            centres,
            windows,
            tuple(canvases),
        )

    def kl(self, unrolled: Unrolled) -> Tensor:
        """KL of each slot's z_where and z_what from their priors, in nats, as [B, T]."""
        where = unrolled.where.normal.kl(self.pose.mean, self.pose.sd)
        return where + unrolled.what.normal.kl()

    def log_ratio(self, unrolled: Unrolled) -> Tensor:
        """Log p(z) - log q(z) of each slot's drawn z_where and z_what, as [B, T]."""
        (where, pose), (what, code) = unrolled.where, unrolled.what
        prior = Normal(self.pose.mean, self.pose.sd).log_prob(pose)
        prior = prior + Normal(torch.zeros_like(code), torch.ones_like(code)).log_prob(code)
        return prior - where.log_prob(pose) - what.log_prob(code)

    def log_likelihood(self, images: Tensor, canvases: tuple[Tensor, ...]) -> Tensor:
        """Log p(x | canvas_n) in nats for images [B, H, H] and N canvases alike, as [B, N]."""
        residuals = [(images - canvas).flatten(1) for canvas in canvases]
        error = torch.stack([torch.linalg.vecdot(each, each) for each in residuals], 1)
        constant = math.log(self.pixel_sd) + 0.5 * math.log(2 * math.pi)
        return -error / (2 * self.pixel_sd**2) - self.canvas**2 * constant

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw scenes from the model: counts [N] and canvases [N, H, H] without pixel noise."""
        prior = self.log_prior.exp()
        counts = torch.multinomial(prior, count, replacement=True, generator=generator)
        return counts, self.sample_canvases(counts, generator)

    def sample_canvases(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Draw canvases [N, H, H] with the given numbers of objects [N] from the model.

        A number may be greater than T. Fewer take as many random numbers as T objects do.
        """
        batch, device, dtype = len(counts), counts.device, self.pose.mean.dtype
        canvas = torch.zeros(batch, self.canvas, self.canvas, device=device, dtype=dtype)
        for slot in range(max([self.slots, *counts.tolist()])):
            where = Normal(self.pose.mean, self.pose.sd).at(
                torch.randn(batch, 3, generator=generator, device=device, dtype=dtype)
            )
            code = torch.randn(batch, self.code, generator=generator, device=device, dtype=dtype)
            painted = paint(self.decoder(code), *self.pose.decode(where), self.canvas)
            canvas = canvas + painted * (counts > slot)[:, None, None]
        return canvas
