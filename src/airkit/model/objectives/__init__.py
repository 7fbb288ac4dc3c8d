"""Training objectives: estimators of the ELBO and its gradient, by ``train.estimator``."""

from airkit.config.registry import Registry
from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.objectives.base import WHOLE, Objective, Share

OBJECTIVES: Registry[Objective] = Registry(
    "train.estimator",
    {
        "exact": "airkit.model.objectives.elbo:ExactELBO",
        "nvil": "airkit.model.objectives.nvil:NVIL",
    },
    base="airkit.model.objectives.base:Objective",
)


def build(air: AIR, config: Config, share: Share = WHOLE) -> Objective:
    """The objective that ``train.estimator`` names, for ``air`` and a share of each batch.

    Raises:
        ExtensionError: a class from outside that was not named or cannot be used.
    """
    return OBJECTIVES[config.train.estimator](air, config, share)


__all__ = ["OBJECTIVES", "WHOLE", "Objective", "Share", "build"]
