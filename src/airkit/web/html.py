"""The HTML of a report: a template, filled in with everything escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from airkit.system.text import duration
from airkit.web import charts, curves


def html(template: str, **parts: Any) -> str:
    """The page that a template makes of its parts, which are the names that it uses."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent, "number": number, "duration": duration, "fact": fact
    }  # fmt: skip
    environment.globals |= {
        each.__name__: each
        for each in (
            *(charts.bars, charts.reliability, charts.forest),
            *(curves.line, curves.bounds, curves.accuracies, curves.legend),
        )
    }
    text = environment.get_template(f"{template}.html.j2").render(**parts) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # paths may be no Unicode


def _source(name: str) -> str:
    return resources.files("airkit.web").joinpath("templates", name).read_text(encoding="utf-8")


def percent(share: float) -> str:
    """A share as per cent, with one decimal."""
    return f"{100 * share:.1f}"


def number(value: float, digits: int) -> str:
    """A number with so many decimals; a dash where it is not defined."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"  # noqa: RUF001


def fact(value: object) -> str:
    """A fact of ``airkit info`` for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {fact(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(fact, value)) or "none"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
