"""Training objectives: estimators of the ELBO and its gradient, by ``train.estimator``."""

from torch import Tensor

from airkit.config.registry import Registry
from airkit.config.schema import Config
from airkit.model.air import AIR
from airkit.model.checks import described
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
        ExtensionError: a class from outside that was not named or cannot be used, or that has
            weights or buffers where none are trained and saved.
    """
    name = config.train.estimator
    objective = OBJECTIVES.build(name, air, config, share, sets="baselines")
    own = [it for it in objective.state_dict() if not it.startswith(("air.", "baselines."))]
    if own:
        expected = "weights and buffers of its own in self.baselines, which is trained and saved"
        raise OBJECTIVES.unusable(name, ", ".join(own[:3]), expected)
    return objective


def check_estimate(name: str, estimate: object) -> None:
    """Check what ``Objective.forward`` of the class ``name`` returned.

    Raises:
        ExtensionError: it is no pair of scalars, the second with a gradient.
    """
    if isinstance(estimate, tuple) and len(estimate) == 2:
        scalars = all(isinstance(part, Tensor) and part.dim() == 0 for part in estimate)
        if scalars and estimate[1].requires_grad:
            return
        got = described(estimate) + ", the second without a gradient" * scalars
    else:
        got = described(estimate)
    expected = "of forward: the loss, and a surrogate with a gradient, two scalar tensors"
    raise OBJECTIVES.unusable(name, got, expected)


__all__ = ["OBJECTIVES", "WHOLE", "Objective", "Share", "build", "check_estimate"]
