"""The demo's page in a real browser: drawn on by mouse and by finger, in both themes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import contrast
import numpy as np
import pytest
import tiny_runs
from PIL import Image

import airkit
from airkit.web.server import Serving

if TYPE_CHECKING:
    from pages import Watched

pytestmark = pytest.mark.browser

Stroke = Sequence[tuple[float, float]]
"""Points (x, y) as fractions of the canvas."""

ONE: Stroke = ((0.25, 0.15), (0.25, 0.3), (0.25, 0.5))
SEVEN: Stroke = ((0.6, 0.55), (0.8, 0.55), (0.72, 0.7), (0.68, 0.9))

QUIET = "model !== null && !busy && !resting && holder === null"
READ = """() => {
    const pixels = canvas => canvas.toDataURL();
    const rows = [...document.querySelectorAll('#posterior li')];
    const rects = [...document.querySelectorAll('#draw .boxes rect')];
    return {
        count: document.getElementById('count').textContent,
        note: document.getElementById('note').textContent,
        truth: document.getElementById('truth').textContent,
        posterior: rows.map(row => row.querySelector('.share').textContent),
        most: rows.findIndex(row => row.className === 'most'),
        boxes: rects.map(it => ['x', 'y', 'width', 'height'].map(a => +it.getAttribute(a))),
        windows: [...document.querySelectorAll('#slots canvas')].map(pixels),
        reconstruction: pixels(document.getElementById('reconstruction')),
        drawing: pixels(document.getElementById('drawing')),
        hint: document.getElementById('hint').className,
    };
}"""


@pytest.fixture(name="serving", scope="module")
def _serving() -> Iterator[Serving]:
    """A page whose model has learned to count."""
    run = tiny_runs.folder() / "for-the-page"
    tiny_runs.fit(run, train__steps=400)
    with airkit.demo(run, port=0) as serving:
        yield serving


@dataclass
class Drawn:
    """The page, and hands to draw on it."""

    watched: Watched

    def settled(self) -> dict[str, Any]:
        """What the page shows when every answer is there."""
        ends = time.monotonic() + 30
        while not self.watched.page.evaluate(QUIET):  # its policy forbids wait_for_function
            assert time.monotonic() < ends, "the page is still waiting"
            time.sleep(0.01)
        return dict(self.watched.page.evaluate(READ))

    def places(self, stroke: Stroke) -> list[tuple[float, float]]:
        box = self.watched.page.locator("#drawing").bounding_box()
        assert box is not None
        return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]

    def mouse(self, stroke: Stroke) -> None:
        first, *others = self.places(stroke)
        self.watched.page.mouse.move(*first)
        self.watched.page.mouse.down()
        for place in others:
            self.watched.page.mouse.move(*place, steps=4)
        self.watched.page.mouse.up()

    def finger(self, stroke: Stroke) -> None:
        page = self.watched.page
        browser = page.context.new_cdp_session(page)
        kinds = ["touchStart", *["touchMove"] * (len(stroke) - 1)]
        for kind, (x, y) in zip(kinds, self.places(stroke), strict=True):
            points = [{"x": x, "y": y}]
            browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def assert_fine(self, serving: Serving) -> None:
        asked = self.watched.requests
        assert {serving.address, f"{serving.address}model", f"{serving.address}see"} <= set(asked)
        assert [address for address in asked if not address.startswith(serving.address)] == []
        self.watched.assert_fine()


@pytest.fixture(name="pages")
def _pages() -> Any:
    import pages  # noqa: PLC0415 - needs playwright

    return pages


@pytest.fixture(name="drawn")
def _drawn(serving: Serving, pages: Any) -> Iterator[Drawn]:
    """The page on a desktop, with an empty canvas."""
    with pages.opened(serving.address) as watched:
        drawn = Drawn(watched)
        drawn.settled()
        watched.page.click("#clear")
        drawn.settled()
        yield drawn


@pytest.mark.parametrize("hand", ["mouse", "finger"])
def test_what_is_drawn_is_counted_boxed_and_painted(
    serving: Serving, pages: Any, hand: str
) -> None:
    def assert_all_changed(before: dict[str, Any], after: dict[str, Any]) -> None:
        for part in ("count", "posterior", "boxes", "windows", "reconstruction", "drawing"):
            assert before[part] != after[part], part

    size = pages.PHONE if hand == "finger" else pages.DESKTOP
    with pages.opened(serving.address, size=size, touch=hand == "finger") as watched:
        page = Drawn(watched)
        draw: Callable[[Stroke], None] = getattr(page, hand)
        example = page.settled()
        assert example["most"] > 0
        watched.page.click("#clear")
        blank = page.settled()
        assert (blank["most"], blank["boxes"], blank["hint"]) == (0, [], "")
        draw(ONE)
        one = page.settled()
        assert_all_changed(blank, one)
        assert (one["most"], one["hint"]) == (1, "faint")
        (x, y), (left, top, width, height) = np.mean(np.array(ONE) * 24, axis=0), one["boxes"][0]
        assert left < x < left + width
        assert top < y < top + height
        draw(SEVEN)
        two = page.settled()
        assert_all_changed(one, two)
        assert two["posterior"][2] == max(two["posterior"], key=lambda text: float(text[:-2]))
        watched.page.click("#clear")
        assert page.settled() == blank
        page.assert_fine(serving)


def test_one_look_is_shown_at_once_and_many_together_follow(serving: Serving, drawn: Drawn) -> None:
    drawn.watched.page.evaluate(
        "notes = []; new MutationObserver(() => notes.push(at('note').textContent))"
        ".observe(at('note'), {childList: true})"
    )
    drawn.mouse(ONE)
    assert drawn.settled()["note"] == "3 looks together"
    notes = drawn.watched.page.evaluate("notes")
    assert notes[0] == "from one look"
    assert notes[-2:] == ["from one look", "3 looks together"]
    assert drawn.watched.requests[-1] == f"{serving.address}best"


def test_buttons_bring_canvases_of_the_data_and_of_the_model(
    serving: Serving, drawn: Drawn
) -> None:
    blank = drawn.settled()
    drawn.watched.page.click("#random")
    random = drawn.settled()
    assert random["truth"] in {f"The data file has {n}." for n in (1, 2)}
    assert random["drawing"] != blank["drawing"]
    drawn.watched.page.click("#sample")
    sample = drawn.settled()
    assert sample["drawing"] != random["drawing"]
    assert sample["truth"] in {f"The model was asked for {n}." for n in (1, 2)}
    drawn.mouse(ONE)
    assert drawn.settled()["truth"] == "", "a canvas drawn on is another one"
    drawn.assert_fine(serving)


def test_the_pen_is_soft_and_as_wide_as_written_strokes(drawn: Drawn) -> None:
    drawn.mouse(((0.5, 0.2), (0.5, 0.8)))
    levels = drawn.watched.page.evaluate("Array.from(input())")
    across = np.array(levels).reshape(24, 24)[12] / 255
    mnist = 10 / 28  # a pixel of MNIST, digits being 10 px
    assert 1.5 * mnist < across.sum() < 3.5 * mnist
    assert (np.diff(across[:12]) >= 0).all()
    assert (np.diff(across[12:]) <= 0).all()
    assert across[:9].sum() == across[15:].sum() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", ["DESKTOP", "PHONE"])
def test_looks_in_both_themes(serving: Serving, pages: Any, theme: str, device: str) -> None:
    with pages.opened(serving.address, theme=theme, size=getattr(pages, device)) as watched:
        page = Drawn(watched)
        page.settled()
        page.mouse(ONE)
        page.settled()
        assert contrast.faint(watched.page) == []
        shot = watched.page.screenshot(full_page=True)
        for name in ("#drawing", "#reconstruction", "#posterior", "#slots", "#clear", "#sample"):
            assert watched.page.locator(name).is_visible(), name
        page.assert_fine(serving)
    grey = np.asarray(Image.open(BytesIO(shot)).convert("L"))
    assert (np.median(grey) > 200) if theme == "light" else (np.median(grey) < 50)
    assert grey.std() > 10


def test_a_server_that_is_gone_is_told(pages: Any) -> None:
    with airkit.demo(tiny_runs.reference(), port=0) as ended, pages.opened(ended.address) as page:
        drawn = Drawn(page)
        drawn.settled()
        ended.close()
        drawn.mouse(ONE)
        shown = drawn.settled()
    assert (shown["count"], shown["note"]) == ("No answer", "Is airkit demo still running?")
