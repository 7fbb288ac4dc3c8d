"""Estimators of the evidence lower bound and its gradient."""

from airkit.config import Config
from airkit.estimators.estimator import Estimator
from airkit.estimators.exact import Exact
from airkit.estimators.share import WHOLE, Share
from airkit.model.air import AIR


def build(air: AIR, config: Config, share: Share = WHOLE) -> Estimator:
    """The estimator that ``train.estimator`` names, for ``air`` and a share of each batch."""
    if config.train.estimator == "exact":
        return Exact(air, config, share)
    from airkit.estimators.nvil import NVIL  # Pyro takes a while to load  # noqa: PLC0415

    return NVIL(air, config, share)


__all__ = ["WHOLE", "Estimator", "Exact", "Share", "build"]
