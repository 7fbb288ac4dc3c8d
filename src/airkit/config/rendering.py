"""What figures show, and how they look."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airkit.config.sections import Outside, Section

Scale = Literal["auto"] | Annotated[float, Field(gt=0, le=20)]
"""Screen pixels per canvas pixel, or auto."""


class RenderConfig(Section):
    """Figures."""

    kind: (
        Literal["reconstructions", "steps", "errors", "policy", "data", "curves", "prior"] | Outside
    ) = "reconstructions"
    """What to draw: one of airkit's kinds, or a class of your own as package.module:Class."""
    counts: Literal["even", "prior", "unbounded"] = "even"
    """Counts of the canvases that kind=prior draws: even (one count per row), prior (drawn from the
    prior on 0..slots), or unbounded (drawn from p(n) = (1 - ratio) ratio^n on 0, 1, 2 ...)."""
    rows: Annotated[int, Field(ge=1, le=100)] = 4
    """Rows of the sheet."""
    columns: Annotated[int, Field(ge=1, le=100)] = 8
    """Columns of the sheet."""
    scale: Scale = "auto"
    """Screen pixels per canvas pixel; auto makes sheets 1,600 pixels wide, as for slides, or wider
    if their canvases have more pixels than that. If a width is set, canvases fill it."""
    format: Literal["auto", "png", "svg", "pdf"] = "auto"
    """Format of the file; auto is given by its ending, else png."""
    width: Literal["auto", "column", "page"] | Annotated[float, Field(ge=1, le=40)] = "auto"
    """Width in print: column (3.25 inches) or page (6.75 inches, both columns), as in ICML's style,
    or a number of inches; text then has 7 points, and only as many columns are drawn as fit. auto
    is a sheet for the screen."""
    dpi: Literal["auto"] | Annotated[int, Field(ge=36, le=2400)] = "auto"
    """Dots per inch of a PNG, and of the canvases in PDF and SVG; auto is 600, or 144 for a PNG for
    the screen."""
    titles: bool = True
    """Whether to put a title and notes above the figure."""
