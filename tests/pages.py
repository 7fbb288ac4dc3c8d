"""Pages in headless Chromium, watched: what they load, what they log, what fails.

Import it only in tests with the marker ``browser``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Page, sync_playwright

# Nothing but the page under test may reach for the network, the browser itself included.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = (390, 844)
DESKTOP = (1280, 900)


@dataclass
class Watched:
    """A page, and what happened while it was open."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """Every address asked for, inline data aside."""
    troubles: list[str] = field(default_factory=list)
    """Errors and warnings on the console, exceptions, failed requests."""

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window: 0 where nobody scrolls sideways."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))

    def hollow_pictures(self) -> list[str]:
        """Pictures that failed to load or are shown without an extent."""
        script = """() => [...document.querySelectorAll('img, svg')]
            .filter(it => { const box = it.getBoundingClientRect();
                return !box.width || !box.height || (it.tagName === 'IMG' && !it.naturalWidth) })
            .map(it => it.outerHTML.slice(0, 200))"""
        return list(self.page.evaluate(script))

    def assert_fine(self) -> None:
        """Nothing failed, nothing is hollow, and nobody has to scroll sideways."""
        assert self.troubles == []
        assert self.hollow_pictures() == []
        assert self.overflow == 0


@contextmanager
def opened(
    address: str,
    *,
    theme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = DESKTOP,
    touch: bool = False,
    sharp: float = 1,
) -> Iterator[Watched]:
    """Open an address (``Path.as_uri()`` for a file) and yield the page; closes it at the end.

    ``sharp`` is pixels of the screen for one of ``size``.
    """
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=_chromium(), args=QUIET)
        context = browser.new_context(
            color_scheme=theme,
            viewport={"width": size[0], "height": size[1]},
            has_touch=touch,
            device_scale_factor=sharp,
        )
        watched = Watched(context.new_page())
        _watch(watched)
        watched.page.goto(address, wait_until="load")
        yield watched
        browser.close()


def _watch(watched: Watched) -> None:
    page, troubles = watched.page, watched.troubles
    page.on("request", lambda it: _ask(watched, it.url))
    page.on("pageerror", lambda it: troubles.append(f"exception: {it}"))
    page.on("requestfailed", lambda it: troubles.append(f"failed: {it.url}"))
    page.on("console", lambda it: _listen(troubles, it))


def _ask(watched: Watched, address: str) -> None:
    if not address.startswith(("data:", "blob:")):
        watched.requests.append(address)


def _listen(troubles: list[str], message: Any) -> None:
    if message.type in ("error", "warning"):
        troubles.append(f"{message.type}: {message.text}")


def _chromium() -> str:
    """The browser to use: that in ``CHROMIUM``, or the first on the path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, names)]
    return next((path for path in found if path), "chromium")  # absent: the launch says so
