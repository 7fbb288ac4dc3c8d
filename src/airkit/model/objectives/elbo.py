"""The ELBO with the count summed out exactly.

One pass of the guide with every slot present gives presence probabilities p_1..p_T and the canvases
of the first n objects. With q(n) = p_1 ... p_n (1 - p_{n+1}), one draw of the z's gives

    ELBO = sum_n q(n) [log p(x | canvas_n) + log p(n) - log q(n)] - sum_t p_1 ... p_t KL_t,

which has the mean of the ELBO of arXiv 1603.08575, section 2.2: the count is summed out, and the
z's log p(z) - log q(z) is replaced by its mean, the KL. Nothing discrete is sampled, so that there
is no score function and no baseline.

Legend: B batch, T slots.
"""

from __future__ import annotations

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.model import fast
from airkit.model.air import AIR, Unrolled
from airkit.model.counts import log_count_posterior
from airkit.model.guides import Noise
from airkit.model.objectives.base import WHOLE, Objective, Share


def elbo(air: AIR, images: Tensor, noise: Noise, log_prior: Tensor | None = None) -> Tensor:
    """One-draw ELBO in nats, [B].

    Args:
        air: the model and its guide.
        images: levels in 0..1, [B, C, H, W].
        noise: the random inputs of the draw; without any (``MEANS``) this is no bound.
        log_prior: log p(n) for n = 0..T, [T + 1], in place of the model's own.
    """
    return elbo_of(air, air(images, noise), air.log_prior if log_prior is None else log_prior)


def elbo_of(air: AIR, unrolled: Unrolled, log_prior: Tensor) -> Tensor:
    """The one-draw ELBO in nats of a pass of the guide, [B]; ``log_prior`` is [T + 1]."""
    log_q, on = log_count_posterior(unrolled.logits)
    per_count = unrolled.log_likelihood + log_prior - log_q
    return (log_q.exp() * per_count).sum(1) - (on * air.kl(unrolled)).sum(1)


class ExactELBO(Objective):
    """The gradient of ``elbo`` by reparameterisation alone."""

    capturable = True

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        super().__init__(air, config, share)
        self.generator = torch.Generator(air.log_prior.device)
        self.fast = config.backward == "fast"

    def random(self, rows: int, seed: int) -> Noise:
        """This process's rows of the noise of the whole batch."""
        self.generator.manual_seed(seed)
        batch = rows * self.share.count
        noise = self.air.noise(self.generator, batch, looks=self.config.guide.looks == "drawn")
        return self.share.noise(noise, batch)

    def forward(self, images: Tensor, random: Noise, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective.forward``; the loss is its own surrogate."""
        unrolled = fast.unroll(self.air, images, random) if self.fast else self.air(images, random)
        loss = -elbo_of(self.air, unrolled, log_prior).mean()
        return loss.detach(), loss
