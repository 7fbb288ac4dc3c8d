"""Guides: how objects are found. ``GUIDES`` names them as ``guide.kind`` does."""

from airkit.model.guides.protocol import MEANS, Guide, Noise
from airkit.model.guides.saliency import SaliencyGuide

GUIDES = {"saliency": SaliencyGuide}

__all__ = ["GUIDES", "MEANS", "Guide", "Noise", "SaliencyGuide"]
