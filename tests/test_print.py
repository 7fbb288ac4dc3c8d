"""Figures for print: their size, their format, text as text, boxes as vectors."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import own_module
import pytest
import tiny_runs
import torch
from matplotlib.figure import Figure
from pixels import assert_words_apart, decoded, made

import airkit
from airkit.config.schema import Config, RenderConfig
from airkit.errors import OutputError
from airkit.figures import reconstructions
from airkit.figures.marks import SLOTS, hexadecimal
from airkit.figures.policy import sheet as policy
from airkit.figures.render import draw, render
from airkit.figures.sheet import fitted
from airkit.web.report import Report

KINDS = ("reconstructions", "steps", "errors", "policy", "data", "curves", "prior")
SMALL: Mapping[str, Any] = {"render.rows": 1, "render.columns": 2}


@pytest.fixture(scope="module")
def run() -> Path:
    """A run of a few steps; for reading only."""
    return tiny_runs.reference()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_vector_page_of_the_width_asked_for(
    kind: str, run: Path, tmp_path: Path
) -> None:
    def drawn(name: str, width: Any) -> bytes:
        picture = render(
            run, kind=kind, out=tmp_path / name, settings={**SMALL, "render.width": width}
        )
        assert picture.width == {"column": 234, 4: 288}[width]
        return picture.path.read_bytes()

    svg, pdf = drawn("a.svg", "column"), drawn("a.pdf", 4)
    assert re.search(rb'viewBox="0 0 234(\.0*\d*)? ', svg)
    assert b"<text" in svg
    assert re.search(rb"/MediaBox \[ 0 0 288(\.0*\d*)? ", pdf)
    assert b"/CIDFontType2" in pdf, "TrueType, and no Type 3, which journals refuse"
    assert b"/Type3" not in pdf
    if kind in ("data", "curves"):
        again = drawn("b.svg", "column"), drawn("b.pdf", 4)
        assert again == (svg, pdf), "no dates, no random names"


def test_canvases_are_images_and_boxes_and_words_are_vectors(tmp_path: Path) -> None:
    config = Config(render=RenderConfig(rows=1, columns=2, width="column", format="svg"))
    found = reconstructions.reconstructions([made(2, 1)] * 2, config, 2)
    found.figure().savefig(tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert svg.count("<image") == 4
    for slot in SLOTS[:2]:
        assert svg.count(f"stroke: {hexadecimal(slot)}") == 4


@pytest.mark.parametrize(
    ("width", "inches", "dpi"), [("column", 3.25, 240), ("page", 6.75, 97), (5.5, 5.5, 144)]
)
def test_a_png_has_as_many_dots_as_its_inches(
    width: Any, inches: float, dpi: int, run: Path, tmp_path: Path
) -> None:
    given = {**SMALL, "render.width": width, "render.dpi": dpi, "render.scale": 2.0}
    for kind in ("data", "curves"):
        picture = render(run, kind=kind, out=tmp_path / "a.png", settings=given)
        assert picture.width == round(inches * dpi)
        assert decoded(picture.path).shape[:2] == (picture.height, picture.width)


def test_the_format_is_that_of_the_ending_or_the_setting(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    made = render(copy, kind="data", settings={**SMALL, "render.format": "pdf"})
    assert made.path == copy / "figures" / "data.pdf"
    assert made.path.read_bytes().startswith(b"%PDF")
    upper = render(run, kind="data", out=tmp_path / "A.SVG", settings=SMALL)
    assert upper.path.read_text().startswith("<?xml")
    with pytest.raises(OutputError, match="PDF") as caught:
        render(run, kind="data", out=tmp_path / "a.png", settings={"render.format": "pdf"})
    assert "--out" in str(caught.value)
    assert not (tmp_path / "a.png").exists()


def test_a_run_may_record_format_and_width(tmp_path: Path) -> None:
    recorded: Any = {"render__format": "svg", "render__width": "column", "render__rows": 1}
    tiny_runs.fit(tmp_path / "run", train__steps=1, **recorded)
    picture = render(tmp_path / "run", kind="prior")
    assert (picture.path.suffix, picture.width) == (".svg", 234)
    other = render(tmp_path / "run", kind="prior", settings={"render.width": 2})
    assert other.width == 144
    overridden = render(tmp_path / "run", kind="prior", out=tmp_path / "a.svg")
    assert overridden.path.exists()


def test_titles_can_be_left_to_the_caption(run: Path, tmp_path: Path) -> None:
    for kind, title in (("data", "Canvases"), ("curves", "Training of")):
        with_title, without = (
            render(
                run,
                kind=kind,
                out=tmp_path / "a.svg",
                settings={**SMALL, "render.width": "column", "render.titles": titles},
            )
            for titles in (True, False)
        )
        assert without.height < with_title.height
        assert title not in without.path.read_text()
        assert "true box" in without.path.read_text() or kind == "curves", "the legend stays"


@pytest.mark.parametrize("width", [2.5, "column", "page"])
def test_words_stay_on_the_page_and_apart(width: Any) -> None:
    config = Config(render=RenderConfig(rows=2, columns=8, width=width, dpi=144))
    many = [made(2, 2)] * 16
    for sheet in (
        reconstructions.reconstructions(many, fitted(config, 58), 10_000),
        reconstructions.errors([made(3, 2)] * 16, fitted(config, 58), 16),
        reconstructions.steps([made(2, 2, slots=9)] * 2, config, 10_000),
        policy(torch.full((3, 4, 2), 4.0), torch.tensor([4, 1, 0]), (20, 20), config),
    ):
        assert_words_apart(sheet)
        assert sheet.width * sheet.unit == pytest.approx(
            72 * {"column": 3.25, "page": 6.75}.get(width, 2.5)
        )


def test_text_that_becomes_too_small_is_told(run: Path, tmp_path: Path) -> None:
    recorder = tiny_runs.Recorder()
    for width in (1.5, "page"):
        given = {"render.width": width, "render.rows": 1}
        render(run, kind="steps", out=tmp_path / "a.pdf", settings=given, listener=recorder)
    (note,) = [note for note in recorder.notes if "width" in note]
    assert re.search(r"has [1-6]\.\d points", note)


def test_python_gets_a_figure(run: Path, tmp_path: Path) -> None:
    figure = airkit.figures.draw(run, kind="steps", settings={"render.width": 4})
    assert isinstance(figure, Figure)
    assert figure.get_size_inches()[0] == pytest.approx(4)
    assert draw(run, kind="curves").axes
    figure.savefig(tmp_path / "mine.pdf")
    assert (tmp_path / "mine.pdf").read_bytes().startswith(b"%PDF")


def test_figures_of_ones_own_are_scaled_to_the_width(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(own_module.MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    given = {"render.width": "column", "render.kind": "mine:Large"}
    for name, dots in (("a.pdf", 234), ("a.png", 1950)):
        picture = render(run, out=tmp_path / name, settings=given)
        assert (picture.width, picture.height) == (dots, round(dots * 2 / 5))
    assert render(run, kind="mine:Large", out=tmp_path / "b.png").width == 1000


def test_a_notebook_shows_pictures_and_reports(run: Path, tmp_path: Path) -> None:
    pictures = {
        form: render(run, kind="data", out=tmp_path / f"a.{form}", settings=SMALL)
        for form in ("png", "svg", "pdf")
    }
    for form, picture in pictures.items():
        shown = [picture._repr_png_(), picture._repr_svg_(), picture._repr_pdf_()]
        content = picture.path.read_bytes()
        assert [each is not None for each in shown] == [form == it for it in ("png", "svg", "pdf")]
        assert content in [each.encode() if isinstance(each, str) else each for each in shown]
        picture.path.unlink()
        assert picture._repr_png_() is None
    (tmp_path / "r.html").write_text('<p class="a">1 < 2</p>')
    report = Report(tmp_path / "r.html", 1, ())
    assert 'srcdoc="&lt;p class=&quot;a&quot;&gt;' in str(report._repr_html_())
    report.path.unlink()
    assert report._repr_html_() is None
