"""The picture of a training: bound and count accuracy against steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from airkit.figures.page import FAINT, INK, SLOTS, TITLE, Colour, blank_figure, fraction

Rows = Sequence[Mapping[str, Any]]

WIDTH, HEIGHT = 900, 640
_TRAIN: Colour = (150, 165, 205)
_VALIDATION = SLOTS[2]
_WORDS = 13


def series(rows: Rows, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the metric ``name``, from the rows that have it."""
    having = [row for row in rows if name in row]
    return [int(row["step"]) for row in having], [float(row[name]) for row in having]


def curves(rows: Rows, title: str) -> Figure:
    """Training and validation ELBO above validation count accuracy, from rows of metrics."""
    figure = blank_figure(WIDTH, HEIGHT)
    figure.subplots_adjust(left=0.1, right=0.97, top=0.89, bottom=0.09)
    figure.text(0.1, 0.955, title, fontsize=TITLE, fontweight="bold", color=fraction(INK))
    figure.text(0.1, 0.92, newest(rows), fontsize=_WORDS, color=fraction(FAINT))
    bound, accuracy = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2), "hspace": 0.1}
    )
    _draw(bound, *series(rows, "elbo"), "training", _TRAIN)
    _draw(bound, *series(rows, "val_elbo"), "validation", _VALIDATION)
    bound.set_ylabel("ELBO, nats per canvas", fontsize=_WORDS)
    bound.set_ylim(*bound_limits(series(rows, "elbo")[1] + series(rows, "val_elbo")[1]))
    bound.legend(frameon=False, loc="lower right", fontsize=_WORDS)
    steps, shares = series(rows, "val_count_accuracy")
    _draw(accuracy, steps, [100 * share for share in shares], "validation", _VALIDATION)
    accuracy.set_ylabel("counted right, %", fontsize=_WORDS)
    accuracy.set_xlabel("steps", fontsize=_WORDS)
    accuracy.set_ylim(0, 103)
    accuracy.set_xlim(0, max(row["step"] for row in rows) * 1.01 + 1)
    for axes in (bound, accuracy):
        _tidy(axes)
    return figure


def newest(rows: Rows) -> str:
    """The newest value of each metric drawn, in words."""
    names = {
        "elbo": "training ELBO {:,.1f}",
        "val_elbo": "validation ELBO {:,.1f}",
        "val_count_accuracy": "{:.1%} of the val split counted right",
    }
    values = {name: series(rows, name)[1] for name in names}
    said = [words.format(values[name][-1]) for name, words in names.items() if values[name]]
    return f"step {max(row['step'] for row in rows):,}: " + ", ".join(said)


def bound_limits(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Limits of the ELBO's axis that the first steps, far below the others, do not stretch.

    The axis ends ten times as far under the median as the top is above it. There are no limits
    where that leaves it without a length that can be told, as where half of the values are the
    greatest.
    """
    finite = np.array([value for value in values if np.isfinite(value)])
    if len(finite) < 3:
        return None, None
    top, middle = finite.max(), np.median(finite)
    low = max(finite.min(), middle - 10 * (top - middle))
    if top - low <= 1e-9 * max(1, abs(top)):
        return None, None
    margin = 0.05 * (top - low)
    return float(low - margin), float(top + margin)


def _draw(
    axes: Axes, steps: Sequence[int], values: Sequence[float], label: str, colour: Colour
) -> None:
    """One curve; dots show where there are few values."""
    few = len(steps) <= 40
    axes.plot(
        steps,
        values,
        color=fraction(colour),
        label=label,
        linewidth=2,
        marker="o" if few else "",
        markersize=5,
    )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(fraction(FAINT))
    axes.tick_params(labelsize=12, color=fraction(FAINT), labelcolor=fraction(FAINT))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
