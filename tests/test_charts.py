"""Charts of a report: the numbers at their places, as SVG that a page of HTML can hold."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest
from report_reader import Reader

from airkit.figures.charts import LINES, THEME, bars, forest, reliability, svg
from airkit.figures.curves import accuracy_chart, elbo_chart, line


def test_bars_are_as_high_as_the_shares() -> None:
    axes: Any = bars({"0": 1.0, "2": 0.25}, {"0": (0.7, 1.0), "2": (0.1, 0.5)}).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [100, 25]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2"]
    assert _whiskers(axes) == [pytest.approx((70, 100)), pytest.approx((10, 50))]
    assert svg(bars({}, {}), "none").startswith("<svg")


def test_reliability_has_a_point_for_each_bin_beside_the_diagonal() -> None:
    axes: Any = reliability([(0.45, 0.5, (0.2, 0.8)), (0.95, 1.0, (0.9, 1.0))]).axes[0]
    diagonal, points = (each.get_xydata().tolist() for each in axes.lines)
    assert diagonal == [[0, 0], [100, 100]]
    assert points == [pytest.approx([45, 50]), pytest.approx([95, 100])]
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
    curve = line('"<x>', LINES[0], [{"step": 1, "elbo": 2.0}], "elbo")
    assert "<title>&quot;&lt;x&gt;</title>" in svg(elbo_chart([curve]), "it")


def test_an_svg_is_the_same_each_time_and_needs_no_other_file() -> None:
    rows = [{"step": step, "val_count_accuracy": 0.1 * step} for step in range(5)]
    one, two = (
        svg(accuracy_chart([line("it", LINES[3], rows, "val_count_accuracy")]), "accuracy")
        for _ in range(2)
    )
    assert one == two
    assert "http" not in one
    many = svg(accuracy_chart([line("it", LINES[3], rows * 9, "val_count_accuracy")]), "accuracy")
    assert (one.count("<use "), many.count("<use ")) == (5, 0), "few points are shown"
    assert one.startswith('<svg viewBox="0 0 440 250" width="440" height="250" role="img" ')
    Reader(one)


def test_colours_are_those_of_the_page_in_both_themes() -> None:
    text = resources.files("airkit.web").joinpath("templates/base.html.j2").read_text("utf-8")
    light, _, dark = text.partition("prefers-color-scheme")
    assert set(THEME.values()) <= set(re.findall(r"--([\w-]+):", light))
    assert {*THEME.values()} - {"line-7"} <= set(re.findall(r"--([\w-]+):", dark))
    chart = svg(bars({"0": 0.5}, {"0": (0.4, 0.6)}), "it")
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
    drawn = line("it", LINES[0], rows, "val_elbo")
    text = svg(elbo_chart([drawn]), "it")
    assert "nan" not in text
    assert (
        len(re.findall("<use ", text))
        == len(drawn.steps)
        == len(values) - 2 * ("inf" in str(values))
    )


def test_ticks_of_few_steps_are_whole_and_distinct() -> None:
    for last in (1, 2, 3, 7, 2000):
        rows = [{"step": step, "elbo": float(step)} for step in (0, last)]
        axes = elbo_chart([line("it", LINES[0], rows, "elbo")]).axes[0]
        ticks = [float(tick) for tick in axes.get_xticks()]
        assert all(tick == int(tick) for tick in ticks)
        assert len(set(ticks)) == len(ticks) >= 2
