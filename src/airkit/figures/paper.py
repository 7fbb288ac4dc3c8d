"""What figures are drawn on: the screen, or the columns of a paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airkit.config.rendering import RenderConfig
from airkit.figures.marks import MARGIN, SMALL
from airkit.figures.page import DPI

POINTS = 7
"""Size of small text in print."""
WIDTHS = {"column": 3.25, "page": 6.75}
"""Inches, as in ICML's style."""
FINE = 600
"""Dots per inch in print."""
_NARROW = 360  # a narrower title would take too many lines
_WIDE = 800  # of a sheet at a zoom of 2, so that it is 1,600 pixels wide


@dataclass(frozen=True)
class Paper:
    """A size, and what lengths on it are; lengths are pixels of a page at a zoom of 1."""

    width: float = _NARROW
    """Width of a page, for the screen at least."""
    dpi: float = DPI
    """Dots per inch."""
    unit: float = 1.0
    """Points to a pixel of the page."""
    margin: int = MARGIN
    """Blank margin on each side."""
    printed: bool = False
    """Whether the width is that of print, and no wider."""
    titles: bool = True
    """Whether there are a title and notes."""

    @classmethod
    def of(cls, render: RenderConfig) -> Paper:
        """Return what the settings ask for."""
        screen = render.format in ("auto", "png") and render.width == "auto"
        given: dict[str, Any] = {"titles": render.titles}
        if render.width != "auto":
            inches = WIDTHS.get(str(render.width)) or float(render.width)
            unit = POINTS / SMALL
            given |= {"width": inches * DPI / unit, "unit": unit, "margin": 3, "printed": True}
        elif render.scale == "auto":
            given |= {"width": _WIDE}
        dpi = 2 * DPI if screen and render.scale == "auto" else DPI if screen else FINE
        return cls(dpi=dpi if render.dpi == "auto" else render.dpi, **given)


SCREEN = Paper()
