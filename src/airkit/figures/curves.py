"""Training curves: ELBO and miscounts against steps, of one run or several."""

from __future__ import annotations

import math
import os
import textwrap
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from airkit.errors import CheckpointError, sanitize
from airkit.figures.base import Drawing, Request
from airkit.figures.charts import FONT, chart, tidy
from airkit.figures.marks import FAINT, INK, SLOTS, TITLE, hexadecimal
from airkit.figures.page import DPI, SCREEN, Paper, blank_figure
from airkit.runs.folder import no_run_error

Rows = Sequence[Mapping[str, Any]]
"""Rows of ``metrics.jsonl``."""

WIDTH = 900
_LETTER = 6.6  # width of a letter
_LINE = 22  # height of a line of the heading
_TRAIN = "#96a5cd"
_VALIDATION = hexadecimal(SLOTS[0])
_ZOOM = 16 / 9  # makes WIDTH 1,600 pixels


class Curve(NamedTuple):
    """A curve of one metric."""

    name: str
    colour: str
    """As #rrggbb."""
    steps: list[int]
    values: list[float]
    """Finite values, one for each of ``steps``."""


class Curves(Drawing):
    """Training curves of a run, which need no checkpoint."""

    def draw(self, request: Request) -> Figure:
        """Return the figure."""
        paper = Paper.of(request.render())
        rows = request.run.rows()
        if rows:
            return curves(rows, f"Training of {sanitize(request.run.path.resolve().name)}", paper)
        if not request.run.holds_model:
            raise no_run_error(request.run.path)
        there = os.path.exists(request.run.metrics)
        raise CheckpointError(
            "There are no metrics to draw",
            where=request.run.metrics,
            expected="rows written by airkit train",
            got="no rows" if there else "no such file",
            hint="another --kind, such as steps, which is drawn from the run's checkpoints",
        )


def curve_of(name: str, colour: str, rows: Rows, metric: str) -> Curve:
    """Return the curve of a metric, from the rows that have a finite value of it."""
    found = [(int(row["step"]), float(row[metric])) for row in rows if metric in row]
    finite = [(step, value) for step, value in found if math.isfinite(value)]
    return Curve(name, colour, [step for step, _ in finite], [value for _, value in finite])


def curves(rows: Rows, title: str, paper: Paper = SCREEN) -> Figure:
    """Return training and validation ELBO above validation miscounts."""
    unit = paper.unit
    width, left = (paper.width, 62) if paper.printed else (WIDTH, 90)
    said = textwrap.wrap(newest(rows), int((width - left) / _LETTER))
    heading = [(title, TITLE, INK, "bold"), *((each, FONT, FAINT, "normal") for each in said)]
    top = 16 + _LINE * len(heading) if paper.titles else 0
    plots = max(270.0, 0.5 * width)
    height = top + plots + 90
    figure = blank_figure(width * unit, height * unit, DPI * _ZOOM if unit == 1 else paper.dpi)
    for place, (words, size, colour, weight) in enumerate(heading if paper.titles else []):
        where = left / width, 1 - (26 + _LINE * place) / height
        look: dict[str, Any] = {"color": hexadecimal(colour), "parse_math": False}
        figure.text(*where, words, size=size * unit, weight=weight, **look)
    figure.subplots_adjust(left / width, 56 / height, 1 - 20 / width, 1 - (top + 34) / height)
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2), "hspace": 0.25}
    )
    training = curve_of("training", _TRAIN, rows, "elbo")
    plot_elbo(upper, [training, curve_of("validation", _VALIDATION, rows, "val_elbo")], unit)
    upper.legend(frameon=False, loc="lower right", fontsize=FONT * unit)
    plot_miscounts(lower, [curve_of("validation", _VALIDATION, rows, "val_count_accuracy")], unit)
    lower.set_xlim(0, max(row["step"] for row in rows) * 1.01 + 1)
    upper.set_xlabel("")
    return figure


def newest(rows: Rows) -> str:
    """Return the newest value of each metric drawn, in words."""
    names = {
        "elbo": "training ELBO {:,.1f}",
        "val_elbo": "validation ELBO {:,.1f}",
        "val_count_accuracy": "{:.1%} of the validation canvases counted right",
    }
    values = {name: [row[name] for row in rows if name in row] for name in names}
    said = [words.format(values[name][-1]) for name, words in names.items() if values[name]]
    return f"step {max(row['step'] for row in rows):,}: " + ", ".join(said)


def plot_elbo(axes: Axes, lines: Sequence[Curve], unit: float = 1.0) -> None:
    """Plot ELBO against steps, all of it, finer towards the best value."""
    scale = elbo_scale([value for each in lines for value in each.values])
    finer = "" if scale is None else "; finer towards the top"
    _plot(axes, lines, f"ELBO, nats per canvas{finer}", unit)
    if scale is None:
        return
    top, step, ticks = scale
    axes.set_yscale(
        "function",
        functions=(
            lambda value: -np.arcsinh((top - value) / step),
            lambda place: top + step * np.sinh(place),
        ),
    )
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.set_ylim(ticks[-1], top)


def elbo_scale(values: Sequence[float]) -> tuple[float, float, list[float]] | None:
    """Return an axis for ELBO on which neither the first steps nor the last ones are lost.

    Returns:
        Its top, its unit, which is about how far the median is below the best, and ticks from the
        top to below the least value, at growing distances. None where plain numbers do.
    """
    if len(values) < 3:
        return None
    best, least = max(values), min(values)
    spread = best - float(np.median(values))
    if not spread or best - least < 8 * spread or spread < 1e-9 * abs(best):
        return None
    unit = 10.0 ** math.floor(math.log10(spread))
    top = math.ceil(best / unit) * unit
    distances = [unit * digit * 10**power for power in range(16) for digit in (1, 3)]
    beyond = bisect_left(distances, top - least)
    return top, unit, [top, *(top - distance for distance in distances[: beyond + 1])]


def plot_miscounts(axes: Axes, lines: Sequence[Curve], unit: float = 1.0) -> None:
    """Plot the share of miscounts against steps, in per cent, on a logarithmic scale down to 0.

    Args:
        axes: the chart.
        lines: curves of count accuracy, in 0..1.
        unit: points to a pixel of the page.
    """
    missed = [each._replace(values=[100 * (1 - it) for it in each.values]) for each in lines]
    _plot(axes, missed, "validation canvases miscounted, %", unit)
    some = [value for each in missed for value in each.values if value > 1e-9]
    least = 10.0 ** math.floor(math.log10(min(some, default=1)))
    axes.set_yscale("symlog", linthresh=least, linscale=0.4)
    axes.set_ylim(-0.15 * least, 120)
    ticks = [0, *(10.0**power for power in range(round(math.log10(least)), 3))]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.10g}"))


def elbo_chart(lines: Sequence[Curve]) -> Figure:
    """Return a small chart of ELBO against steps."""
    figure, axes = chart(440, 250, left=56)
    plot_elbo(axes, lines)
    return figure


def miscounts_chart(lines: Sequence[Curve]) -> Figure:
    """Return a small chart of miscounts against steps, from curves of count accuracy."""
    figure, axes = chart(440, 250, left=56)
    plot_miscounts(axes, lines)
    return figure


def _plot(axes: Axes, lines: Sequence[Curve], title: str, unit: float) -> None:
    """Plot curves, with their points marked where they are few."""
    for index, each in enumerate(lines):
        few = len(each.steps) <= 40
        look: dict[str, Any] = {
            "marker": "o" if few else "",
            "linewidth": (2 if few else 1.25) * unit,
        }
        look |= {"color": each.colour, "label": each.name, "gid": f"curve-{index}"}
        axes.plot(each.steps, each.values, markersize=4 * unit, **look)
    tidy(axes, title, "steps", unit=unit)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlim(left=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
