"""What the benchmarks' pictures share: plain line charts in the colours of airkit's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

WIDTH, HEIGHT, DPI = 9.0, 4.6, 178
COLOURS = ("#1f5fa8", "#d1452b", "#2f8f4e", "#8757b0", "#6b6b6b")


def chart(title: str, panels: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure of panels side by side that share their y axis."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(color="0.92")
        each.set_axisbelow(True)
    return figure, list(axes)


def log_axis(axis: Axis, ticks: Sequence[float]) -> None:
    """A log scale with plain numbers at those ticks that are in view."""
    scale = axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale
    scale("log")
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_locator(NullLocator())


def label(axes: Axes, x: str, y: str = "") -> None:
    """Name the axes."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def save(figure: Figure, path: Path, **metadata: Any) -> None:
    """Write a PNG without the time or the library's version in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None, **metadata})
    print(f"wrote {path}")
