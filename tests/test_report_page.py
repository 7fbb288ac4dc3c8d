"""A report in a browser: whole, on its own, and for a phone as well."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import pytest
import tiny_runs

import airkit

pytestmark = pytest.mark.browser


@cache
def report(kind: str) -> Path:
    """A report on one run, on two runs of which one has a long name, or on many slots."""
    long = tiny_runs.folder() / ("long" * 40)
    if not long.exists():
        tiny_runs.trained(long)
    runs = [tiny_runs.reference(), long][slice(*{"one": (1,), "two": (2,), "slots": (1, 2)}[kind])]
    data = tiny_runs.data_file(max_digits=7, canvas_size=48) if kind == "slots" else None
    return airkit.report(runs, data=data, out=tiny_runs.folder() / "page" / f"{kind}.html").path


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["PHONE", "DESKTOP"])
@pytest.mark.parametrize(("kind", "charts"), [("one", 4), ("two", 3), ("slots", 4)])
def test_it_is_whole_and_on_its_own(
    kind: str, charts: int, theme: Literal["light", "dark"], size: str
) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    address = report(kind).as_uri()
    with pages.opened(address, theme=theme, size=getattr(pages, size)) as watched:
        watched.assert_fine()
        assert watched.requests == [address]
        assert watched.page.locator("svg").count() == charts
        assert (watched.page.locator("img").count() > 30) == (kind != "two")
        script = "(it => [it.backgroundColor, it.color])(getComputedStyle(document.body))"
        light, dark = (
            ["rgb(255, 255, 255)", "rgb(27, 29, 34)"],
            ["rgb(21, 23, 27)", "rgb(232, 234, 238)"],
        )
        assert watched.page.evaluate(script) == (light if theme == "light" else dark)
        fill = "getComputedStyle(document.querySelector('svg text')).fill"
        faint = {"light": "rgb(91, 96, 107)", "dark": "rgb(163, 169, 181)"}
        assert watched.page.evaluate(fill) == faint[theme]
