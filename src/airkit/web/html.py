"""The HTML of a report: a template filled in, with everything escaped."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping
from functools import partial
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from airkit.figures import charts, curves, vector
from airkit.figures.marks import contrasting, hexadecimal
from airkit.figures.page import default_style
from airkit.figures.sheet import Key
from airkit.system.text import duration

MOST = 1_500_000
"""Bytes that a page has at most, if smaller pictures can do that."""
_SIDES = (512, 192, 128, 96, 64, 48)


def html(template: str, **parts: Any) -> str:
    """Return the page that a template makes of its parts, given by the names that it uses.

    Canvases of so many or so noisy pixels that the page would be large are reduced.
    """
    for largest in _SIDES:
        text = _html(template, largest, parts)
        if len(text) <= MOST:
            break
    return text


def _html(template: str, largest: int, parts: Mapping[str, Any]) -> str:
    """Return the page, its canvases reduced to ``largest`` pixels a side."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent, "number": number, "duration": duration, "fact": fact,
        "svg": charts.svg, "colours": colours, "readable": readable, "day": day,
        "basename": os.path.basename, "cells": partial(vector.cells, largest=largest)
    }  # fmt: skip
    environment.globals |= {"charts": charts, "curves": curves}
    with default_style():
        text = environment.get_template(f"{template}.html.j2").render(**parts) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # paths may be no Unicode


def _source(name: str) -> str:
    return resources.files("airkit.web").joinpath("templates", name).read_text(encoding="utf-8")


def colours(key: Key) -> str:
    """Return the CSS background of a key of a legend."""
    names = [hexadecimal(colour) for colour in key.colours]
    return names[0] if len(names) == 1 else f"linear-gradient(to right, {', '.join(names)})"


def day(date: datetime.date) -> str:
    """Return a date in words, such as 1 May 2026."""
    return f"{date.day} {date:%B %Y}"


def readable(key: Key) -> str:
    """Return the colour of what is written on a key."""
    return hexadecimal(contrasting(key.colours[0]))


def percent(share: float) -> str:
    """Return a share as per cent, with one decimal."""
    return f"{100 * share:.1f}"


def number(value: float, digits: int) -> str:
    """Return a number with so many decimals; a dash where it is not defined."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"  # noqa: RUF001


def fact(value: object) -> str:
    """Return a fact of ``airkit info`` as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {fact(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(fact, value)) or "none"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
