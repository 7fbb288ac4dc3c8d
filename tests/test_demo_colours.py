"""The demo's page of a model in colour, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tiny_runs
from test_demo_page import ONE, SEVEN, Drawn

import airkit
from airkit.web.server import Serving

pytestmark = pytest.mark.browser

PIXEL = """([id, x, y]) => {
    const canvas = document.getElementById(id);
    const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
    return [...canvas.getContext('2d').getImageData(...at, 1, 1).data];
}"""


@pytest.fixture(name="serving", scope="module")
def _serving() -> Iterator[Serving]:
    run = tiny_runs.folder() / "colours-for-the-page"
    data = tiny_runs.data_file(source="sprites", channels=3, digit_size_sd=1.0)
    tiny_runs.fit(run, data, train__steps=20)
    with airkit.demo(run, port=0) as serving:
        yield serving


def test_the_pen_has_the_colour_chosen_and_pictures_are_as_they_are(serving: Serving) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    with pages.opened(serving.address) as watched:
        drawn = Drawn(watched)
        drawn.settled()
        assert watched.page.locator("#colour").is_visible()
        for colour, stroke, wanted in (
            ("#ff0000", ONE, [255, 0, 0]),
            ("#0000ff", SEVEN, [0, 0, 255]),
        ):
            watched.page.fill("#colour", colour)
            drawn.mouse(stroke)
            drawn.settled()
            assert watched.page.evaluate(PIXEL, ["drawing", *stroke[1]])[:3] == pytest.approx(
                wanted, abs=2
            )
        style = "getComputedStyle(document.getElementById('reconstruction')).filter"
        assert watched.page.evaluate(style) == "none"
        watched.page.click("#random")
        assert "object" in drawn.settled()["count"]
        drawn.assert_fine(serving)
