"""Pictures of the docs and the README: ``nox -s pictures -- --digits FOLDER`` makes all anew.

It trains what they show, about a quarter of an hour on two cores, in ``--work``; what is trained
there already is not trained again. It needs Chromium. ``FOLDER`` has MNIST's files; the tutorial's
pictures are of built-in strokes. ``--only demo`` makes those whose names have the word.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drawings
import estimators
import gradient_variance
import pages

import airkit
from airkit import settings
from airkit.data.dataset import to_float
from airkit.system.callbacks import SILENT
from airkit.web.session import open_session

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
IMAGES, RESULTS = ROOT / "docs" / "images", ROOT / "benchmarks" / "results"
RUNS = {
    "air": ("strokes", ()),
    "narrow": ("strokes", (settings.from_assignment("model.code_size=2"),)),
    "digits": ("digits", ()),
    "lstm": ("digits", (settings.from_preset("lstm"),)),
}
"""Runs by name: their data and settings."""
STROKES = (
    ((0.2, 0.2), (0.29, 0.16), (0.35, 0.22), (0.28, 0.28), (0.35, 0.35), (0.3, 0.43), (0.2, 0.4)),
    ((0.55, 0.53), (0.77, 0.52), (0.68, 0.65), (0.63, 0.79)),
)
"""What is drawn on the demo's canvas: points (x, y) as shares of it."""
WIDE = (1280, 720)


class Workshop:
    """Makes pictures of runs in a folder, which it trains where they are not there."""

    def __init__(self, folder: Path, digits: str) -> None:
        self.folder, self.sources = folder, {"strokes": "strokes", "digits": digits}
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, name: str) -> Path:
        """Return a run's folder, trained to the end."""
        source, layers = RUNS[name]
        data, run = self.folder / f"{source}.h5", self.folder / name
        if not data.exists():
            airkit.make_data(data, settings={"data.source": self.sources[source]})
        airkit.train(data, run, settings=layers)
        return run

    def rendered(self, run: str, kind: str, **given: Any) -> Path:
        """Return a figure of a run."""
        values = {name.replace("__", "."): value for name, value in given.items()}
        values["render.scale"] = "auto"  # runs that were kept may have another
        return airkit.render(self.run(run), kind=kind, settings=values).path

    def overlay(self) -> Path:
        """Return what the tutorial's run sees on a drawing."""
        airkit.infer(IMAGES / "drawing.png", self.run("air"), overlay=self.folder / "seen")
        return self.folder / "seen" / "drawing.png"

    def seen(self) -> Path:
        """Return canvases, most with digits close together, that the model counts right."""
        session = open_session(self.run("digits"), "best", (), SILENT)
        assert session.canvases is not None
        counts, boxes = session.canvases.truth("counts"), session.canvases.truth("boxes")
        centres = boxes[:, :2, :2] + boxes[:, :2, 2:] / 2
        apart = (centres[:, 0] - centres[:, 1]).norm(dim=1)
        hard = [index for index in apart.argsort().tolist() if counts[index] == 2]
        lone = int((counts == 1).nonzero()[0])
        tried = [
            (index, session.best(to_float(session.canvases.images[index])))
            for index in (*hard[20:400:40], lone)
        ]
        right = [seen for index, seen in tried if seen["count"] == counts[index]]
        found = [*right[:2], right[-1], right[3]]
        session.close()
        return self.written(drawings.seen(found, session.air.canvas_size))

    def accuracies(self) -> Path:
        """Return the chart of every seed of every sweep."""
        kept = json.loads((RESULTS / "success.json").read_text(encoding="utf-8"))["sweeps"]
        rows = [{"preset": preset, **row} for preset in kept for row in kept[preset]["rows"]]
        return self.written(drawings.accuracies(rows))

    def written(self, drawing: str) -> Path:
        """Return a file with a drawing."""
        file = self.folder / "drawing.svg"
        file.write_text(drawing, encoding="utf-8")
        return file

    def demo(self) -> Path:
        """Return the demo's page with two digits drawn."""
        with airkit.demo(self.run("digits"), port=0) as serving:
            return self.shot(serving.address, draw)

    def report(self) -> Path:
        """Return the first screen of the tutorial's report."""
        run = self.run("air")
        return self.shot(airkit.report(run).path.absolute().as_uri())

    def shot(self, address: str, act: Callable[[Page], None] | None = None) -> Path:
        """Return what a browser shows of a page, at twice the pixels."""
        file = self.folder / "shot.png"
        with pages.opened(address, size=WIDE, sharp=2) as watched:
            if act is not None:
                act(watched.page)
            watched.page.screenshot(path=file)
            watched.assert_fine()
        return file


def draw(page: Page) -> None:
    """Draw on the demo's canvas, and wait for many looks together."""
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    for stroke in STROKES:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=8)
        page.mouse.up()
    page.get_by_text("16 looks together").wait_for()


def redrawn(benchmark: Any, *more: str) -> Path:
    """Return the chart of a benchmark, from the results that it kept."""
    rows = json.loads(benchmark.RESULTS.read_text(encoding="utf-8"))["rows"]
    benchmark.draw(rows, *more)
    return Path(benchmark.PICTURE)


def pictures(shop: Workshop) -> dict[str, Callable[[], Path]]:
    """Return how each picture is made."""
    return {
        "seen.svg": shop.seen,
        "accuracy.svg": shop.accuracies,
        "estimators.png": lambda: redrawn(estimators),
        "gradient-variance.png": lambda: redrawn(gradient_variance, "lstm"),
        "tutorial-data.png": lambda: shop.rendered("air", "data", render__rows=2),
        "tutorial-reconstructions.png": lambda: shop.rendered(
            "air", "reconstructions", render__rows=2
        ),
        "tutorial-steps.png": lambda: shop.rendered("air", "steps", render__rows=3),
        "tutorial-drawing.png": shop.overlay,
        "tutorial-narrow.png": lambda: shop.rendered("narrow", "reconstructions", render__rows=2),
        "policy-saliency.png": lambda: shop.rendered("digits", "policy"),
        "policy-lstm.png": lambda: shop.rendered("lstm", "policy"),
        "report.png": shop.report,
        "demo.png": shop.demo,
    }


def main() -> None:
    """Make the pictures asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", required=True, help="a folder with MNIST's files")
    parser.add_argument("--work", type=Path, default=Path("pictures"), help="where runs are kept")
    parser.add_argument("--only", default="", help="a word in the names of those to make")
    args = parser.parse_args()
    for name, make in pictures(Workshop(args.work, args.digits)).items():
        if args.only in name:
            made = make()
            if made != IMAGES / name:
                shutil.copyfile(made, IMAGES / name)
            sys.stdout.write(f"written: docs/images/{name}\n")


if __name__ == "__main__":
    main()
