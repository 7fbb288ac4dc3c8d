"""Guides q(z | x): how objects are found. ``GUIDES`` names them as ``guide.kind`` does."""

from airkit.config.registry import Registry
from airkit.model.guides.base import MEANS, Guide, Noise, Slot
from airkit.model.guides.residual import Blur, Peak, Residual

GUIDES: Registry[Guide] = Registry(
    "guide.kind",
    {
        "saliency": "airkit.model.guides.saliency:SaliencyGuide",
        "lstm": "airkit.model.guides.lstm:LSTMGuide",
    },
    base="airkit.model.guides.base:Guide",
)

__all__ = ["GUIDES", "MEANS", "Blur", "Guide", "Noise", "Peak", "Residual", "Slot"]
