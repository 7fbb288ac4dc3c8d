"""NVIL: presence is sampled and scored, and a learned baseline steadies the score.

The estimator of Eslami et al. 2016 (section 2.2; Mnih & Gregor 2014) as Pyro's
``TraceGraph_ELBO`` computes it for ``airkit.model.pyro_air``: each presence's score is weighted
by the costs downstream of it alone, less what the baseline predicts of them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch
from pyro import poutine
from pyro.infer import TraceGraph_ELBO
from torch import Tensor

from airkit.config import Config
from airkit.estimators.estimator import Estimator
from airkit.model.air import AIR
from airkit.model.baselines import BASELINES
from airkit.model.pyro_air import PyroAIR


class NVIL(Estimator):
    """``TraceGraph_ELBO`` with data-dependent baselines, and switches to do without."""

    def __init__(self, air: AIR, config: Config) -> None:
        super().__init__(air, config)
        train, baseline = config.train, None
        if train.baseline != "none":
            baseline = BASELINES[train.baseline](config, air.canvas)
            self.baselines = baseline.to(air.log_prior.device)
        self.programs = PyroAIR(
            air,
            baseline=baseline,
            masking=train.masking,
            drawn_looks=config.guide.looks == "drawn",
            param_store=False,
        )
        self.elbo = TraceGraph_ELBO(max_plate_nesting=1)

    def backward(self, images: Tensor, seed: int, log_prior: Tensor) -> Tensor:
        """See ``Estimator.backward``; the baseline's gradients are those of its squared error."""
        share, programs = 1 / len(images), self.programs
        programs.log_prior = log_prior
        programs.baseline_scale = self.config.train.baseline_scale * share
        model, guide = (poutine.scale(each, share) for each in (programs.model, programs.guide))
        with _seeded(seed, images.device), pyro.validation_enabled(False), _quiet():
            try:
                loss = self.elbo.loss_and_grads(model, guide, images)
            except RuntimeError:  # presence cannot be drawn by weights that are no numbers
                if all(bool(each.isfinite().all()) for each in self.air.parameters()):
                    raise
                loss = math.nan
        return torch.tensor(loss, device=images.device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave a loss that is no number to the training loop, which says more about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Encountered NaN")
        yield


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Pyro draws from the global generators: seed them for a while, and put them back."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
