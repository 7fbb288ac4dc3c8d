"""The names of the figures, as ``render.kind`` has them."""

from __future__ import annotations

from airkit.config.registry import Registry
from airkit.figures.base import Drawing

FIGURES: Registry[Drawing] = Registry(
    "render.kind",
    {
        "reconstructions": "airkit.figures.reconstructions:Reconstructions",
        "steps": "airkit.figures.reconstructions:Steps",
        "errors": "airkit.figures.reconstructions:Errors",
        "policy": "airkit.figures.policy:Policy",
        "data": "airkit.figures.reconstructions:Data",
        "curves": "airkit.figures.curves:Curves",
        "prior": "airkit.figures.samples:Prior",
    },
    base="airkit.figures.base:Drawing",
    recorded="This run draws by default",
)
