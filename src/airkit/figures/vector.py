"""Cells of a sheet as SVG: canvases of their own few pixels, frames and text drawn sharp over them.

The page around them gives the colours of text and outlines, and turns ink and maps over in the
dark, by the classes ``ink``, ``colour``, ``heat`` and ``edge``.
"""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from airkit.figures.marks import BAD, FAINT, INK, TAG, Frame, Mark, Raster, Text, hexadecimal
from airkit.figures.sheet import Sheet

_BEYOND = 3  # pixels by which frames and outlines extend beyond a cell
_VARIABLES = {INK: "ink", FAINT: "faint", BAD: "bad"}


def cells(sheet: Sheet, what: str, largest: int) -> list[str]:
    """Return each cell of a sheet as an SVG element for a page of HTML.

    Args:
        sheet: the sheet.
        what: what a cell is, for screen readers, which hear its text too.
        largest: pixels a side to which larger canvases are reduced.
    """
    return [_cell(sheet, index, what, largest) for index in range(sheet.cells)]


def _cell(sheet: Sheet, index: int, what: str, largest: int) -> str:
    (left, top), (width, height) = sheet.corner(index), sheet.cell

    def inside(x: float, y: float) -> bool:
        return left <= x <= left + width and top <= y <= top + height

    marks = [mark for mark in sheet.marks if inside(*_middle(mark))]
    texts = [text for text in sheet.texts if inside(text.x, text.y)]
    label = escape(", ".join([what, *(text.words for text in texts)]))
    width, height = width + 2 * _BEYOND, height + 2 * _BEYOND
    box = f'viewBox="{left - _BEYOND} {top - _BEYOND} {width} {height}"'
    head = f'<svg {box} width="{width}" height="{height}" role="img" aria-label="{label}">'
    return "".join([head, *(_mark(mark, largest) for mark in marks), *map(_text, texts), "</svg>"])


def _middle(mark: Mark) -> tuple[float, float]:
    if isinstance(mark, Frame):
        return (mark.left + mark.right) / 2, (mark.top + mark.bottom) / 2
    height, width = mark.shape if isinstance(mark, Raster) else (TAG, TAG)
    return mark.left + width / 2, mark.top + height / 2


def _mark(mark: Mark, largest: int) -> str:
    if isinstance(mark, Raster):
        return _raster(mark, largest)
    colour = hexadecimal(mark.colour)
    if isinstance(mark, Frame):
        width, height = mark.right - mark.left + 2, mark.bottom - mark.top + 2
        place = _place(mark.left - 1, mark.top - 1, width, height)
        return f'<rect {place} fill="none" stroke="{colour}" stroke-width="2"/>'
    place = _place(mark.left, mark.top, TAG, TAG)
    return f'<rect {place} fill="{colour}"/>{_text(mark.text, "number")}'


def _raster(raster: Raster, largest: int) -> str:
    height, width = raster.shape
    place = _place(raster.left, raster.top, width, height)
    kind = f'class="{raster.kind}"' + f' opacity="{1 - raster.fade:g}"' * (raster.fade > 0)
    data = base64.b64encode(_png(raster.pixels, largest)).decode()
    image = f'<image {place} {kind} href="data:image/png;base64,{data}"/>'
    return f'{image}<rect {place} class="edge"/>'


def _png(pixels: np.ndarray[Any, Any], largest: int) -> bytes:
    """Return pixels, uint8 [H, W, 1 or 3], as PNG, reduced to ``largest`` a side where larger."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((largest, largest), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _text(text: Text, kind: str = "caption") -> str:
    named = _VARIABLES.get(text.colour)
    colour = f"var(--{named})" if named else hexadecimal(text.colour)
    place = f'x="{text.x:g}" y="{text.y + 0.35 * text.size:g}" font-size="{text.size}"'
    anchor = {"left": "start", "center": "middle", "right": "end"}[text.align]
    look = f'style="fill: {colour}" text-anchor="{anchor}"' + ' font-weight="bold"' * text.bold
    return f'<text class="{kind}" {place} {look}>{escape(text.words)}</text>'


def _place(left: float, top: float, width: float, height: float) -> str:
    return f'x="{left:.5g}" y="{top:.5g}" width="{width:.5g}" height="{height:.5g}"'
