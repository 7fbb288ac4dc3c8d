"""Attend-Infer-Repeat (Eslami et al., NIPS 2016): the generative model and its guide.

p(n) on 0..T; for each object z_where ~ the pose's prior and z_what ~ N(0, I); its window is
decoded, painted by the spatial transformer, and summed; pixels are normal around the canvas.
The guide runs over all T slots as if every object were present, so that the count can be
summed out (``airkit.model.objectives.elbo``).

A guide that does not see the canvas is run once, slot by slot. One that does carries no gradients
from slot to slot: it is first run without any, to see where it looks, and then over all slots at
once, T . B rows, with what was computed taken from a tape: products are fewer and larger.

Legend: B batch, T slots, N rows (B, or T . B slot after slot), H canvas side, W window side,
Z code size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.distributions import log_count_prior
from airkit.model.guides import GUIDES, MEANS, Guide, Noise, Slot
from airkit.model.likelihood import log_likelihood, painted_errors, squared_errors
from airkit.model.networks import Decoder, Normal
from airkit.model.poses import POSES, Pose
from airkit.model.spatial_transformer import Images, paint
from airkit.model.tape import Known, Tape, afresh


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
    residuals: Tensor
    """Images less what the first n objects paint, n = 0..T, [T + 1, B, H, H]; no gradients."""
    log_likelihood: Tensor
    """Log p(x | canvas of the first n objects) in nats, n = 0..T, [B, T + 1]."""


class _Found(NamedTuple):
    """N rows of inferred latents."""

    logit: Tensor
    where_mean: Tensor
    where_sd: Tensor
    pose: Tensor
    """z_where, [N, 3]."""
    what_mean: Tensor
    what_sd: Tensor
    code: Tensor
    """z_what, [N, Z]."""
    size: Tensor
    centre: Tensor


class _Walk(NamedTuple):
    """What came about from slot to slot."""

    sights: list[Any]
    """What the guide proposed from."""
    found: list[_Found]
    windows: list[Tensor]
    residuals: Tensor
    """See ``Unrolled``; n = 0 alone where the guide sees no canvas."""

    def seen(self, slot: int) -> Tensor:
        """What the guide sees at a slot, [B, C, H, H]: the image, and what is left of it."""
        if len(self.residuals) == 1:
            return self.residuals.transpose(0, 1)
        image = self.residuals[:1]
        both = self.residuals[: slot + 1 : slot] if slot else image.expand(2, -1, -1, -1)
        return both.transpose(0, 1)  # a view: channels a multiple of an image apart


def _joined(slots: Sequence[Any]) -> Any:
    """Named tuples of rows, one for each slot, as one: rows slot after slot."""
    return type(slots[0])(*map(torch.cat, zip(*slots, strict=True)))


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
            images: ink in 0..1, [B, H, H]; data, to which no gradient flows.
            noise: the random numbers to draw with; without, means and likeliest looks.
        """
        if not (self.guide.sees_canvas and torch.is_grad_enabled()):
            return self._once(images, noise)
        return self._twice(images, noise)

    def _once(self, images: Tensor, noise: Noise) -> Unrolled:
        """Slot by slot; what the guide does not see of the canvas is painted at the end."""
        walk = self._walk(images, noise)
        found = _joined(walk.found)
        if self.guide.sees_canvas:
            windows, error = torch.cat(walk.windows), squared_errors(walk.residuals)
            return self._unrolled(found, windows, walk.residuals, error)
        windows, pose, tape = self.decoder(found.code), (found.size, found.centre), Tape()
        with torch.no_grad():
            painted = self._by_slot(paint(windows, *pose, self.canvas, tape.record()))
            residuals = torch.stack(list(accumulate(painted, torch.sub, initial=images)))
        error = painted_errors(windows, *pose, residuals, tape.replay())
        return self._unrolled(found, windows, residuals, error)

    def _twice(self, images: Tensor, noise: Noise) -> Unrolled:
        """Slot by slot without gradients, and all slots at once with them."""
        tape = Tape()
        with torch.no_grad():
            walk = self._walk(images, noise, tape)
        known, seen = tape.replay(), [walk.seen(slot) for slot in range(self.slots)]
        found = self._find(seen, _joined(walk.sights), noise.rows(), known)
        windows = self.decoder(found.code, known)
        error = painted_errors(windows, found.size, found.centre, walk.residuals, known)
        return self._unrolled(found, windows, walk.residuals, error)

    def _walk(self, images: Tensor, noise: Noise, tape: Tape | None = None) -> _Walk:
        """Drive the guide from slot to slot, each slot present."""
        state, present = self.guide.start(images), images.new_ones(len(images))
        steps = self.slots if self.guide.sees_canvas else 0
        walk = _Walk([], [], [], images.new_empty(steps + 1, *images.shape))
        walk.residuals[0] = images
        for slot in range(self.slots):
            drawn, known = noise.slot(slot), afresh if tape is None else tape.record()
            seen = walk.seen(slot)
            sight, state = self.guide.attend(state, seen, drawn.look)
            found = self._find([seen], sight, drawn, known)
            if slot + 1 < self.slots:
                latents = Slot(present, found.pose, found.code, found.size, found.centre)
                state = self.guide.advance(state, latents)
            walk.sights.append(sight)
            walk.found.append(found)
            if self.guide.sees_canvas:
                windows = self.decoder(found.code, known)
                painted = paint(windows, found.size, found.centre, self.canvas, known)
                torch.sub(walk.residuals[slot], painted, out=walk.residuals[slot + 1])
                walk.windows.append(windows)
        return walk

    def _find(self, seen: Images, sight: Any, noise: Noise, known: Known = afresh) -> _Found:
        """Infer the latents of N rows from what the guide sees."""
        logit, where = self.guide.propose(sight, known)
        pose = where.at(noise.where)
        size, centre = self.pose.decode(pose)
        what = self.guide.encode(seen, size, centre, known)
        return _Found(logit, *where, pose, *what, what.at(noise.what), size, centre)

    def _unrolled(
        self, found: _Found, windows: Tensor, residuals: Tensor, error: Tensor
    ) -> Unrolled:
        """Rows, slot after slot, as [B, T, ...]."""
        logit, *normals, size, centre = (self._by_slot(part).transpose(0, 1) for part in found)
        mean, sd, pose, code_mean, code_sd, code = normals
        return Unrolled(
            logits=logit,
            where=Draw(Normal(mean, sd), pose),
            what=Draw(Normal(code_mean, code_sd), code),
            size=size,
            centre=centre,
            windows=self._by_slot(windows).transpose(0, 1),
            residuals=residuals,
            log_likelihood=log_likelihood(error, self.canvas**2, self.pixel_sd),
        )

    def _by_slot(self, rows: Tensor) -> Tensor:
        """Rows [T . B, ...] as [T, B, ...]."""
        return rows.view(self.slots, -1, *rows.shape[1:])

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
        error = squared_errors(torch.stack([images - canvas for canvas in canvases]))
        return log_likelihood(error, self.canvas**2, self.pixel_sd)

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
