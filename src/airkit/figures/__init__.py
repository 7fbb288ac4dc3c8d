"""Figures: what the model saw, how it saw it, where it erred, and how it learned.

``FIGURES`` names them as ``render.kind`` does. This is the only home of matplotlib, which is used
through ``Figure`` alone, as pyplot keeps global state.
"""

from airkit.config.registry import Registry
from airkit.figures.base import Drawing, Request

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

__all__ = ["FIGURES", "Drawing", "Request"]
