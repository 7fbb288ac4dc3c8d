"""Curves of trainings as inline SVG, one line or one for each of several runs.

Colours are the page's own: classes ``line-0`` to ``line-7`` by turns. Names are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from airkit.figures.curves import bound_limits, series

COLOURS = 8
WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 412, 26, 206


@dataclass(frozen=True)
class Line:
    """A curve: its name, its colour, and its points."""

    name: str
    colour: int
    points: Sequence[tuple[int, float]]
    """(step, value), those that are no finite numbers left out."""
    thin: bool = False


def line(name: str, colour: int, rows: Sequence[Mapping[str, Any]], metric: str) -> Line:
    """The curve of one metric in rows of metrics; thin where it is of the training."""
    points = zip(*series(rows, metric), strict=True)
    kept = [(step, value) for step, value in points if math.isfinite(value)]
    return Line(name, colour, kept, not metric.startswith("val_"))


def bounds(lines: Sequence[Line]) -> Markup:
    """ELBO against steps; the first steps, far below the others, may be cut off."""
    low, high = bound_limits([value for each in lines for _, value in each.points])
    values = [value for each in lines for _, value in each.points] or [0.0]
    limits = (low, high) if low is not None and high is not None else _around(values)
    return _chart("elbo", "ELBO, nats a canvas", lines, limits)


def accuracies(lines: Sequence[Line]) -> Markup:
    """Count accuracy in per cent against steps."""
    scaled = [
        Line(each.name, each.colour, [(step, 100 * share) for step, share in each.points])
        for each in lines
    ]
    return _chart("accuracy", "validation canvases counted right, %", scaled, (0.0, 100.0))


def _around(values: Sequence[float]) -> tuple[float, float]:
    margin = max(1, 1e-3 * max(map(abs, values)))  # 1 alone is lost beside what is very large
    return min(values) - margin, max(values) + margin


def _chart(name: str, title: str, lines: Sequence[Line], limits: tuple[float, float]) -> Markup:
    last = max((step for each in lines for step, _ in each.points), default=1) or 1
    parts = [Markup('<text class="scale" x="4" y="14">{}</text>').format(title)]
    parts += [_level(value, _y(value, limits)) for value in ticks(*limits)]
    for value in ticks(0, last, least=1):
        x = _LEFT + (_RIGHT - _LEFT) * value / last
        label = Markup('<text x="{:.1f}" y="{}">{}</text>')
        parts.append(label.format(x, _BOTTOM + 18, f"{value:,.0f}"))
    parts.append(Markup('<text x="{}" y="{}">steps</text>').format(_LEFT + 181, _BOTTOM + 38))
    inner = Markup("").join(_path(each, last, limits) for each in lines)
    clip = Markup(
        '<clipPath id="{0}"><rect x="{1}" y="{2}" width="{3}" height="{4}"/></clipPath>'
        '<g clip-path="url(#{0})">{5}</g>'
    )
    size = (_RIGHT - _LEFT + 6, _BOTTOM - _TOP + 8)
    parts.append(clip.format(name, _LEFT, _TOP - 4, *size, inner))
    whole = Markup(
        '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
        'aria-label="{2} against steps">{3}</svg>'
    )
    return whole.format(WIDTH, HEIGHT, title, Markup("").join(parts))


def _level(value: float, y: float) -> Markup:
    words = f"{value:,.10g}"
    return Markup(
        '<path class="line" d="M{} {:.1f}H{}"/><text class="number" x="{}" y="{:.1f}">{}</text>'
    ).format(_LEFT, y, _RIGHT, _LEFT - 6, y + 4, words)


def _path(each: Line, last: int, limits: tuple[float, float]) -> Markup:
    places = [
        (round(_LEFT + (_RIGHT - _LEFT) * step / last, 1), round(_y(value, limits), 1))
        for step, value in each.points
    ]
    colour = each.colour % COLOURS
    name = f"curve-line line-{colour}" + (" thin" if each.thin else "")
    path = "M" + "L".join(f"{x} {y}" for x, y in places) if places else "M0 0"
    drawn = Markup('<path class="{}" d="{}"><title>{}</title></path>').format(name, path, each.name)
    if len(places) > 1:
        return drawn
    dots = (Markup('<circle class="dot line-{}" cx="{}" cy="{}" r="4"/>').format(colour, x, y)
            for x, y in places)  # fmt: skip
    return drawn + Markup("").join(dots)


def _y(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return _BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low)


def ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Round numbers from low to high, about five of them, and no less than ``least`` apart."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda it: abs(it - rough))
    step = max(least, step)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def legend(lines: Sequence[Line]) -> Markup:
    """Names beside their colours."""
    entries = (
        Markup('<span class="key"><i class="swatch line-{}{}"></i>{}</span>').format(
            each.colour % COLOURS, " thin" if each.thin else "", each.name
        )
        for each in lines
    )
    return Markup('<p class="legend">{}</p>').format(Markup("").join(entries))
