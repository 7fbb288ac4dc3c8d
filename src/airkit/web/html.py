"""The HTML of a report: a template filled in, with everything escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from airkit.figures import charts, curves
from airkit.figures.page import Sheet, default_style
from airkit.system.text import duration


def html(template: str, **parts: Any) -> str:
    """Return the page that a template makes of its parts, given by the names that it uses."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent, "number": number, "duration": duration, "fact": fact,
        "svg": charts.svg, "cells": cells
    }  # fmt: skip
    environment.globals |= {"charts": charts, "curves": curves}
    with default_style():
        text = environment.get_template(f"{template}.html.j2").render(**parts) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # paths may be no Unicode


def _source(name: str) -> str:
    return resources.files("airkit.web").joinpath("templates", name).read_text(encoding="utf-8")


def cells(sheet: Sheet, together: int = 1) -> list[str]:
    """Return a sheet as data URIs of PNG, of ``together`` cells each, so that they wrap."""
    return [
        f"data:image/png;base64,{base64.b64encode(part).decode()}" for part in sheet.parts(together)
    ]


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
