"""Guides q(z | x): how objects are found. ``GUIDES`` names them as ``guide.kind`` does."""

from airkit.config.registry import Registry
from airkit.config.schema import Config
from airkit.model.guides.base import MEANS, Guide, Noise, Slot
from airkit.model.guides.residual import Blur, Peak, Residual
from airkit.model.poses import Pose

GUIDES: Registry[Guide] = Registry(
    "guide.kind",
    {
        "saliency": "airkit.model.guides.saliency:SaliencyGuide",
        "lstm": "airkit.model.guides.lstm:LSTMGuide",
    },
    base="airkit.model.guides.base:Guide",
)


def build_guide(config: Config, pose: Pose, canvas_size: int) -> Guide:
    """The guide that ``guide.kind`` names; arguments as for ``Guide``.

    Raises:
        ExtensionError: a class from outside that was not named, or cannot be built.
    """
    name = config.guide.kind
    guide = GUIDES.build(name, config, pose, canvas_size, sets="window")
    if type(guide).encode is Guide.encode and not hasattr(guide, "encoder"):
        raise GUIDES.unusable(name, "one with neither self.encoder nor an encode of its own")
    return guide


__all__ = ["GUIDES", "MEANS", "Blur", "Guide", "Noise", "Peak", "Residual", "Slot", "build_guide"]
