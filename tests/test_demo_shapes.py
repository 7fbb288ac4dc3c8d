"""The demo's page of a model of pictures that are not square, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tiny_runs
from own_pictures import blobs, imported
from test_demo_colours import PIXEL
from test_demo_page import Drawn

import airkit
from airkit.web.server import Serving

pytestmark = pytest.mark.browser

SHAPES = [(20, 32), (40, 20)]


@pytest.fixture(name="serving", scope="module", params=SHAPES, ids=str)
def _serving(request: pytest.FixtureRequest) -> Iterator[tuple[Serving, tuple[int, int]]]:
    height, width = request.param
    run = tiny_runs.folder() / f"page-{height}x{width}"
    data = imported(path=tiny_runs.folder() / f"page-{height}.h5", **blobs(40, height, width)).path
    tiny_runs.fit(run, data, train__steps=5)
    with airkit.demo(run, port=0) as serving:
        yield serving, request.param


def test_the_canvas_has_the_shape_of_the_pictures(
    serving: tuple[Serving, tuple[int, int]],
) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    demo, (height, width) = serving
    with pages.opened(demo.address) as watched:
        drawn = Drawn(watched)
        drawn.settled()
        for name in ("drawing", "reconstruction"):
            box = watched.page.locator(f"#{name}").bounding_box()
            assert box is not None
            assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.03)
        stroke = ((0.8, 0.8), (0.85, 0.85))
        watched.page.click("#clear")
        drawn.mouse(stroke)
        drawn.settled()
        assert min(watched.page.evaluate(PIXEL, ["drawing", *stroke[0]])[:3]) > 200
        sides = "[reconstruction.width, reconstruction.height]"
        at = "const reconstruction = document.getElementById('reconstruction')"
        assert watched.page.evaluate(f"() => {{ {at}; return {sides}; }}") == [width, height]
        for button in ("#random", "#sample"):
            watched.page.click(button)
            boxes = np.array(drawn.settled()["boxes"]).reshape(-1, 4)
            assert (boxes[:, :2] + boxes[:, 2:] <= (width + 0.1, height + 0.1)).all()
        drawn.assert_fine(demo)
