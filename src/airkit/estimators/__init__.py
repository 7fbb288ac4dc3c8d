"""Estimators of the evidence lower bound and its gradient."""

from airkit.config import Config
from airkit.estimators.estimator import Estimator
from airkit.estimators.exact import Exact
from airkit.model.air import AIR


def build(air: AIR, config: Config) -> Estimator:
    """The estimator that ``train.estimator`` names, for ``air``."""
    if config.train.estimator == "exact":
        return Exact(air, config)
    from airkit.estimators.nvil import NVIL  # Pyro takes a while to load  # noqa: PLC0415

    return NVIL(air, config)


__all__ = ["Estimator", "Exact", "build"]
