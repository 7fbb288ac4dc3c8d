"""Drawings of the docs as SVG: sharp at any size, light or dark as the reader's system is."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

STYLE = """
svg { color-scheme: light dark; font-family: system-ui, sans-serif; }
.page { fill: #fff; } text { fill: #1b1d22; } .soft { fill: #5b606b; } .line { stroke: #d5d8df; }
.ink { filter: invert(1); image-rendering: pixelated; } .paper { fill: none; stroke: #b9bec8; }
.one { fill: #fff; stroke: #0072b2; } .many { fill: #0072b2; }
@media (prefers-color-scheme: dark) {
  .page { fill: #15171b; } text { fill: #e8eaee; } .soft { fill: #a3a9b5; }
  .line { stroke: #3a3f49; }
  .ink { filter: none; } .paper { stroke: #4a505c; }
  .one { fill: #15171b; stroke: #56b4e9; } .many { fill: #56b4e9; }
}
"""
SLOTS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Colours of boxes, as in ``airkit render``."""
CELL, GAP, LEFT = 168, 14, 118


def document(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return a whole drawing, with a title for those who hear it."""
    head = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
    page = f'<rect class="page" width="{width}" height="{height}" rx="8"/>'
    inner = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {head} aria-label="{escape(title)}">'
        f"<style>{STYLE}</style>\n{page}\n{inner}\n</svg>\n"
    )


def text(x: float, y: float, words: str, size: int = 16, look: str = "") -> str:
    """Return words with the middle of their line at ``y``; ``look`` has more attributes."""
    place = f'x="{x:.5g}" y="{y + 0.35 * size:.5g}" font-size="{size}"'
    return f"<text {place} {look}>{escape(words)}</text>"


def seen(canvases: Sequence[dict[str, Any]], side: int) -> str:
    """Return canvases above what the model makes of them, with boxes, above the counts.

    Args:
        canvases: what ``airkit.web.session.Session`` says of each.
        side: of a canvas, in pixels.
    """
    width, height = LEFT + len(canvases) * (CELL + GAP), GAP + 2 * (CELL + GAP) + 56
    rows = [GAP + CELL / 2, 2 * GAP + 1.5 * CELL, height - 34]
    names = zip(("canvas", "model", "count"), rows, strict=True)
    parts = [text(GAP, y, name, 26, 'class="soft"') for name, y in names]
    for place, each in enumerate(canvases):
        x = LEFT + place * (CELL + GAP)
        parts += [_image(x, GAP, each["image"], side)]
        parts += [_image(x, 2 * GAP + CELL, each["reconstruction"], side)]
        parts += [
            _box(x, 2 * GAP + CELL, CELL / side, slot, box)
            for slot, box in enumerate(each["boxes"])
        ]
        middle = 'text-anchor="middle" font-weight="700"'
        parts += [text(x + CELL / 2, rows[2], str(each["count"]), 34, middle)]
    title = "Canvases of digits, what the model makes of each, and its counts"
    return document(width, height, title, parts)


def _image(x: float, y: float, packed: str, side: int) -> str:
    levels = np.frombuffer(b64decode(packed), np.uint8).reshape(side, side)
    file = BytesIO()
    Image.fromarray(levels).save(file, "png", optimize=True)
    data = b64encode(file.getvalue()).decode()
    place = f'x="{x}" y="{y}" width="{CELL}" height="{CELL}"'
    href = f'href="data:image/png;base64,{data}"'
    return f'<image class="ink" {place} {href}/><rect class="paper" {place}/>'


def _box(left: float, top: float, scale: float, slot: int, box: Sequence[float]) -> str:
    x, y, width, height = (scale * value for value in box)
    colour, x, y = SLOTS[slot % len(SLOTS)], left + x, top + y
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    tag = f'<rect x="{x - 1.2:.1f}" y="{y - 17:.1f}" width="16" height="17" fill="{colour}"/>'
    number = 'text-anchor="middle" font-weight="700" style="fill: #fff"'
    frame = f'<rect {place} fill="none" stroke="{colour}" stroke-width="2.5"/>'
    return frame + tag + text(x + 6.8, y - 8, str(slot + 1), 13, number)


def accuracies(runs: Sequence[dict[str, Any]]) -> str:
    """Return a dot for each run's share of counts that are right, on a scale from 99 to 100 %."""
    presets = list(dict.fromkeys(run["preset"] for run in runs))
    low, wide, left, top, row = 0.99, 470, 160, 60, 46
    bottom = top + row * len(presets)

    def x(share: float) -> float:
        return left + wide * (share - low) / (1 - low)

    soft = 'class="soft" text-anchor="middle"'
    parts = [*_dot("many", left + 8, 24), text(left + 24, 24, "16 looks, a dot a seed", 19)]
    parts += [*_dot("one", left + 278, 24), text(left + 294, 24, "one look", 19)]
    for tick in (0.99, 0.992, 0.994, 0.996, 0.998, 1.0):
        ends = f'x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 12}" y2="{bottom - 8}"'
        parts += [
            f'<line class="line" {ends}/>',
            text(x(tick), bottom + 10, f"{tick:.1%}", 19, soft),
        ]
    for place, preset in enumerate(presets):
        y = top + row * (place + 0.4)
        parts.append(text(left - 16, y, preset, 20, 'text-anchor="end"'))
        for run in (run for run in runs if run["preset"] == preset):
            parts += _dot("one", x(run["count_accuracy_one_look"]), y)
            parts += _dot("many", x(run["count_accuracy"]), y)
    parts.append(text(left + wide / 2, bottom + 40, "canvases counted right", 19, soft))
    title = "Share of held-out canvases counted right, every seed of every preset"
    return document(left + wide + 40, bottom + 60, title, parts)


def _dot(kind: str, x: float, y: float) -> list[str]:
    look = 'r="5" stroke-width="2"' if kind == "one" else 'r="6" fill-opacity="0.75"'
    return [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" {look}/>']
