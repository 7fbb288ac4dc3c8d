"""NVIL: presence is sampled and scored, and a learned baseline steadies the score.

The estimator of Eslami et al. 2016 (section 2.2; Mnih & Gregor 2014): with the cost that comes
downstream of z_pres_t,

    C_t = log p(x | canvas) + sum_{s >= t} log p(z_s | z_{s-1}) - log q(z_s | z_{s-1}, x),

the gradient of the ELBO is that of C_1, taken through the reparameterised z_where and z_what, plus
sum_t (C_t - baseline_t) grad log q(z_pres_t). It is what Pyro's ``TraceGraph_ELBO`` computes for
``airkit.model.pyro_programs``. Pyro's finds out what is downstream of what by tracking every
operation, which takes a quarter of a step; AIR's slots follow one another, so that nothing is to be
found out.

Legend: B batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.objectives.base import Estimator
from airkit.model.objectives.baselines import BASELINES
from airkit.model.objectives.share import WHOLE, Share
from airkit.model.pyro_programs import PyroAIR
from airkit.model.spatial_transformer import paint
from airkit.system import seeds


class NVIL(Estimator):
    """Score function with data-dependent baselines and masks, and switches to do without."""

    capturable = False

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        super().__init__(air, config, share)
        train, baseline = config.train, None
        if train.baseline != "none":
            baseline = BASELINES[train.baseline](config, air.canvas).to(air.log_prior.device)
            self.baselines = baseline
        self.programs = PyroAIR(
            air,
            baseline=baseline,
            baseline_scale=train.baseline_scale,
            masking=train.masking,
            drawn_looks=config.guide.looks == "drawn",
            param_store=False,
        )

    def random(self, rows: int, seed: int) -> int:
        """The seed: Pyro draws as it goes, row after row or not. Each share has its own."""
        del rows
        if self.share.count > 1:
            return seeds.integer(seed, "share", self.share.index)
        return seed

    def forward(self, images: Tensor, random: int, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Estimator.forward``; the baseline's gradients are those of its squared error."""
        self.programs.log_prior = log_prior
        with _seeded(random, images.device), pyro.validation_enabled(False):
            elbo, surrogate = self._surrogate(images)
        return -elbo.detach().mean(), -surrogate.mean()

    def _surrogate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The ELBO of one draw, [B], and what has the gradients that are wanted, [B]."""
        programs = self.programs
        guide, model = self._traces(images)
        cost: Tensor = model.nodes["obs"]["log_prob"]
        scored = torch.zeros_like(cost)
        for slot in reversed(range(self.air.slots)):
            presence, where, what = (
                model.nodes[name]["log_prob"] - guide.nodes[name]["log_prob"]
                for name in (f"z_pres_{slot}", f"z_where_{slot}", f"z_what_{slot}")
            )
            # Unmasked, latents cost the same whether the object is there or not.
            downstream = cost + presence + (where + what if programs.masking else 0.0)
            scored = scored + _scored(guide.nodes[f"z_pres_{slot}"], downstream)
            cost = cost + presence + where + what
        return cost, cost + scored

    def _traces(self, images: Tensor) -> tuple[Any, Any]:
        """One draw of the guide, and the model at what it drew."""
        programs = self.programs
        guide = poutine.trace(programs.guide).get_trace(images)
        model = poutine.trace(poutine.replay(programs.model, guide)).get_trace(images)
        for trace in (guide, model):
            trace.compute_log_prob()
        return guide, model

    @torch.no_grad()
    def terms(self, images: Tensor, random: int, log_prior: Tensor) -> dict[str, Tensor]:
        """See ``Estimator.terms``."""
        self.programs.log_prior = log_prior
        with _seeded(random, images.device), pyro.validation_enabled(False):
            guide, model = self._traces(images)
        return dict(self._terms(images, guide.nodes, model.nodes))

    def _terms(self, images: Tensor, guide: Any, model: Any) -> Iterator[tuple[str, Tensor]]:
        """Slot after slot: the baseline, each latent under q and p, and what is then painted."""
        air, canvas = self.air, torch.zeros_like(images)
        yield "log p(x | canvas_0)", air.log_likelihood(images, (canvas,))[:, 0]
        for slot in range(air.slots):
            presence, where, what = sites = [f"z_{z}_{slot}" for z in ("pres", "where", "what")]
            baseline = guide[presence]["infer"].get("baseline", {})
            if baseline:
                yield f"baseline_{slot}", baseline["baseline_value"]
            for site in sites:
                yield f"log q({site})", guide[site]["log_prob"]
                yield f"log p({site})", model[site]["log_prob"]
            window, pose = air.decoder(guide[what]["value"]), air.pose.decode(guide[where]["value"])
            painted = paint(window, *pose, air.canvas)
            canvas = canvas + guide[presence]["value"][:, None, None] * painted
            yield f"log p(x | canvas_{slot + 1})", air.log_likelihood(images, (canvas,))[:, 0]


def _scored(presence: Any, cost: Tensor) -> Tensor:
    """The score of a presence weighted by its cost [B], less the baseline's squared error, [B].

    The cost contains the presence's own -log q, whose gradient vanishes in the mean; adding one
    to the weight takes it out.
    """
    score: Tensor = presence["log_prob"]
    weight = cost.detach()
    baseline: Tensor | None = presence["infer"].get("baseline", {}).get("baseline_value")
    if baseline is None:
        return score * (weight + 1)
    return score * (weight - baseline.detach() + 1) - (weight - baseline) ** 2


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Pyro draws from the global generators: seed them for a while, and put them back."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed visits every backend
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield
