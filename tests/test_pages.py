"""The watch over pages in a browser sees what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

GOOD = "<h1>fine</h1><img alt='' src='data:image/svg+xml,<svg xmlns=%22http://www.w3.org/2000/svg%22 width=%224%22 height=%224%22/>'>"  # noqa: E501
BAD = (
    "<h1 style='width: 3000px'>wide</h1><img alt='' src='missing.png'>"
    "<script>console.error('oh'); throw new Error('no')</script>"
)


def test_a_good_page_shows_nothing_amiss(tmp_path: Path) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    file = tmp_path / "good.html"
    file.write_text(GOOD)
    with pages.opened(file.as_uri()) as watched:
        assert watched.page.inner_text("h1") == "fine"
        assert watched.requests == [file.as_uri()]
        assert watched.troubles == []
        assert watched.hollow_pictures() == []
        assert watched.overflow == 0


def test_all_that_is_amiss_is_seen(tmp_path: Path) -> None:
    import pages  # noqa: PLC0415 - needs playwright

    file = tmp_path / "bad.html"
    file.write_text(BAD)
    with pages.opened(file.as_uri()) as watched:
        missing = (tmp_path / "missing.png").as_uri()
        assert watched.requests == [file.as_uri(), missing]
        assert f"failed: {missing}" in watched.troubles
        assert "error: oh" in watched.troubles
        assert "exception: no" in watched.troubles
        assert len(watched.hollow_pictures()) == 1
        assert watched.overflow > 1000
