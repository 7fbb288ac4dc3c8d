"""What is measured on a trained model, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from airkit.config.sections import BatchSize, Outside, Section, Seed, as_tuple


class EvalConfig(Section):
    """What is measured, and how."""

    split: Literal["train", "val", "test"] = "test"
    """Which split to measure."""
    looks: Annotated[int, Field(ge=1, le=4096)] = 16
    """How often the model looks at a canvas, at most; all looks together give the count. In the
    first, each slot takes the best of eval.candidates; the others are at drawn positions."""
    look_sharpness: Annotated[float, Field(gt=0, le=1000)] = 15.0
    """Positions are drawn from softmax(look_sharpness x saliency / peak)."""
    candidates: Annotated[int, Field(ge=1, le=64)] = 6
    """How many candidate positions each slot of the saliency guide compares where objects are
    counted or drawn. It takes the one whose object costs least for what it explains: a look that
    falls between two objects finds neither. With 1 it looks only at the peak, and nothing is split,
    found again or merged: one pass of the guide, as in the paper."""
    likelihood_samples: Annotated[int, Field(ge=0, le=100_000)] = 5
    """Samples of the importance-weighted bound on the log-likelihood; with 0 neither the bound nor
    the ELBO is measured, which saves much of the time."""
    counts: Literal["mode", "sampled"] = "mode"
    """How one look's count is read off its posterior: the mode, or a sample as in the paper."""
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
