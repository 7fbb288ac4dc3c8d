"""Settings of what is measured on a trained model, and of what is drawn of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from airkit.config.sections import BatchSize, Outside, Section, Seed, as_tuple


class EvalConfig(Section):
    """What is measured, and how."""

    split: Literal["train", "val", "test"] = "test"
    """Which split to measure."""
    looks: Annotated[int, Field(ge=1, le=4096)] = 16
    """How often the model looks at a canvas, at most; all looks together give the count. The first
    look is at the peaks of the saliency map, the others are at drawn positions."""
    look_sharpness: Annotated[float, Field(gt=0, le=1000)] = 15.0
    """Positions are drawn from softmax(look_sharpness x saliency / peak)."""
    candidates: Annotated[int, Field(ge=1, le=64)] = 6
    """How many looks each slot of the saliency guide compares where objects are counted or drawn.
    It takes the one whose object costs least for what it explains, as a look between two objects
    that touch finds neither. With 1 it looks only at the peak."""
    likelihood_samples: Annotated[int, Field(ge=0, le=100_000)] = 5
    """Samples of the importance-weighted bound on the log-likelihood; with 0 neither the bound nor
    the ELBO is measured, which saves much of the time."""
    counts: Literal["mode", "sampled"] = "mode"
    """How one look's count is read off q(n): its mode, or a sample as in the paper."""
    measures: Annotated[
        tuple[
            Literal["counts", "boxes", "likelihood", "reconstruction", "segmentation"] | Outside,
            ...,
        ],
        BeforeValidator(as_tuple),
    ] = ("counts", "boxes", "likelihood", "reconstruction", "segmentation")
    """Which measures to take: counts, boxes, likelihood, reconstruction and segmentation (null if
    the data has no masks), and classes of your own as package.module:Class."""
    batch_size: BatchSize = 250
    """Canvases per batch; fewer where they are large, so that they fit in memory."""
    seed: Seed = 0
    """Seed of the looks and samples drawn in evaluation."""


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
