"""The charts of a report, and figures as SVG that follows the theme of the page around it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from airkit.errors import sanitize
from airkit.figures.marks import FAINT, INK, hexadecimal
from airkit.figures.page import DPI, blank_figure, default_style

Interval = tuple[float, float]

LINES = (
    *("#2a62c9", "#d0501f", "#12834a", "#8a3fb0"),
    *("#a8780a", "#0c8a9a", "#c43379", "#8b93a3"),
)
"""Colours of lines, repeated where there are more."""
FAILED = "#b3261e"
FONT = 12
_INK, _FAINT, _GRID = hexadecimal(INK), hexadecimal(FAINT), "#d5d8df"
THEME = {
    _INK: "ink",
    _FAINT: "faint",
    _GRID: "line",
    FAILED: "bad",
    **{colour: f"line-{index}" for index, colour in enumerate(LINES)},
}
"""CSS variable of the page by the colour that it replaces in an SVG."""
_TICKS = (0, 25, 50, 75, 100)
_STARTS = (0, 50, 80, 90, 95, 98, 99, 99.5)
_POINTS: dict[str, Any] = {
    "fmt": "o", "color": LINES[0], "ecolor": _INK, "markersize": 8, "clip_on": False
}  # fmt: skip


def dots(shares: Mapping[str, float], intervals: Mapping[str, Interval]) -> Figure:
    """Return the share counted right by true count, with intervals, on a scale that shows them.

    Args:
        shares: shares in 0..1 by true count.
        intervals: their 95 % intervals by true count.
    """
    width = max(3, len(shares))
    figure, axes = chart(56 + 64 * width, 250)
    right = np.array([*shares.values()])
    error = _error(right, [intervals[count] for count in shares])
    axes.errorbar(range(len(shares)), 100 * right, yerr=error, **_POINTS)
    low = axis_start([low for low, _ in intervals.values()])
    tidy(axes, f"right, %{_cut(low)}", "true count")
    axes.set_ylim(low, 100)
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set_xlim(-0.7, width - 0.3)
    return figure


def reliability(points: Sequence[tuple[float, float, Interval]], sizes: Sequence[int]) -> Figure:
    """Return the share counted right against the mean confidence, beside the diagonal.

    Args:
        points: confidence, share and its 95 % interval, all in 0..1.
        sizes: the canvases of each point, to whose number the area of its dot is proportional, as
            far as a dot can be seen.
    """
    figure, axes = chart(248, 250)
    confidence, right = np.array([each[:2] for each in points]).reshape(-1, 2).T
    error = _error(right, [interval for _, _, interval in points])
    axes.plot((0, 100), (0, 100), color=_FAINT, linewidth=1, linestyle=(0, (4, 4)))
    bars: dict[str, Any] = {**_POINTS, "fmt": "none", "elinewidth": 1}
    axes.errorbar(100 * confidence, 100 * right, yerr=error, **bars)
    areas = np.maximum(12, 260 * np.array(sizes) / max(1, *sizes))
    axes.scatter(100 * confidence, 100 * right, s=areas, color=LINES[0], clip_on=False, zorder=3)
    tidy(axes, "right, %", "probability of the count, %")
    axes.set_ylim(0, 100)
    axes.set_yticks(_TICKS)
    axes.set_xlim(0, 100)
    axes.set_xticks((0, 50, 100))
    return figure


def forest(runs: Sequence[tuple[str, Mapping[str, Any] | None]]) -> Figure:
    """Return a row for each run: its count accuracy and interval, or a cross if it failed.

    Args:
        runs: names and measures, those of ``airkit eval``; None where a run failed.
    """
    figure, axes = chart(436, 58 + 24 * len(runs), left=130, top=6)
    found = {row: measures for row, (_, measures) in enumerate(runs) if measures is not None}
    right = np.array([each["count_accuracy"] for each in found.values()])
    intervals = [each["count_accuracy_interval"] for each in found.values()]
    axes.errorbar(100 * right, list(found), xerr=_error(right, intervals), **_POINTS)
    low = axis_start([low for low, _ in intervals])
    failed = [row for row in range(len(runs)) if row not in found]
    axes.plot([low] * len(failed), failed, "x", color=FAILED, markersize=8, mew=2, clip_on=False)
    tidy(axes, "", f"right, %{_cut(low)}", grid="x")
    axes.set_xlim(low, 100)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_yticks(range(len(runs)), [_shorten(name) for name, _ in runs])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    return figure


def axis_start(shares: Sequence[float]) -> float:
    """Return where an axis of per cent up to 100 begins that holds all shares, given in 0..1."""
    least = 100 * min(shares, default=0)
    return max(start for start in _STARTS if start <= least)


def _cut(start: float) -> str:
    """Say where an axis begins if not at 0."""
    return f"; the axis begins at {start:g}" if start else ""


def _error(shares: np.ndarray, intervals: Sequence[Interval]) -> np.ndarray:
    """Return the distances in per cent from shares [N] to the ends of their intervals, [2, N]."""
    distances: np.ndarray = 100 * np.abs(shares - np.array(intervals).reshape(-1, 2).T)
    return distances


def chart(width: int, height: int, left: int = 44, top: int = 26) -> tuple[Figure, Axes]:
    """Return a figure of ``width`` by ``height`` pixels, and its axes within margins."""
    figure = blank_figure(width, height)
    right, bottom = 14, 46
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    )
    return figure, axes


def tidy(
    axes: Axes, title: str, below: str, grid: Literal["x", "y"] = "y", unit: float = 1.0
) -> None:
    """Give a chart a title at the upper left, faint text, and a grid in place of a frame.

    Args:
        axes: the chart.
        title: what the vertical axis is.
        below: what the horizontal axis is.
        grid: the axis at whose ticks there are lines.
        unit: points to a pixel of the page.
    """
    text: dict[str, Any] = {"fontsize": FONT * unit, "color": _FAINT}
    axes.set_title(title, loc="left", pad=10 * unit, **text)
    axes.set_xlabel(below, **text)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=7 * unit, labelsize=FONT * unit, labelcolor=_FAINT)
    axes.grid(color=_GRID, linewidth=unit, axis=grid)
    axes.set_axisbelow(True)


def _shorten(name: str) -> str:
    """Return a printable name that fits beside a row."""
    name = sanitize(name)
    return name if len(name) <= 17 else name[:8] + "…" + name[-8:]


def svg(figure: Figure, label: str) -> str:
    """Return a figure as an SVG element for a page of HTML, the same each time.

    Its colours are variables of the page, by ``THEME``, its text is in the page's font, and a
    line that has a gid shows its label where the pointer rests on it.

    Args:
        figure: what to draw; ``blank_figure`` makes one.
        label: what it shows, for screen readers.
    """
    text = StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with default_style(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that matplotlib's font lacks, the page's may have
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
            figure.savefig(text, format="svg", transparent=True, metadata=metadata)
    inner = text.getvalue().partition("<svg")[2].partition(">")[2]
    for line in (line for axes in figure.axes for line in axes.lines if line.get_gid()):
        title = f"<g><title>{escape(str(line.get_label()))}</title>"
        inner = inner.replace(f'<g id="{line.get_gid()}">', title)
    inner = re.sub(r'<g id="[^"]*"', "<g", inner)
    inner = re.sub("font-family: [^;]*; ", "", inner)
    for colour, name in THEME.items():
        inner = re.sub(f"(fill|stroke): {colour}", rf"\1: var(--{name})", inner)
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {size} role="img" aria-label="{label}">{inner}'
