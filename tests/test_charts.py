"""Charts of a report: the numbers at their places, as SVG that a page of HTML can hold."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import numpy as np
import pytest
from report_reader import Reader

from airkit.figures.charts import LINES, THEME, axis_start, dots, forest, reliability, svg
from airkit.figures.curves import curve_of, elbo_chart, miscounts_chart


def test_dots_are_at_the_shares_on_an_axis_that_holds_the_intervals() -> None:
    axes: Any = dots({"0": 1.0, "2": 0.25}, {"0": (0.7, 1.0), "2": (0.1, 0.5)}).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0, 100], [1, 25]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2"]
    assert _whiskers(axes) == [pytest.approx((70, 100)), pytest.approx((10, 50))]
    assert svg(dots({}, {}), "none").startswith("<svg")


@pytest.mark.parametrize(
    ("least", "start"),
    [(0.1, 0), (0.5, 50), (0.949, 90), (0.95, 95), (0.997, 99.5), (1.0, 99.5)],
)
def test_an_axis_that_does_not_begin_at_0_says_so(least: float, start: float) -> None:
    assert axis_start([least, 1.0]) == start
    for figure in (
        dots({"0": 1.0}, {"0": (least, 1.0)}),
        forest([("a", {"count_accuracy": 1.0, "count_accuracy_interval": (least, 1.0)})]),
    ):
        assert (f"begins at {start:g}" in svg(figure, "it")) == (start > 0)


def test_reliability_has_a_point_for_each_bin_beside_the_diagonal() -> None:
    points = [(0.45, 0.5, (0.2, 0.8)), (0.95, 1.0, (0.9, 1.0))]
    axes: Any = reliability(points, [50, 100]).axes[0]
    diagonal, found = axes.lines[0].get_xydata().tolist(), axes.collections[1].get_offsets()
    assert diagonal == [[0, 0], [100, 100]]
    assert found.tolist() == [pytest.approx([45, 50]), pytest.approx([95, 100])]
    half, whole = axes.collections[1].get_sizes()
    assert half == whole / 2, "areas are as the numbers of canvases"
    assert _whiskers(axes) == [pytest.approx((20, 80)), pytest.approx((90, 100))]


def test_a_forest_has_a_row_for_each_run_and_a_cross_for_a_failure() -> None:
    half = {"count_accuracy": 0.5, "count_accuracy_interval": (0.4, 0.6)}
    whole = {"count_accuracy": 1.0, "count_accuracy_interval": [0.9, 1.0]}
    axes: Any = forest([("one", half), ("two", None), ("long" * 9, whole)]).axes[0]
    points, crosses = (each.get_xydata().tolist() for each in axes.lines)
    assert (points, crosses) == ([[50, 0], [100, 2]], [[0, 1]])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["one", "two", "longlong…longlong"]
    assert _whiskers(axes, along=0) == [pytest.approx((40, 60)), pytest.approx((90, 100))]
    assert svg(forest([("none", None)]), "none").startswith("<svg")


def _whiskers(axes: Any, along: int = 1) -> list[tuple[float, float]]:
    """Ends of the intervals drawn."""
    segments = axes.collections[0].get_segments()
    return [(float(low[along]), float(high[along])) for low, high in segments]


def test_names_are_taken_as_they_are() -> None:
    """Neither as HTML nor as mathematics, whatever letters they have."""
    reader = Reader(svg(forest([("a<b>&$x$", None), ("漢字 #2a62c9", None)]), "it"))
    assert "a<b>&$x$" in reader.text
    assert "漢字 #2a62c9" in reader.text
    curve = curve_of('"<x>', LINES[0], [{"step": 1, "elbo": 2.0}], "elbo")
    assert "<title>&quot;&lt;x&gt;</title>" in svg(elbo_chart([curve]), "it")


def test_an_svg_is_the_same_each_time_and_needs_no_other_file() -> None:
    rows = [{"step": step, "val_count_accuracy": 0.1 * step} for step in range(5)]
    one, two = (
        svg(miscounts_chart([curve_of("it", LINES[3], rows, "val_count_accuracy")]), "miscounts")
        for _ in range(2)
    )
    assert one == two
    assert "http" not in one
    many = svg(miscounts_chart([curve_of("it", LINES[3], rows * 9, "val_count_accuracy")]), "many")
    assert (one.count("<use "), many.count("<use ")) == (5, 0), "few points are shown"
    assert one.startswith('<svg viewBox="0 0 440 250" width="440" height="250" role="img" ')
    Reader(one)


def test_colours_are_those_of_the_page_in_both_themes() -> None:
    text = resources.files("airkit.web").joinpath("templates/base.html.j2").read_text("utf-8")
    light, _, dark = text.partition("prefers-color-scheme")
    assert set(THEME.values()) <= set(re.findall(r"--([\w-]+):", light))
    assert {*THEME.values()} - {"line-7"} <= set(re.findall(r"--([\w-]+):", dark))
    chart = svg(dots({"0": 0.5}, {"0": (0.4, 0.6)}), "it")
    assert {"line-0", "ink", "faint", "line"} == set(re.findall(r"var\(--([\w-]+)\)", chart))


@pytest.mark.parametrize(
    "values",
    [
        *([], [7.0], [0.0, 0.0, 0.0], [1.0, 2.0, 2.0, 2.0], [1e17, 1e17 + 16, 1e17 + 32]),
        *([1e20], [-1e20, -1e20], [-3e38, 3e38, 1.0], [0.0, 5e-324, 1e-323]),
        *([1.0, float("nan"), float("inf"), 2.0], [float(value) for value in range(40)]),
    ],
)
def test_any_values_can_be_drawn(values: list[float]) -> None:
    rows = [{"step": step, "val_elbo": value} for step, value in enumerate(values)]
    drawn = curve_of("it", LINES[0], rows, "val_elbo")
    text = svg(elbo_chart([drawn]), "it")
    assert "nan" not in text
    assert (
        len(re.findall("<use ", text))
        == len(drawn.steps)
        == len(values) - 2 * ("inf" in str(values))
    )


def test_miscounts_are_on_a_logarithmic_scale_that_ends_in_0() -> None:
    rows = [{"step": step, "it": share} for step, share in enumerate((0.5, 0.99, 0.998, 1.0))]
    axes = miscounts_chart([curve_of("it", LINES[0], rows, "it")]).axes[0]
    drawn = [float(value) for value in axes.lines[0].get_ydata()]  # type: ignore[arg-type, union-attr]
    assert drawn == pytest.approx([50, 1, 0.2, 0])
    assert list(axes.get_yticks()) == pytest.approx([0, 0.1, 1, 10, 100])
    places = axes.transData.transform([(0, tick) for tick in (0.1, 1, 10, 100)])[:, 1]
    assert np.diff(places) == pytest.approx([places[1] - places[0]] * 3, rel=0.01)
    low, high = axes.get_ylim()
    assert low < 0 < 100 < high


def test_ticks_of_few_steps_are_whole_and_distinct() -> None:
    for last in (1, 2, 3, 7, 2000):
        rows = [{"step": step, "elbo": float(step)} for step in (0, last)]
        axes = elbo_chart([curve_of("it", LINES[0], rows, "elbo")]).axes[0]
        ticks = [float(tick) for tick in axes.get_xticks()]
        assert all(tick == int(tick) for tick in ticks)
        assert len(set(ticks)) == len(ticks) >= 2
