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
@pytest.mark.parametrize(("kind", "charts"), [("one", 5), ("two", 3), ("slots", 5)])
def test_it_is_whole_and_on_its_own(
    kind: str, charts: int, theme: Literal["light", "dark"], size: str
) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    address = report(kind).as_uri()
    with pages.opened(address, theme=theme, size=getattr(pages, size)) as watched:
        watched.assert_fine()
        assert watched.requests == [address]
        assert watched.page.locator("svg:not(:has(image))").count() == charts
        assert (watched.page.locator("image").count() > 30) == (kind != "two")
        script = "(it => [it.backgroundColor, it.color])(getComputedStyle(document.body))"
        light, dark = (
            ["rgb(255, 255, 255)", "rgb(27, 29, 34)"],
            ["rgb(21, 23, 27)", "rgb(232, 234, 238)"],
        )
        assert watched.page.evaluate(script) == (light if theme == "light" else dark)
        fill = "getComputedStyle(document.querySelector('svg:not(:has(image)) text')).fill"
        faint = {"light": "rgb(91, 96, 107)", "dark": "rgb(163, 169, 181)"}
        assert watched.page.evaluate(fill) == faint[theme]


@pytest.mark.parametrize("size", [(1280, 900), (1400, 900), (1920, 1080), (390, 844)])
def test_the_first_screen_has_the_result_and_large_pictures(size: tuple[int, int]) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    with pages.opened(report("one").as_uri(), size=size) as watched:
        box = watched.page.locator(".headline b").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 400
        assert box["height"] > 40
        shown = [each.bounding_box() for each in watched.page.locator(".large svg").all()]
        above = [it for it in shown if it and it["y"] + it["height"] <= 900]
        assert 4 <= len(above) <= 6
        assert min(it["width"] for it in above) > (100 if size[0] < 400 else 140)
        for folded in ("provenance", "calibration", "commands"):
            assert watched.page.locator(f"#{folded}").get_attribute("open") is None
        watched.page.click("nav a[href='#prior']")
        heading = watched.page.locator("#prior").bounding_box()
        assert heading is not None
        assert -1 <= heading["y"] < size[1]


@pytest.mark.parametrize("width", [1200, 800, 400])
def test_the_longest_share_is_not_covered_by_the_pictures(width: int) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    with pages.opened(report("one").as_uri(), size=(width, 900)) as watched:
        script = """() => { const value = document.querySelector('.headline b');
            value.textContent = '100.0 %'; return value.scrollWidth - value.clientWidth }"""
        assert watched.page.evaluate(script) == 0
        assert watched.overflow == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["one", "two"])
def test_all_text_can_be_read(kind: str, theme: Literal["light", "dark"]) -> None:
    import contrast  # noqa: PLC0415 - needs playwright
    import pages  # noqa: PLC0415

    with pages.opened(report(kind).as_uri(), theme=theme) as watched:
        watched.page.evaluate(
            """() => { document.querySelectorAll('details').forEach(it => { it.open = true });
            document.querySelectorAll('text.number').forEach(it => it.remove()) }"""
        )  # numbers lie on colours of their own, which test_vector measures
        assert contrast.faint(watched.page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ink_is_turned_over_in_the_dark_and_never_blurred(theme: Literal["light", "dark"]) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    with pages.opened(report("one").as_uri(), theme=theme) as watched:
        style = "getComputedStyle(document.querySelector('image.ink'))"
        assert ("invert" in watched.page.evaluate(f"{style}.filter")) == (theme == "dark")
        assert watched.page.evaluate(f"{style}.imageRendering") == "pixelated"
