"""Estimators of the evidence lower bound and its gradient."""

from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.objectives.base import Estimator
from airkit.model.objectives.elbo import Exact
from airkit.model.objectives.share import WHOLE, Share


def build(air: AIR, config: Config, share: Share = WHOLE) -> Estimator:
    """The estimator that ``train.estimator`` names, for ``air`` and a share of each batch."""
    if config.train.estimator == "exact":
        return Exact(air, config, share)
    from airkit.model.objectives.nvil import NVIL  # Pyro takes a while to load  # noqa: PLC0415

    return NVIL(air, config, share)


__all__ = ["WHOLE", "Estimator", "Exact", "Share", "build"]
