"""Figures: what the model saw, how it saw it, where it erred, and how it learned.

``FIGURES`` names them as ``render.kind`` does, and ``draw`` returns one of them. This is the only
home of matplotlib, which is used through ``Figure`` alone, as pyplot keeps global state.
"""

from airkit.figures.base import FIGURES, Drawing, Request
from airkit.figures.render import draw

__all__ = ["FIGURES", "Drawing", "Request", "draw"]
