"""NVIL: presence is sampled and scored, and a learnt baseline reduces the score's variance.

The estimator of arXiv 1603.08575, section 2.2 (NVIL: arXiv 1402.0030). With the terms of the ELBO
downstream of z_pres_t,

    C_t = log p(x | canvas) + sum_{s >= t} log p(z_s | z_{s-1}) - log q(z_s | z_{s-1}, x),

the gradient of the ELBO is that of C_1 through the reparameterised z_where and z_what, plus
sum_t (C_t - baseline_t) grad log q(z_pres_t). It is what Pyro's ``TraceGraph_ELBO`` computes for
``airkit.model.pyro_programs``, which finds by tracking every operation what AIR's order of slots
says already: which terms are downstream of which sample.

Legend: B batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.objectives.base import WHOLE, Objective, Share
from airkit.model.objectives.baselines import BASELINES
from airkit.model.pyro_programs import PyroAIR
from airkit.system import seeds
from airkit.system.device import seeded
from airkit.system.notebooks import without_widgets_warning

with without_widgets_warning():
    import pyro
    from pyro import poutine


class NVIL(Objective):
    """Score function with data-dependent baselines and masks, each of which can be left out."""

    def __init__(self, air: AIR, config: Config, share: Share = WHOLE) -> None:
        super().__init__(air, config, share)
        train, baseline = config.train, None
        if train.baseline != "none":
            baseline = BASELINES[train.baseline](config).to(air.log_prior.device)
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
        """The seed, one for each process: Pyro draws as it goes, without regard to rows."""
        del rows
        if self.share.count > 1:
            return seeds.integer(seed, "share", self.share.index)
        return seed

    def forward(self, images: Tensor, random: int, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective.forward``; the baseline learns by its squared error."""
        self.programs.log_prior = log_prior
        with seeded(random, images.device), pyro.validation_enabled(False):
            elbo, surrogate = self._surrogate(images)
        return -elbo.detach().mean(), -surrogate.mean()

    def _surrogate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The ELBO of one draw and its surrogate, [B] each."""
        programs = self.programs
        guide, model = self._traces(images)
        downstream: Tensor = model.nodes["obs"]["log_prob"]
        scored = torch.zeros_like(downstream)
        for slot in reversed(range(self.air.slots)):
            presence, where, what = (
                model.nodes[name]["log_prob"] - guide.nodes[name]["log_prob"]
                for name in (f"z_pres_{slot}", f"z_where_{slot}", f"z_what_{slot}")
            )
            # Unmasked, latents cost the same whether the object is there or not.
            cost = downstream + presence + (where + what if programs.masking else 0.0)
            scored = scored + _scored(guide.nodes[f"z_pres_{slot}"], cost)
            downstream = downstream + presence + where + what
        if self.air.background.learned is not None:
            behind = [trace.nodes["z_behind"]["log_prob"] for trace in (model, guide)]
            downstream = downstream + behind[0] - behind[1]
        return downstream, downstream + scored

    def _traces(self, images: Tensor) -> tuple[Any, Any]:
        """Traces of the guide, and of the model on what the guide drew."""
        programs = self.programs
        guide = poutine.trace(programs.guide).get_trace(images)
        model = poutine.trace(poutine.replay(programs.model, guide)).get_trace(images)
        for trace in (guide, model):
            trace.compute_log_prob()
        return guide, model


def _scored(presence: Any, cost: Tensor) -> Tensor:
    """The score of a presence weighted by its ``cost`` [B], less the baseline's squared error, [B].

    The ELBO, to which this is added, holds -log q of the presence too, whose gradient has mean zero
    and is nothing but noise: the 1 in the weight cancels it.
    """
    score: Tensor = presence["log_prob"]
    weight = cost.detach()
    baseline: Tensor | None = presence["infer"].get("baseline", {}).get("baseline_value")
    if baseline is None:
        return score * (weight + 1)
    return score * (weight - baseline.detach() + 1) - (weight - baseline) ** 2
