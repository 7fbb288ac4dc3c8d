"""The demo in a real browser: sizes, keys, what undo brings back, and how it fits screens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import contrast
import pytest
import tiny_runs
from test_demo_page import ONE, Drawn, Stroke

import airkit
from airkit.web.server import Serving

pages: Any = pytest.importorskip("pages", exc_type=ImportError)  # needs playwright
pytestmark = pytest.mark.browser

SIDE, INK = 24, 10 * 20 / 28


@pytest.fixture(name="serving", scope="module")
def _serving() -> Iterator[Serving]:
    with airkit.demo(tiny_runs.reference(), port=0) as serving:
        yield serving


@pytest.fixture(name="drawn")
def _drawn(serving: Serving) -> Iterator[Drawn]:
    with pages.opened(serving.address) as watched:
        drawn = Drawn(watched)
        drawn.settled()
        yield drawn


def zigzag(side: float, left: float = 0.1, top: float = 0.1) -> Stroke:
    """A stroke of a square's size, in shares of the canvas."""
    points = ((0.0, 0.0), (1.0, 0.2), (0.0, 0.8), (1.0, 1.0))
    return [(left + side * x, top + side * y) for x, y in points]


def notice(drawn: Drawn) -> str:
    """What the page says of sizes; empty where it says nothing."""
    told: str = drawn.watched.page.inner_text("#size") if shown(drawn, "#size") else ""
    return told


def shown(drawn: Drawn, name: str) -> bool:
    return bool(drawn.watched.page.locator(name).is_visible())


def value(drawn: Drawn, script: str) -> Any:
    return drawn.watched.page.evaluate(script)


def test_it_starts_with_an_example_that_the_first_stroke_replaces(drawn: Drawn) -> None:
    start = drawn.settled()
    assert len(value(drawn, "items")) == 2
    assert notice(drawn) == ""
    drawn.mouse(ONE)
    assert len(value(drawn, "items")) == 1
    drawn.watched.page.click("#undo")
    again = drawn.settled()
    assert again["drawing"] == start["drawing"]
    assert again["count"] == start["count"]
    assert drawn.watched.page.is_disabled("#undo")


def test_a_stroke_larger_than_the_models_objects_is_told_and_can_be_scaled(drawn: Drawn) -> None:
    drawn.mouse(zigzag(0.75))
    assert drawn.settled()["count"].endswith("?")
    assert "Larger" in notice(drawn)
    drawn.watched.page.click("#fit")
    assert not drawn.settled()["count"].endswith("?")
    levels = value(drawn, "Array.from(input())")
    rows = [place // SIDE for place, level in enumerate(levels) if level > 127]
    assert max(rows) - min(rows) + 1 == pytest.approx(INK, abs=1.5), "the model gets its own size"
    left, top, right, bottom = (SIDE * share for share in (0.1, 0.1, 0.85, 0.85))
    for x, y, width, height in drawn.settled()["boxes"]:
        assert left - 5 < x + width / 2 < right + 5, "boxes are where the pen was"
        assert top - 5 < y + height / 2 < bottom + 5
    drawn.watched.page.click("#fit")
    assert "Larger" in notice(drawn)


@pytest.mark.parametrize(
    ("strokes", "told"),
    [
        ([zigzag(0.24)], ""),
        ([zigzag(0.24, 0.1, 0.1), zigzag(0.24, 0.3, 0.1)], ""),  # two that touch
        ([zigzag(0.24, 0.1, 0.1), zigzag(0.24, 0.6, 0.6)], ""),
        ([zigzag(0.35)], "Larger"),
        ([((0.2, 0.2), (0.2, 0.4)), ((0.2, 0.4), (0.35, 0.5)), ((0.35, 0.5), (0.35, 0.7))], ""),
        (
            [((0.2, y), (0.22, y + 0.14)) for y in (0.1, 0.23, 0.36, 0.49, 0.62)],
            "Larger",
        ),  # of short strokes that touch
        ([zigzag(0.03)], "Smaller"),
        ([zigzag(0.24), ((0.15, 0.12), (0.2, 0.12))], ""),  # a part of the larger
    ],
)
def test_which_sizes_are_told(drawn: Drawn, strokes: list[Stroke], told: str) -> None:
    drawn.watched.page.click("#clear")
    for stroke in strokes:
        drawn.mouse(stroke)
    assert (told in notice(drawn)) if told else not notice(drawn)


def test_objects_too_different_in_size_are_told(drawn: Drawn) -> None:
    drawn.mouse(zigzag(0.6))
    drawn.watched.page.click("#fit")
    assert "differ" not in notice(drawn)
    drawn.mouse(zigzag(0.15, 0.8, 0.8))
    assert "differ" in notice(drawn)
    assert drawn.settled()["count"].endswith("?")


def test_canvases_of_the_data_have_no_notice_of_size(drawn: Drawn) -> None:
    drawn.mouse(zigzag(0.6))
    drawn.watched.page.click("#random")
    drawn.settled()
    assert notice(drawn) == ""


def test_keys_place_and_move_digits(drawn: Drawn) -> None:
    page = drawn.watched.page
    page.focus("#drawing")
    page.keyboard.press("3")
    (first,) = value(drawn, "items.map(it => middle(extent(it.lines)))")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    (moved,) = value(drawn, "items.map(it => middle(extent(it.lines)))")
    assert moved[0] == pytest.approx(first[0] + INK / 8, abs=0.01)
    assert moved[1] == pytest.approx(first[1] - INK / 2, abs=0.01)
    page.keyboard.press("Enter")  # let go
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("4")
    assert len(value(drawn, "items")) == 2
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")  # take up the 3
    page.keyboard.press("ArrowDown")
    again = value(drawn, "items.map(it => middle(extent(it.lines)))")
    assert again[0][1] == pytest.approx(moved[1] + INK / 8, abs=0.01)
    page.keyboard.press("u")
    assert len(value(drawn, "items")) == 1
    page.keyboard.press("Control+z")
    assert value(drawn, "isEmpty(items)")
    drawn.settled()
    drawn.watched.assert_fine()


def test_all_that_a_button_does_can_be_undone(drawn: Drawn) -> None:
    before = drawn.settled()
    drawn.watched.page.click("#random")
    random = drawn.settled()
    assert random["truth"]
    drawn.watched.page.click("#clear")
    drawn.settled()
    drawn.watched.page.click("#undo")
    assert drawn.settled()["truth"] == random["truth"]
    drawn.watched.page.click("#undo")
    assert drawn.settled()["drawing"] == before["drawing"]


def test_doubt_is_shown_as_doubt(drawn: Drawn) -> None:
    seen = {
        "count": 1, "posterior": [0.05, 0.5, 0.4, 0.05], "interval": [1, 2],
        "presence": [0.9, 0.4, 0.1], "boxes": [[2, 2, 5, 5]], "looks": 3,
        "windows": [], "reconstruction": "A" * 768,  # 24 x 24 px
    }  # fmt: skip

    def told(**other: Any) -> tuple[str, str]:
        value(drawn, f"show({json.dumps(seen | other)})")
        page = drawn.watched.page
        return page.inner_text("#count"), page.inner_text("#doubt")

    assert told() == ("1 or 2 digits", "most likely 1")
    assert told(count=2) == ("1 or 2 digits", "most likely 1")
    assert told(interval=[0, 2])[0] == "0 to 2 digits"
    assert told(interval=[1, 1]) == ("1 digit", "")
    full = [0.0, 0.0, 0.01, 0.99]
    assert told(count=3, interval=[3, 3], posterior=full) == ("3 digits", "at most 3 here")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_projector_is_filled_and_read_from_afar(serving: Serving, theme: Any) -> None:
    with pages.opened(serving.address, size=(1920, 1080), theme=theme) as watched:
        drawn = Drawn(watched)
        drawn.settled()
        drawn.mouse(zigzag(0.6))
        drawn.settled()
        assert min(text["pixels"] for text in contrast.texts(watched.page)) >= 18
        assert contrast.faint(watched.page) == []
        main = watched.page.locator("main").bounding_box()
        paper = watched.page.locator("#draw .paper").bounding_box()
        assert main is not None
        assert paper is not None
        assert main["width"] > 0.95 * 1920
        assert paper["height"] > 0.55 * 1080
        assert paper["y"] + paper["height"] < 1080
        watched.assert_fine()


def test_a_phone_on_its_side_shows_canvas_and_count(serving: Serving) -> None:
    for size in ((844, 390), (667, 375), (932, 430)):
        with pages.opened(serving.address, size=size, touch=True) as watched:
            drawn = Drawn(watched)
            drawn.settled()
            drawn.mouse(zigzag(0.6))
            drawn.settled()
            for name in ("#draw .paper", "#count", "#fit", "#undo", "#sample"):
                box = watched.page.locator(name).bounding_box()
                assert box is not None, name
                assert box["x"] >= 0, name
                assert box["x"] + box["width"] <= size[0], name
                assert box["y"] + box["height"] <= size[1], name
            watched.assert_fine()
