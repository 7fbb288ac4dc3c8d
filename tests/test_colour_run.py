"""Colour canvases go the whole way: training, measures, figures, report, demo, export."""

from __future__ import annotations

from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
import torch
from PIL import Image

import airkit
from airkit.data.reader import read_split
from airkit.errors import DataFileError
from airkit.figures.page import Page
from airkit.web.session import Session, open_session

Array = np.ndarray[Any, Any]


@cache
def data() -> Path:
    return tiny_runs.data_file(source="sprites", channels=3, digit_size_sd=1.0)


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps on colour sprites."""
    run = tmp_path_factory.mktemp("colours") / "run"
    tiny_runs.fit(run, data(), train__steps=10)
    return run


def test_a_training_goes_on_to_the_bit(run: Path, tmp_path: Path) -> None:
    stopped = tiny_runs.Recorder(step6=tiny_runs.crash)
    with pytest.raises(tiny_runs.CrashError):
        tiny_runs.fit(tmp_path / "run", data(), stopped, train__steps=10)
    tiny_runs.go_on(tmp_path / "run")
    states = (tiny_runs.state(each, 10) for each in (run, tmp_path / "run"))
    one, other = (state.model for state in states)
    assert tiny_runs.same(one, other)


def test_every_measure_is_taken(run: Path) -> None:
    found = airkit.evaluate(run)
    assert found.canvases == 20
    for name in ("count_accuracy", "mse", "foreground_ari", "elbo"):
        assert np.isfinite(getattr(found, name)), name


@pytest.mark.parametrize("kind", ["reconstructions", "steps", "errors", "data", "prior"])
def test_figures_are_in_colour(
    run: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be others if pictures were drawn in grey."""

    def drawn(name: str) -> bytes:
        airkit.render(run, out=tmp_path / name, settings={"render.kind": kind})
        return Image.open(tmp_path / name).tobytes()

    tile, in_colour = Page.tile, drawn("colour.png")

    def grey(page: Page, ink: Array, *given: Any, **named: Any) -> Any:
        return tile(page, np.broadcast_to(ink.mean(0), ink.shape), *given, **named)

    monkeypatch.setattr(Page, "tile", grey)
    assert drawn("grey.png") != in_colour


def test_the_demo_packs_pixels_as_the_page_reads_them(run: Path) -> None:
    session: Session = open_session(run, "best", {}, tiny_runs.Recorder())
    try:
        assert session.facts()["channels"] == 3
        image = torch.zeros(3, 24, 24)
        image[0, 2, 5], image[2, 2, 6] = 1, 1
        packed = np.frombuffer(b64decode(session.see(image)["image"]), np.uint8)
        pixels = packed.reshape(24, 24, 3)
        assert pixels[2, 5].tolist() == [255, 0, 0]
        assert pixels[2, 6].tolist() == [0, 0, 255]
        assert session.random() is not None
        assert len(session.sample()["windows"]) == 3
    finally:
        session.close()


def test_exported_pictures_are_the_canvases(run: Path, tmp_path: Path) -> None:
    airkit.export(data(), tmp_path / "coco")
    images = read_split(data(), "test").image
    for place in (0, 7):
        picture = Image.open(tmp_path / "coco" / "images" / f"test-{place:06}.png")
        assert np.array_equal(np.asarray(picture), images[place])


def test_a_report_has_its_pictures(run: Path, tmp_path: Path) -> None:
    airkit.report(run, out=tmp_path / "report.html")
    assert "data:image/png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_grey_run_refuses_colour_canvases() -> None:
    with pytest.raises(DataFileError) as caught:
        airkit.evaluate(tiny_runs.reference(), data=data())
    assert "grey" in str(caught.value)
