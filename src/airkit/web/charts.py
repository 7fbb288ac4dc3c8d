"""Charts as inline SVG. Colours are the page's own, so that they follow its theme.

Numbers go in as they are; names are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from airkit.web.comparison import Attempt
from airkit.web.gather import Bin

_LEFT, _TOP, _TALL, _FOOT = 44, 26, 180, 40
_STEP = 64


def bars(shares: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> Markup:
    """A bar for the share right of each true count, with its interval."""
    width = _LEFT + max(3, len(shares)) * _STEP + 12
    parts = [_scale(width - 12)]
    for place, (count, share) in enumerate(shares.items()):
        low, high = (_height(bound) for bound in intervals[count])
        left, top = _LEFT + 12 + place * _STEP, _height(share)
        middle = left + 20
        parts += [
            f'<rect class="bar" x="{left}" y="{top}" width="40" height="{_TOP + _TALL - top:.1f}"/>'
            f'<path class="whisker" d="M{middle} {low}V{high}M{middle - 6} {low}h12'
            f'M{middle - 6} {high}h12"/>',
            f'<text x="{middle}" y="{_TOP + _TALL + 16}">{int(count)}</text>',
        ]
    parts.append(f'<text x="{(_LEFT + width) // 2}" y="{_TOP + _TALL + 34}">true count</text>')
    return _svg(width, "Share counted right by true count, with 95 % intervals", parts)


def reliability(bins: Sequence[Bin]) -> Markup:
    """The share right against the mean confidence, a point a bin, beside the diagonal."""
    width = _LEFT + _TALL + 24
    parts = [
        _scale(_LEFT + _TALL),
        f'<path class="diagonal" d="M{_LEFT} {_TOP + _TALL}L{_LEFT + _TALL} {_TOP}"/>',
    ]
    for each in bins:
        x, (low, high) = _LEFT + _TALL * each.confidence, map(_height, each.interval)
        parts += [
            f'<path class="whisker" d="M{x:.1f} {low}V{high}"/>'
            f'<circle class="point" cx="{x:.1f}" cy="{_height(each.share)}" r="5"/>'
        ]
    for share in (0, 50, 100):
        x = _LEFT + _TALL * share // 100
        parts.append(f'<text x="{x}" y="{_TOP + _TALL + 16}">{share}</text>')
    middle, below = _LEFT + _TALL // 2, _TOP + _TALL + 34
    parts.append(f'<text x="{middle}" y="{below}">greatest q(n), %</text>')
    return _svg(width, "Share counted right against the greatest probability of q(n)", parts)


def forest(attempts: Sequence[Attempt]) -> Markup:
    """A row for each run: its count accuracy and the interval; a run that failed has a cross."""
    left, right, row = 130, 420, 24
    foot = _TOP + row * len(attempts)
    parts = [
        Markup('<path class="line" d="M{0} {1}V{2}"/><text x="{0}" y="{3}">{4}</text>').format(
            left + (right - left) * share // 100, _TOP - 6, foot, foot + 18, share
        )
        for share in (0, 25, 50, 75, 100)
    ]
    for place, each in enumerate(attempts):
        y = _TOP + row * place + row // 2
        label = Markup('<text class="number" x="{}" y="{}">{}</text>')
        parts.append(label.format(left - 10, y + 4, _short(each.name)))
        parts.append(_spread(each, y, (left, right)))
    return _svg(right + 16, "Count accuracy of every run, with 95 % intervals", parts, foot + 26)


def _spread(each: Attempt, y: int, ends: tuple[int, int]) -> Markup:
    left, right = ends
    if each.measures is None:
        return Markup('<path class="cross" d="M{} {}l8 8m0 -8l-8 8"/>').format(left - 4, y - 4)
    low, high = each.measures.count_accuracy_interval
    places = [left + (right - left) * it for it in (low, high, each.measures.count_accuracy)]
    return Markup(
        '<path class="whisker" d="M{0:.1f} {3}H{1:.1f}"/>'
        '<circle class="point" cx="{2:.1f}" cy="{3}" r="4.5"/>'
    ).format(*places, y)


def _short(name: str) -> str:
    """A name that fits beside a row."""
    return name if len(name) <= 17 else name[:8] + "…" + name[-8:]


def _height(share: float) -> float:
    """The y of a share."""
    return round(_TOP + _TALL * (1 - share), 1)


def _scale(right: int) -> str:
    """Lines and labels at 0, 25, 50, 75 and 100 %."""
    return f'<text class="scale" x="4" y="{_TOP - 12}">right, %</text>' + "".join(
        f'<path class="line" d="M{_LEFT} {_height(share / 100)}H{right}"/>'
        f'<text class="number" x="{_LEFT - 6}" y="{_height(share / 100) + 4}">{share}</text>'
        for share in (0, 25, 50, 75, 100)
    )


def _svg(
    width: int, label: str, parts: Sequence[str], height: int = _TOP + _TALL + _FOOT
) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )
