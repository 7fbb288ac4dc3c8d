"""The pictures of a report, as PNG within the page.

A sheet is cut into its cells, so that a narrow screen has fewer of them side by side, and its
notes become text of the page.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from airkit.figures import sheets
from airkit.figures.base import Request
from airkit.figures.page import Sheet
from airkit.figures.policy import sheet as policy_sheet
from airkit.figures.samples import Prior
from airkit.runs.trained import TrainedRun
from airkit.web.gather import Gathered


@dataclass(frozen=True)
class Embedded:
    """A sheet as HTML needs it."""

    alt: str
    """What each picture shows."""
    notes: list[str]
    addresses: list[str]
    """The pictures, as data URIs of PNG; there may be none."""


def pictures(gathered: Gathered, run: TrainedRun, request: Request) -> dict[str, Embedded]:
    """Return every picture of the report by its name in the template.

    Raises:
        OutputError: one would be too large to draw.
    """
    config, total = run.config, len(run.canvases)
    pair = "canvas with true boxes, above what was inferred"
    policy = policy_sheet(gathered.centres, gathered.counts, run.air.canvas, config)
    return {
        "reconstructions": _embed(
            "canvases above their reconstructions",
            sheets.reconstructions(gathered.first, config, total),
        ),
        "steps": _embed(
            "a canvas, painted slot by slot",
            sheets.steps(gathered.first, config, total),
            together=run.air.slots + 1,
        ),
        "policy": _embed("map of where a slot looks", policy),
        "prior": _embed("canvas drawn from the model", Prior().sheet(request)),
        "worst_counts": _embed(
            f"miscounted {pair}", sheets.worst_counts(gathered.worst_counts, config, total)
        )
        if gathered.worst_counts
        else Embedded("", ["Every canvas was counted right."], []),
        "worst_errors": _embed(
            pair, sheets.worst_reconstructions(gathered.worst_errors, config, total)
        ),
    }


def _embed(alt: str, sheet: Sheet, *, together: int = 1) -> Embedded:
    """Return a sheet as pictures of ``together`` cells each."""
    addresses = [
        f"data:image/png;base64,{base64.b64encode(part.png()).decode()}"
        for part in sheet.parts(together)
    ]
    return Embedded(alt, sheet.notes, addresses)
