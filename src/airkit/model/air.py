"""Attend-Infer-Repeat (Eslami et al., NIPS 2016, arXiv 1603.08575), in the words of the paper.

Generative model (section 2, equation 1): a count n ~ p(n); for each of n objects
z_where ~ the pose's prior and z_what ~ N(0, I); a decoder makes a window of z_what, the spatial
transformer paints it at z_where, windows add up to the canvas or hide what is behind them, and
pixels are normal around it. The canvas is what stands out of the background (``background``).

Guide (section 2.1): slot by slot, q(z_pres_t), q(z_where_t) and q(z_what_t), given the image and
the slots before. Here it runs over all T slots with every object present, so that the count, which
the paper samples as z_pres, can be summed out exactly (``airkit.model.objectives.elbo``).

Training may use ``airkit.model.fast``: the same numbers, with gradients written by hand.

Legend: B batch, C channels, T slots, H height, N rows (B, or B K where K consecutive rows are looks
at one image), P channels of a window (C, and a mask where objects occlude each other), W width, S
the longer side, w window side, Z code size. A picture that is not square is the upper left H x W
part of a square canvas of side S.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.background import CODE, Background
from airkit.model.canvas import Canvas, LocalCanvas, compose
from airkit.model.checks import check_default_dtype, check_images
from airkit.model.counts import count_prior
from airkit.model.decoders import Decoder, build_decoder, check_windows
from airkit.model.distributions import Normal
from airkit.model.guides import MEANS, Guide, Noise, Residual, Slot, build_guide
from airkit.model.poses import POSES, Pose
from airkit.model.spatial_transformer import Shape, paint
from airkit.model.tuples import map_tensors

LOCAL_CANVAS_FROM = 3.0
"""Longer side of a picture, in typical object sizes, from which its canvas is a local one."""
LEAST_SD = 0.01
"""Least standard deviation of the pixel noise that is learned."""


class Draw(NamedTuple):
    """A draw of one latent in every slot.

    Attributes:
        normal: the guide's normals, [B, T, D] each; D is 3 of z_where, and Z of z_what.
        value: what was drawn, [B, T, D].
    """

    normal: Normal
    value: Tensor


class Object(NamedTuple):
    """One slot of N rows: q(z_pres), and q and a draw of z_where and z_what.

    Attributes:
        logit: log odds of z_pres = 1 given that all slots before are on, [N].
        where: z_where, [N, 3].
        what: z_what, [N, Z].
        size: window side as a fraction of S, [N].
        centre: window centre (x, y) on [-1, 1], [N, 2].
        window: decoded window, [N, P, w, w]; see ``Decoder``.
    """

    logit: Tensor
    where: Draw
    what: Draw
    size: Tensor
    centre: Tensor
    window: Tensor

    def slot(self) -> Slot:
        """What the guide is told of it, z_pres being 1."""
        present = torch.ones_like(self.size)
        return Slot(present, self.where.value, self.what.value, self.size, self.centre)


class Unrolled(NamedTuple):
    """One pass of the guide over all slots, each slot present.

    Attributes:
        logits: log odds of z_pres_t = 1 given that all slots before are on, [B, T].
        where: z_where, [B, T, 3].
        what: z_what, [B, T, Z].
        size: window sides as fractions of S, [B, T].
        centre: window centres (x, y) on [-1, 1], [B, T, 2].
        windows: decoded windows, [B, T, P, w, w].
        log_likelihood: log p(x | canvas of the first n objects) in nats, n = 0..T, [B, T + 1];
            where the background is learned, plus log p(z_behind) - log q(z_behind | x) of its draw.
    """

    logits: Tensor
    where: Draw
    what: Draw
    size: Tensor
    centre: Tensor
    windows: Tensor
    log_likelihood: Tensor


class AIR(nn.Module):
    """The generative model p(x, z) and the guide q(z | x), for any number of slots.

    The model's weights depend neither on the canvas nor on the number of slots; nor do those of a
    guide that serves ``any_canvas``, so that one set of them serves every canvas size.
    """

    pose: Pose
    """The prior of z_where, and what it means on the canvas."""
    guide: Guide
    """q(z | x), slot by slot."""
    decoder: Decoder
    """p(x_att | z_what): what an object looks like."""
    first_log_prior: Tensor
    """``log_prior`` at the pixel noise of the configuration."""

    def __init__(
        self, config: Config, *, canvas_size: int | Shape | None = None, slots: int | None = None
    ):
        """Build for ``config``, or for other canvases or another number of slots.

        Args:
            config: the resolved configuration.
            canvas_size: S of square canvases in pixels, or H and W.
            slots: T.

        Raises:
            AirkitError: PyTorch's default dtype is not float32.
        """
        check_default_dtype()
        super().__init__()
        if canvas_size is not None:
            config = config.on_canvas(canvas_size)
        self.canvas_size, self.shape = config.data.canvas_size, config.data.shape
        self.slots = config.slots if slots is None else slots
        self.channels, self.code = config.data.channels, config.code_size
        self.config, self.log_sd = config, None
        if config.model.pixel_noise == "learned":
            self.log_sd = nn.Parameter(torch.tensor(math.log(config.pixel_sd)))
        typical_size = config.object_size / self.canvas_size
        self.background, self.occludes = Background(config), config.occludes
        self.behind = 0 if self.background.learned is None else CODE
        extent = self.shape[1] / self.canvas_size, self.shape[0] / self.canvas_size
        self.pose = POSES[config.model.pose](typical_size, config.model.object_size_sd, extent)
        self.guide = build_guide(config, self.pose, self.canvas_size)
        self.candidates = config.eval.candidates
        """Looks that each slot compares in a search for objects; see ``airkit.model.search``."""
        self.decoder = build_decoder(config)
        self.count_prior = count_prior(config.prior.kind)
        log_prior = self.count_prior.log_prob(config.prior_ratio, self.slots).float()
        self.register_buffer("first_log_prior", log_prior, persistent=False)

    @property
    def pixel_sd(self) -> float | Tensor:
        """Standard deviation of the pixel noise; a scalar tensor where it is learned."""
        if self.log_sd is None:
            return self.config.pixel_sd
        sd = self.log_sd.exp()  # which has a gradient below its least value too, to leave it by
        return sd + (LEAST_SD - sd).clamp(min=0).detach()

    @property
    def prior_ratio(self) -> float:
        """The count prior's ratio; where it is auto and the noise is learned, it follows that."""
        if self.log_sd is None or self.config.prior.ratio != "auto":
            return self.config.prior_ratio
        return self.config.prior_ratio_at(torch.as_tensor(self.pixel_sd).item())

    @property
    def log_prior(self) -> Tensor:
        """Log p(n) for n = 0..T, [T + 1]."""
        if self.log_sd is None:
            return self.first_log_prior
        log_prior = self.count_prior.log_prob(self.prior_ratio, self.slots)
        return log_prior.to(self.first_log_prior)

    def noise(self, generator: torch.Generator, batch: int, *, looks: bool) -> Noise:
        """Draw the noise of one pass, of every latent that this model has.

        Args:
            generator: what to draw from, on the device that the noise is to be on.
            batch: B.
            looks: whether looks are sampled too.
        """
        device = generator.device

        def randn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device)

        where, what = randn(batch, self.slots, 3), randn(batch, self.slots, self.code)
        look = torch.rand(batch, self.slots, generator=generator, device=device) if looks else None
        return Noise(where, what, look, randn(batch, self.behind) if self.behind else None)

    def forward(self, images: Tensor, noise: Noise = MEANS) -> Unrolled:
        """Run the guide over all slots and paint what it finds, as ``Unrolled``; it is ``air(x)``.

        Args:
            images: levels in 0..1, [B, C, H, W].
            noise: random inputs of the draw; without, means of latents and likeliest looks.
        """
        return self.on_background(images, noise, self.unroll)

    def ink(self, images: Tensor) -> Tensor:
        """``Background.ink`` of images, which are checked."""
        check_images(images, self.pose.mean, (self.channels, *self.shape))
        return self.background.ink(images)

    def draws(self, images: Tensor) -> Callable[[Noise], Unrolled]:
        """``forward`` of the same images as a function of the noise alone.

        The background is estimated once, unless it is a latent that each draw samples anew.
        """
        if self.background.learned is not None:
            return partial(self, images)
        return partial(self.unroll, self.ink(images))

    def on_background(
        self, images: Tensor, noise: Noise, unroll: Callable[[Tensor, Noise], Unrolled]
    ) -> Unrolled:
        """Split background and ink, and ``unroll`` the guide over the ink: all of ``forward``.

        A learned background is drawn once, before all slots, and its log p(z) - log q(z | x) is
        added to every ``Unrolled.log_likelihood``.
        """
        learned = self.background.learned
        if learned is None:
            return unroll(self.ink(images), noise)
        check_images(images, self.pose.mean, (self.channels, *self.shape))
        q_behind = learned.encode(images)
        z_behind = q_behind.sample(noise.behind)
        behind = learned.decode(z_behind, self.shape)
        unrolled = unroll(self.background.ink(images, behind), noise)
        ratio = learned.log_ratio(q_behind, z_behind)
        return unrolled._replace(log_likelihood=unrolled.log_likelihood + ratio[:, None])

    def unroll(self, ink: Tensor, noise: Noise = MEANS) -> Unrolled:
        """``forward`` from what stands out of the background.

        Args:
            ink: ``Background.ink``, [B, C, H, W].
            noise: as for ``forward``.
        """
        state, canvas = self.guide.start(ink.detach()), self.canvas(ink)
        objects, errors = [], [canvas.error]
        for t in range(self.slots):
            residual, noise_t = canvas.residual(), noise.slot(t)
            logit, q_where, state = self.guide.checked_proposal(
                state, residual, noise_t.look, len(ink)
            )
            object_t = self.draw(logit, q_where, residual, noise_t)
            canvas.add(object_t.window, object_t.size, object_t.centre)
            errors.append(canvas.error)
            state = self.guide.advance(state, object_t.slot())
            objects.append(object_t)
        found = map_tensors(lambda *slots: torch.stack(slots, 1), *objects)
        return Unrolled(*found, self.log_p_x(torch.stack(errors, 1)))

    def canvas(self, ink: Tensor) -> Canvas:
        """A blank canvas; a ``LocalCanvas`` where that is faster and the guide allows it."""
        edge, typical = self.guide.edge, self.config.object_size
        small = self.canvas_size < LOCAL_CANVAS_FROM * typical
        if small or edge is None or torch.is_grad_enabled():
            return Canvas(ink, signed=self.background.signed)
        return LocalCanvas(ink, signed=self.background.signed, edge=edge)

    def draw(self, logit: Tensor, q_where: Normal, residual: Residual, noise: Noise) -> Object:
        """Draw z_where, read q(z_what) at that pose, draw z_what and decode it.

        Args:
            logit: log odds that the slot is on given that all before it are, [N].
            q_where: the normal of z_where, [N, 3].
            residual: what the slots before left unexplained.
            noise: the noise of this slot.
        """
        where, what, size, centre = self.draw_latents(q_where, residual, noise)
        return Object(logit, where, what, size, centre, self.decode(what.value))

    def draw_latents(
        self, q_where: Normal, residual: Residual, noise: Noise
    ) -> tuple[Draw, Draw, Tensor, Tensor]:
        """``draw`` without the decoder: z_where, z_what, size and centre as in ``Object``."""
        where = Draw(q_where, q_where.sample(noise.where))
        size, centre = self.pose.decode(where.value)
        q_what = self.guide.checked_code(residual, size, centre, self.code)
        return where, Draw(q_what, q_what.sample(noise.what)), size, centre

    def decode(self, code: Tensor) -> Tensor:
        """Windows [N, P, w, w] of codes z_what [N, Z].

        Raises:
            ExtensionError: a decoder from outside returned something else.
        """
        windows: Tensor = self.decoder(code)
        check_windows(self.config, windows, code)
        return windows

    def log_p_x(self, squared_error: Tensor) -> Tensor:
        """Log p(x | canvas) in nats: every pixel is N(canvas, pixel_sd^2).

        Args:
            squared_error: of an image from its canvas, summed over pixels and channels, any shape.
        """
        sd = self.pixel_sd
        log_sd = sd.log() if isinstance(sd, Tensor) else math.log(sd)
        values = self.channels * math.prod(self.shape)
        log_normaliser = log_sd + 0.5 * math.log(2 * math.pi)
        return -squared_error / (2 * sd**2) - values * log_normaliser

    def kl(self, slots: Unrolled | Object) -> Tensor:
        """KL of each slot's z_where and z_what from their priors, in nats, as [B, T] or [N]."""
        where = slots.where.normal.kl(self.pose.mean, self.pose.sd)
        return where + slots.what.normal.kl()

    def log_ratio(self, unrolled: Unrolled) -> Tensor:
        """Log p(z) - log q(z | x) of each slot's drawn z_where and z_what, as [B, T]."""
        (q_where, where), (q_what, what) = unrolled.where, unrolled.what
        log_p = Normal(self.pose.mean, self.pose.sd).log_prob(where)
        log_p = log_p + Normal(torch.zeros_like(what), torch.ones_like(what)).log_prob(what)
        return log_p - q_where.log_prob(where) - q_what.log_prob(what)

    def sample_canvases(self, counts: Tensor | Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw canvases [N, C, H, W] without pixel noise, of ``counts`` [N] objects each.

        A count may exceed T. Counts up to T all use the same number of random numbers.

        Args:
            counts: how many objects each canvas holds.
            generator: what to draw from, on the model's device.
        """
        counts = torch.as_tensor(counts, device=generator.device)

        def randn(length: int) -> Tensor:
            shape, like = (len(counts), length), self.pose.mean
            return torch.randn(shape, generator=generator, device=counts.device, dtype=like.dtype)

        canvas = self.pose.mean.new_zeros(len(counts), self.channels, *self.shape)
        for slot in range(max([self.slots, *counts.tolist()])):
            z_where = Normal(self.pose.mean, self.pose.sd).sample(randn(3))
            window = self.decode(randn(self.code))
            painted = paint(window, *self.pose.decode(z_where), self.shape)
            with_object = compose(canvas, painted)
            canvas = torch.where((counts > slot)[:, None, None, None], with_object, canvas)
        return self.background.unstretched(canvas)
