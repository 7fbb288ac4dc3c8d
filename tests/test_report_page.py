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
def reported() -> Path:
    return airkit.report(tiny_runs.reference(), out=tiny_runs.folder() / "page" / "one.html").path


@cache
def compared() -> Path:
    runs = [tiny_runs.reference(), tiny_runs.trained(tiny_runs.folder() / ("long" * 40))]
    return airkit.report(runs, out=tiny_runs.folder() / "page" / "two.html").path


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["PHONE", "DESKTOP"])
def test_it_is_whole_and_on_its_own(theme: Literal["light", "dark"], size: str) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    file = reported()
    with pages.opened(file.as_uri(), theme=theme, size=getattr(pages, size)) as watched:
        assert watched.page.inner_text("h1") == "reference"
        assert watched.requests == [file.as_uri()]
        assert watched.troubles == []
        assert watched.hollow_pictures() == []
        assert watched.overflow == 0
        assert watched.page.locator("img").count() > 30


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["PHONE", "DESKTOP"])
def test_a_comparison_is_whole(theme: Literal["light", "dark"], size: str) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    file = compared()
    with pages.opened(file.as_uri(), theme=theme, size=getattr(pages, size)) as watched:
        assert watched.page.inner_text("h1") == "2 runs"
        assert watched.requests == [file.as_uri()]
        assert watched.troubles == []
        assert watched.hollow_pictures() == []
        assert watched.overflow == 0
        assert watched.page.locator("svg").count() == 3


def test_the_theme_is_that_of_the_browser() -> None:
    import pages  # noqa: PLC0415 - needs playwright

    found = {}
    for theme in ("light", "dark"):
        with pages.opened(reported().as_uri(), theme=theme) as watched:
            script = "(it => [it.backgroundColor, it.color])(getComputedStyle(document.body))"
            found[theme] = watched.page.evaluate(script)
    assert found["light"] == ["rgb(255, 255, 255)", "rgb(27, 29, 34)"]
    assert found["dark"] == ["rgb(21, 23, 27)", "rgb(232, 234, 238)"]


def test_a_long_name_and_many_slots_do_not_widen_it(tmp_path: Path) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    run = tiny_runs.trained(tmp_path / ("long" * 50))
    file = airkit.report(
        run, data=tiny_runs.data_file(max_digits=7, canvas_size=48), out=tmp_path / "it.html"
    ).path
    with pages.opened(file.as_uri(), size=pages.PHONE) as watched:
        assert watched.overflow == 0
        assert watched.hollow_pictures() == []
