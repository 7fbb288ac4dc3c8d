"""The ELBO with the count summed out exactly.

Unrolling the guide as if every slot were present yields presence probabilities p_1..p_T and
the canvases of the first n objects. With q(n) = p_1 ... p_n (1 - p_{n+1}), one draw of the z's
gives

    ELBO = sum_n q(n) [log p(x | canvas_n) + log p(n) - log q(n)] - sum_t p_1 ... p_t KL_t,

the expectation over the count of the ELBO of Eslami et al. 2016 (section 2.2) for those z's.
Nothing discrete is sampled, so that there is no score function and nothing to baseline.

Legend: B batch, T slots.
"""

from __future__ import annotations

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.model.air import AIR, Unrolled
from airkit.model.distributions import log_count
from airkit.model.guides import Noise
from airkit.model.objectives.base import Estimator
from airkit.model.objectives.share import WHOLE, Share


def elbo(air: AIR, images: Tensor, noise: Noise, log_prior: Tensor | None = None) -> Tensor:
    """One-draw ELBO in nats for images [B, H, H], as [B].

    Args:
        air: the model and its guide.
        images: ink in 0..1, [B, H, H].
        noise: the random numbers of the draw; without any (``MEANS``) this is no bound.
        log_prior: log p(n) for n = 0..T, [T + 1], where a schedule replaces the model's own.
    """
    unrolled = air(images, noise)
    return from_unrolled(air, unrolled, air.log_prior if log_prior is None else log_prior)


def from_unrolled(air: AIR, unrolled: Unrolled, log_prior: Tensor) -> Tensor:
    """The same for a pass of the guide that is at hand, as [B]."""
    log_q, on = log_count(unrolled.logits)
    fit = unrolled.log_likelihood + log_prior - log_q
    return (log_q.exp() * fit).sum(1) - (on * air.kl(unrolled)).sum(1)


@torch.no_grad()
def terms(air: AIR, images: Tensor, noise: Noise, log_prior: Tensor) -> dict[str, Tensor]:
    """What ``elbo`` adds up, by name, slot after slot, each [B]."""
    unrolled = air(images, noise)
    log_q, _ = log_count(unrolled.logits)
    where = unrolled.where.normal.kl(air.pose.mean, air.pose.sd)
    what = unrolled.what.normal.kl()
    fit = unrolled.log_likelihood
    found = {"log p(n)": log_prior.sum().expand(len(images)), "log p(x | canvas_0)": fit[:, 0]}
    for slot in range(air.slots):
        found |= {
            f"log q(n = {slot})": log_q[:, slot],
            f"KL of z_where_{slot}": where[:, slot],
            f"KL of z_what_{slot}": what[:, slot],
            f"log p(x | canvas_{slot + 1})": fit[:, slot + 1],
        }
    return found


class Exact(Estimator):
    """The gradient of ``elbo`` by reparameterisation alone."""

    capturable = True

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        super().__init__(air, config, share)
        self.generator = torch.Generator(air.log_prior.device)

    def forward(self, images: Tensor, random: Noise, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Estimator.forward``; the loss is its own surrogate."""
        loss = -elbo(self.air, images, random, log_prior).mean()
        return loss.detach(), loss

    def terms(self, images: Tensor, random: Noise, log_prior: Tensor) -> dict[str, Tensor]:
        """See ``Estimator.terms``."""
        return terms(self.air, images, random, log_prior)

    def random(self, rows: int, seed: int) -> Noise:
        """The share's rows of the random numbers of a batch of which it is ``rows``."""
        self.generator.manual_seed(seed)
        drawn, air, batch = self.config.guide.looks == "drawn", self.air, rows * self.share.count
        noise = Noise.draw(self.generator, batch, air.slots, air.code, looks=drawn)
        return self.share.noise(noise, batch)
