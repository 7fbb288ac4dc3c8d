"""Figures: the right pixels in the right place, and the right words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pixels import ROWS, assert_words_apart, decoded, made, sized, where

from airkit.config.schema import RenderConfig
from airkit.data.canvases import Canvases
from airkit.figures import reconstructions
from airkit.figures.curves import curves, elbo_scale, newest
from airkit.figures.examples import Example, by_turns, chosen, miscounted
from airkit.figures.marks import EDGE, SLOTS, TRUTH, Colour, Frame, slot_colour
from airkit.figures.overlay import overlay
from airkit.figures.page import Page
from airkit.figures.sheet import Sheet
from airkit.figures.vector import cells


def frames(page: Page, colour: Colour) -> list[Frame]:
    return [mark for mark in page.marks if isinstance(mark, Frame) and mark.colour == colour]


def words(page: Page) -> list[str]:
    return [text.words for text in page.texts]


def test_a_tile_is_enlarged_without_blur_and_has_an_edge() -> None:
    page = Page(20, 20)
    page.tile(np.array([[[0, 1], [0.5, 2]]], np.float32), 4, 5, 6)
    tile = page.pixels[5:11, 4:10, 0]
    assert (tile[:3, :3] == 255).all()
    assert (tile[:3, 3:] == 0).all()
    assert (tile[3:, :3] == 128).all()
    assert (tile[3:, 3:] == 0).all(), "more than full ink is full ink"
    assert (page.pixels[4, 3:11] == EDGE).all()
    assert (page.pixels[3] == 255).all()


def test_a_tile_of_colours_shows_them_as_they_are() -> None:
    page, levels = Page(20, 20), np.zeros((3, 2, 2), np.float32)
    levels[:, 0, 1], levels[:, 1, 0], levels[0, 1, 1] = (0.2, 0.4, 0.6), 2, 1
    page.tile(levels, 4, 5, 6)
    tile = page.pixels[5:11, 4:10]
    assert (tile[:3, :3] == 0).all()
    assert (tile[:3, 3:] == (51, 102, 153)).all()
    assert (tile[3:, :3] == 255).all()
    assert (tile[3:, 3:] == (255, 0, 0)).all()
    page.tile(levels, 4, 5, 6, fade=0.75)
    assert (page.pixels[5:8, 7:10] == (204, 217, 230)).all(), "a quarter as far from white"


@pytest.mark.parametrize(("scale", "side"), [(2.0, 40), (2.5, 50), (0.5, 10), (0.01, 1)])
def test_the_scale_is_screen_pixels_per_canvas_pixel(scale: float, side: int) -> None:
    edges = where(reconstructions.reconstructions([made(0, 0)], sized(scale=scale), 1).pixels, EDGE)
    assert [right - left for left, _, right, _ in edges] == [side + 2] * 2
    assert [bottom - top for _, top, _, bottom in edges] == [side + 2] * 2


def test_boxes_have_the_colours_of_their_slots_around_their_pixels() -> None:
    sheet = reconstructions.reconstructions([made(3, 3)], sized(), 1)
    tiles = [(left + 1, top + 1) for left, top, _, _ in where(sheet.pixels, EDGE)]
    for slot, colour in enumerate(SLOTS[:3]):
        corners = [(left + 2 * (5 * slot + 1), top + 2 * (2 * slot + 3)) for left, top in tiles]
        expected = [(x - 2, y - 2, x + 8 + 2, y + 10 + 2) for x, y in corners]
        drawn = [
            (it.left - 2, it.top - 2, it.right + 2, it.bottom + 2) for it in frames(sheet, colour)
        ]
        assert drawn == expected
    assert len({*SLOTS, TRUTH, EDGE}) == len(SLOTS) + 2
    assert slot_colour(len(SLOTS)) == SLOTS[0]


def test_a_frame_leaves_the_ink_inside_it_and_ends_at_the_page() -> None:
    page = Page(20, 20)
    tile = page.tile(np.ones((1, 5, 5), np.float32), 0, 0, 20)
    tile.boxes(np.array([[1, 1, 2, 2], [0, 0, 5, 5]]), SLOTS)
    assert (page.pixels[4:12, 4:12] == 0).all()
    assert (page.pixels[2:4, 2:14] == SLOTS[0]).all()
    assert (page.pixels[:2] == 0).all()
    assert where(page.pixels, SLOTS[1]) == []


def test_the_first_object_is_drawn_on_top() -> None:
    page = Page(20, 20)
    page.tile(np.zeros((1, 20, 20), np.float32), 0, 0, 20).slots(np.array([[5, 5, 5, 5]] * 2))
    assert where(page.pixels, SLOTS[0]) == [(3, 3, 12, 12)]
    assert where(page.pixels, SLOTS[1]) == []


def test_an_overlay_has_the_image_above_its_reconstruction(tmp_path: Path) -> None:
    image, reconstruction = np.ones((1, 10, 10)), np.zeros((1, 10, 10))
    overlay(tmp_path / "a.png", image, reconstruction, np.array([[2, 3, 4, 5]]), 2.0)
    pixels = decoded(tmp_path / "a.png")
    above, below = where(pixels, EDGE)
    assert (pixels[above[1] + 1, above[0] + 1] == 0).all()
    assert (pixels[below[1] + 1, below[0] + 1] == 255).all()
    frames = [(left + 3, top + 5, left + 15, top + 19) for left, top, _, _ in (above, below)]
    assert where(pixels, SLOTS[0]) == frames


def test_an_overlay_of_dark_objects_shows_them_as_they_are(tmp_path: Path) -> None:
    image = np.full((1, 10, 10), 0.2)
    overlay(tmp_path / "a.png", image, image, np.zeros((0, 4)), "auto", as_is=True)
    pixels = decoded(tmp_path / "a.png")
    assert pixels.shape == (2 * 400 + 10 + 28, 400 + 28, 3)
    assert (pixels[20:400, 20:400] == 51).all()


def test_sheets_fill_row_by_row_and_are_cut_into_their_cells() -> None:
    sheet = Sheet("Title", [], 5, 3, (200, 50))
    corners = [sheet.corner(index) for index in range(5)]
    assert len({top for _, top in corners[:3]}) == 1
    assert [left for left, _ in corners[3:]] == [left for left, _ in corners[:2]]
    assert Sheet("Title", [], 2, 3, (200, 50)).width < sheet.width
    sheet.cell_tile(4, np.ones((1, 5, 5), np.float32), 30).caption("five")
    parts = cells(sheet, "it", 99)
    assert ["<image" in part for part in parts] == [False] * 4 + [True]
    assert ["five</text>" in part for part in parts] == [False] * 4 + [True], "its caption"
    assert all('width="206" height="56"' in part for part in parts)


def test_long_notes_are_broken_to_the_width_of_the_page() -> None:
    one, many = (Sheet("Title", ["word " * n], 1, 1, (50, 50)) for n in (5, 60))
    assert one.width == many.width
    assert len(many.texts) > len(one.texts)
    assert many.height > one.height


def test_words_stay_on_the_page_and_apart() -> None:
    busy = dataclasses.replace(made(2, 2, slots=12), true_count=10)
    for sheet in (
        reconstructions.reconstructions([busy] * 3, sized(columns=3, scale=0.5), 10_000),
        reconstructions.steps([busy] * 2, sized(rows=2, scale=0.5), 10_000),
        reconstructions.errors([made(3, 2)] * 2, sized(columns=2), 10_000),
    ):
        assert_words_apart(sheet)


# --- what is chosen, and what is said of it


def test_only_miscounted_canvases_are_errors_and_the_search_ends_with_a_full_sheet() -> None:
    def endless() -> Iterator[Example]:
        while True:
            yield from (made(1, 1), made(2, 1), made(0, 0), made(1, 2))

    found, searched = miscounted(endless(), 3)
    assert [(each.true_count, each.count) for each in found] == [(1, 2), (2, 1), (1, 2)]
    assert searched == 6
    assert miscounted([made(1, 1), made(2, 1)], 10)[1] == 2


def test_errors_have_true_boxes_above_and_found_ones_below() -> None:
    sheet = reconstructions.errors([made(1, 1), made(2, 1)], sized(), 2)
    above, below = where(sheet.pixels, EDGE)
    for colour, tile in ((TRUTH, above), (SLOTS[0], below), (SLOTS[1], below)):
        (frame,) = frames(sheet, colour)
        assert tile[0] <= frame.left < frame.right <= tile[2]
        assert tile[1] <= frame.top < frame.bottom <= tile[3]
    assert sheet.canvases == 1
    assert words(sheet)[-2:] == ["canvas 1", "model 2"]


@pytest.mark.parametrize(
    ("found", "total", "note"),
    [
        ([(1, 1), (2, 1)], 2, "test split, 1 among the 2 canvases"),
        ([(2, 1)] * 5, 1_500, "test split, 1 among the first 1 of its 1,500 canvases"),
        ([(1, 1)] * 4, 4, "test split, all 4 canvases were counted right"),
    ],
)
def test_errors_say_how_far_they_looked(
    found: list[tuple[int, int]], total: int, note: str
) -> None:
    sheet = reconstructions.errors([made(*counts) for counts in found], sized(), total)
    assert words(sheet)[1] == note
    assert sheet.canvases == ("among" in note)


def test_reconstructions_say_the_counts_and_mark_the_wrong_ones() -> None:
    sheet = reconstructions.reconstructions([made(1, 1), made(2, 1)], sized(columns=2), 9)
    captions = [(text.words, text.bold) for text in sheet.texts[-4:]]
    assert captions == [
        ("canvas 1", False), ("model 1", False), ("canvas 1", False), ("model 2", True)
    ]  # fmt: skip
    assert "all of the first 2 of 9 canvases" in " ".join(words(sheet))
    assert "of the 2, 1 are counted right" in " ".join(words(sheet))
    assert sheet.canvases == 2


def test_steps_mark_the_last_object_and_are_faint_after_it() -> None:
    scene = dataclasses.replace(made(2, 2), canvases=np.ones((4, 1, 20, 20), np.float32))
    sheet = reconstructions.steps([scene], sized(), 1)
    bold = [text.words for text in sheet.texts if text.bold]
    assert bold == ["Slot by slot", "slot 2: last"]
    assert {"canvas 2", "model 2"} <= set(words(sheet))
    assert words(sheet).count("p = 1.00") == 3
    boxes = [len(frames(sheet, colour)) for colour in SLOTS[:3]]
    assert boxes == [3, 2, 0], "each step has the boxes found up to it"
    assert {0, 191} <= {int(grey) for grey in np.unique(sheet.pixels[:, :, 0])}
    assert sheet.canvases == 1


def test_counts_take_turns_the_greatest_first_and_few_are_blank() -> None:
    counts = [0, 0, 0, 1, 2, 0, 2]
    assert [counts[place] for place in by_turns(counts, 16)] == [2, 1, 0, 2], (
        "one, as there is room"
    )
    assert [counts[place] for place in by_turns(counts, 3)] == [2, 1, 2], "there is none"
    assert by_turns([0, 0, 0], 2) == [0, 1], "but where all are"
    many = [place % 3 for place in range(300)]
    shown = [many[place] for place in by_turns(many, 32)]
    assert [shown.count(count) for count in (0, 1, 2)] == [2, 15, 15]
    assert by_turns([], 3) == []


def test_the_hardest_come_last() -> None:
    wrong = made(2, 1)
    dark = dataclasses.replace(made(1, 1), image=np.ones((1, 20, 20), np.float32))
    false_alarm = made(1, 0)
    canvases = [wrong, *[made(n, n) for n in (0, 1, 2)] * 4, dark, false_alarm]
    choice = chosen(canvases, 8)
    assert choice.hard == 2
    assert [canvas.right for canvas in choice.shown] == [True] * 6 + [False] * 2
    assert [canvas.count for canvas in choice.shown[:6]] == [2, 1, 2, 1, 2, 1]
    assert choice.shown[6] is wrong
    assert chosen(canvases[1:], 8).shown[7] is dark
    assert "8 of the first 15 canvases" in choice.note("test", 15)
    assert "of the 15, 13 are counted right" in choice.note("test", 15)
    assert chosen([made(0, 0)] * 3, 8).shown, "all blank"


def test_digits_are_named_or_counted_where_they_are_too_many() -> None:
    labels = np.full((3, 12), -1)
    labels[1, :2], labels[2] = (7, 3), 1
    boxes, images = np.full((3, 12, 4), 2.0, np.float32), np.zeros((3, 20, 20), np.uint8)
    canvases = Canvases(images, label=labels.astype(np.int8), box=boxes)
    sheet = reconstructions.data(canvases, RenderConfig(scale=2), "val")
    assert words(sheet)[-3:] == ["none", "7 3", "12 objects"]
    digits = replace(canvases, source_index=labels.astype(np.int32))
    assert words(reconstructions.data(digits, RenderConfig(scale=2), "val"))[-1] == "12 digits"


# --- curves


def test_curves_are_the_rows_and_say_the_newest_values() -> None:
    elbo, miscounts = curves(ROWS, "title").axes
    training, validation = (line.get_xydata() for line in elbo.lines)
    assert np.array_equal(training, [[2, -9], [4, -7]])
    assert np.array_equal(validation, [[4, -8]])
    assert np.array_equal(miscounts.lines[0].get_xydata(), [[4, 75]])
    said = "validation ELBO -8.0, 25.0% of the validation canvases counted right"
    assert newest(ROWS) == f"step 4: training ELBO -7.0, {said}"
    assert newest(ROWS[1:2]) == f"step 4: {said}"


def test_first_steps_are_drawn_and_do_not_squeeze_the_rest() -> None:
    values = [-1e6, 500.0, 600.0, 610.0, 620.0]
    scale = elbo_scale(values)
    assert scale is not None
    top, unit, ticks = scale
    assert (top, unit) == (620, 10)
    assert ticks[:4] == [620, 610, 590, 520]
    assert ticks[-1] <= -1e6 < ticks[-2]
    rows = [{"step": step, "elbo": value} for step, value in enumerate(values)]
    axes = curves(rows, "it").axes[0]
    places = axes.transAxes.inverted().transform(
        axes.transData.transform([(0, value) for value in values])
    )[:, 1]
    assert 0 <= places[0] < 0.1
    assert places[2] > 0.6
    for values in ([], [1.0] * 3, [1.0, 2.0, 2.0, 2.0], [0.0, 5e-324, 1e-323], [1.0, 2.0, 3.0]):
        assert elbo_scale(values) is None
