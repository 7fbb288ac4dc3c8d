"""The pictures of a report, as PNG within the page.

A sheet is cut into its cells, so that a narrow screen has fewer of them side by side, and its
words stand in the page.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from airkit.figures import sheets
from airkit.figures.page import Page
from airkit.figures.policy import sheet as policy_sheet
from airkit.figures.render import Request, prior_page
from airkit.runs.trained import TrainedRun
from airkit.web.gather import Gathered


@dataclass(frozen=True)
class Embedded:
    """A sheet: what it shows, what is said of it, and its cells; maybe none."""

    alt: str
    notes: list[str]
    cells: list[bytes]
    """PNG files."""

    @property
    def addresses(self) -> list[str]:
        """The cells as data URIs."""
        return [f"data:image/png;base64,{base64.b64encode(cell).decode()}" for cell in self.cells]


def pictures(gathered: Gathered, opened: TrainedRun, request: Request) -> dict[str, Embedded]:
    """Every picture of the report by its kind.

    Raises:
        OutputError: one would be too large to draw.
    """
    return dict(_pictures(gathered, opened, request))


def _pictures(
    gathered: Gathered, opened: TrainedRun, request: Request
) -> Iterator[tuple[str, Embedded]]:
    config, total = opened.config, len(opened.canvases)
    shown = sheets.reconstructions(gathered.first, config, total)[0]
    yield "reconstructions", _embedded("canvases above their reconstructions", shown)
    steps = sheets.steps(gathered.first, config, total)[0]
    row = opened.air.slots + 1
    yield "steps", _embedded("a canvas, painted slot by slot", steps, together=row)
    where = policy_sheet(gathered.centres, gathered.counts, opened.air.canvas, config)
    yield "policy", _embedded("map of where a slot looks", where)
    yield "prior", _embedded("canvas drawn from the model", prior_page(request)[0])
    yield "worst_counts", _worst_counts(gathered, opened)
    errors = sheets.worst_reconstructions(gathered.worst_errors, config, total)[0]
    yield "worst_errors", _embedded("canvas with true boxes, above what was inferred", errors)


def _worst_counts(gathered: Gathered, opened: TrainedRun) -> Embedded:
    if not gathered.worst_counts:
        return Embedded("", ["Every canvas was counted right."], [])
    total = len(opened.canvases)
    page = sheets.worst_counts(gathered.worst_counts, opened.config, total)[0]
    return _embedded("miscounted canvas with true boxes, above what was inferred", page)


def _embedded(alt: str, page: Page, *, together: int = 1) -> Embedded:
    """A sheet, so many cells ``together`` in each picture."""
    groups = [page.cells[at : at + together] for at in range(0, len(page.cells), together)]
    parts = [page.part((group[0][0], group[0][1], group[-1][2], group[-1][3])) for group in groups]
    return Embedded(alt, page.notes, [part.png() for part in parts])
