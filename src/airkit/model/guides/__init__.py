"""Guides: how objects are found. ``GUIDES`` names them as ``guide.kind`` does."""

from airkit.model.guides.lstm import LSTMGuide
from airkit.model.guides.protocol import MEANS, Guide, Noise, Slot
from airkit.model.guides.saliency import SaliencyGuide

GUIDES: dict[str, type[SaliencyGuide] | type[LSTMGuide]] = {
    "saliency": SaliencyGuide,
    "lstm": LSTMGuide,
}

__all__ = ["GUIDES", "MEANS", "Guide", "LSTMGuide", "Noise", "SaliencyGuide", "Slot"]
