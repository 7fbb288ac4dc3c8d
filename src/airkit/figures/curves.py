"""Training curves: ELBO and count accuracy against steps, of one run or several."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from airkit.config import settings
from airkit.errors import CheckpointError, sanitize
from airkit.figures.base import Drawing, Request
from airkit.figures.charts import FONT, chart, tidy
from airkit.figures.page import FAINT, INK, SLOTS, TITLE, blank_figure, hexadecimal
from airkit.runs.folder import no_run_error

Rows = Sequence[Mapping[str, Any]]
"""Rows of ``metrics.jsonl``."""

WIDTH, HEIGHT = 900, 640
_TRAIN = "#96a5cd"
_VALIDATION = hexadecimal(SLOTS[2])


class Line(NamedTuple):
    """A curve of one metric."""

    name: str
    colour: str
    """As #rrggbb."""
    steps: list[int]
    values: list[float]
    """Finite values, one for each of ``steps``."""


class Curves(Drawing):
    """The metrics of a run, which are there before its first checkpoint is."""

    def draw(self, request: Request) -> Figure:
        """Return the figure."""
        settings.resolve(*request.given)
        rows = request.run.rows()
        if rows:
            return curves(rows, f"Training of {sanitize(request.run.path.resolve().name)}")
        if not request.run.saved():
            raise no_run_error(request.run.path)
        there = os.path.exists(request.run.metrics)
        raise CheckpointError(
            "There are no metrics to draw",
            where=request.run.metrics,
            expected="rows written by airkit train",
            got="no rows" if there else "no such file",
            hint="another --kind, such as steps, which is drawn from the run's checkpoints",
        )


def line(name: str, colour: str, rows: Rows, metric: str) -> Line:
    """Return the curve of a metric, from the rows that have a finite value of it."""
    found = [(int(row["step"]), float(row[metric])) for row in rows if metric in row]
    finite = [(step, value) for step, value in found if math.isfinite(value)]
    return Line(name, colour, [step for step, _ in finite], [value for _, value in finite])


def curves(rows: Rows, title: str) -> Figure:
    """Return training and validation ELBO above validation count accuracy."""
    figure = blank_figure(WIDTH, HEIGHT)
    figure.subplots_adjust(left=0.1, right=0.97, top=0.855, bottom=0.09)
    heading: dict[str, Any] = {"x": 0.1, "parse_math": False}
    figure.text(y=0.955, s=title, size=TITLE, weight="bold", color=hexadecimal(INK), **heading)
    figure.text(y=0.92, s=newest(rows), size=FONT, color=hexadecimal(FAINT), **heading)
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2), "hspace": 0.2}
    )
    training = line("training", _TRAIN, rows, "elbo")
    plot_elbo(upper, [training, line("validation", _VALIDATION, rows, "val_elbo")])
    upper.legend(frameon=False, loc="lower right", fontsize=FONT)
    plot_accuracy(lower, [line("validation", _VALIDATION, rows, "val_count_accuracy")])
    lower.set_xlim(0, max(row["step"] for row in rows) * 1.01 + 1)
    upper.set_xlabel("")
    return figure


def newest(rows: Rows) -> str:
    """Return the newest value of each metric drawn, in words."""
    names = {
        "elbo": "training ELBO {:,.1f}",
        "val_elbo": "validation ELBO {:,.1f}",
        "val_count_accuracy": "{:.1%} of the val split counted right",
    }
    values = {name: [row[name] for row in rows if name in row] for name in names}
    said = [words.format(values[name][-1]) for name, words in names.items() if values[name]]
    return f"step {max(row['step'] for row in rows):,}: " + ", ".join(said)


def plot_elbo(axes: Axes, lines: Sequence[Line]) -> None:
    """Plot ELBO against steps; the first steps, far below the others, may be cut off."""
    _plot(axes, lines, "ELBO, nats per canvas")
    axes.set_ylim(*elbo_limits([value for each in lines for value in each.values]))


def plot_accuracy(axes: Axes, lines: Sequence[Line]) -> None:
    """Plot count accuracy, given in 0..1, against steps, in per cent."""
    percent = [each._replace(values=[100 * share for share in each.values]) for each in lines]
    _plot(axes, percent, "validation canvases counted right, %")
    axes.set_ylim(-2, 103)


def elbo_chart(lines: Sequence[Line]) -> Figure:
    """Return a small chart of ELBO against steps."""
    figure, axes = chart(440, 250, left=56)
    plot_elbo(axes, lines)
    return figure


def accuracy_chart(lines: Sequence[Line]) -> Figure:
    """Return a small chart of count accuracy against steps."""
    figure, axes = chart(440, 250, left=56)
    plot_accuracy(axes, lines)
    return figure


def elbo_limits(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return limits of the ELBO's axis that the first steps, far below the others, do not stretch.

    The axis ends ten times as far below the median as the top is above it. Where that is no
    proper range, as where half of the values are the greatest, the limits are None.
    """
    if len(values) < 3:
        return None, None
    top, middle = max(values), float(np.median(values))
    low = max(min(values), middle - 10 * (top - middle))
    if top - low <= 1e-9 * max(1, abs(top)):
        return None, None
    margin = 0.05 * (top - low)
    return low - margin, top + margin


def _plot(axes: Axes, lines: Sequence[Line], title: str) -> None:
    """Plot curves; those of few points show them."""
    for index, each in enumerate(lines):
        few = len(each.steps) <= 40
        look: dict[str, Any] = {"marker": "o" if few else "", "linewidth": 2 if few else 1.25}
        look |= {"color": each.colour, "label": each.name, "gid": f"curve-{index}"}
        axes.plot(each.steps, each.values, markersize=4, **look)
    tidy(axes, title, "steps")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlim(left=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
