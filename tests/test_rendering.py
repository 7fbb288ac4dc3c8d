"""Pictures: the right pixels in the right place, nothing else changed, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from command_line import fails
from idx_files import mnist_like, write_folder
from PIL import Image

from airkit.config.schema import Config, RenderConfig
from airkit.data import reader
from airkit.data.make import make_data
from airkit.errors import (
    AirkitError,
    CheckpointError,
    ConfigError,
    DataFileError,
    DeviceError,
    OutputError,
)
from airkit.evaluation.evaluate import evaluate
from airkit.figures import sheets
from airkit.figures.curves import curves, elbo_limits, newest
from airkit.figures.examples import Explained, explained, miscounted, varied
from airkit.figures.page import EDGE, SLOTS, TRUTH, Page, Sheet, slot_colour
from airkit.figures.render import Picture, render
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT
from airkit.training.loop import train

Array = np.ndarray[Any, Any]
KINDS = ("reconstructions", "steps", "errors", "policy", "data", "curves", "prior")
CANVASES = {
    "data.canvas_size": 24,
    "data.digit_size": 9.0,
    "data.digit_size_sd": 0.5,
    "data.train": 32,
    "data.val": 4,
    "data.test": 10,
}
TRAINING = {
    "model.hidden_size": 16,
    "train.steps": 4,
    "train.log_every": 2,
    "train.val_every": 2,
    "train.batch_size": 8,
    "train.learning_rate": 0.01,
    "train.device": "cpu",
    "eval.looks": 2,
    "eval.batch_size": 4,
    "render.rows": 2,
    "render.columns": 3,
}


def make(path: Path, **given: int) -> Path:
    """A data file at ``path``, of patches of random ink."""
    source = write_folder(path.parent / "digits", mnist_like())
    changes = {f"data.{name}": value for name, value in given.items()}
    make_data(path, settings={**CANVASES, "data.source": str(source), **changes})
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data.h5`` and ``run``, a run of a few steps; for reading only."""
    folder = tmp_path_factory.mktemp("rendering")
    make(folder / "data.h5")
    train(folder / "data.h5", folder / "run", settings=TRAINING)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, to write to."""
    return shutil.copytree(trained / "run", tmp_path / "run")


def made(count: int, true_count: int, *, side: int = 20, slots: int = 3) -> Explained:
    """A scene of blank canvases, with a box of 4 x 5 pixels at (5 t + 1, 2 t + 3) in slot t."""
    boxes = np.array([[5 * t + 1, 2 * t + 3, 4, 5] for t in range(slots)], np.float32)
    return Explained(
        image=np.zeros((side, side), np.float32),
        true_count=true_count,
        true_boxes=boxes[:true_count] + np.array([0, 6, 0, 0], np.float32),
        count=count,
        boxes=boxes[:count],
        presence=np.ones(slots, np.float32),
        windows=np.zeros((slots, 8, 8), np.float32),
        canvases=np.zeros((slots + 1, side, side), np.float32),
    )


def settings_of(rows: int = 1, columns: int = 1, scale: float = 2.0) -> Config:
    return Config(render=RenderConfig(rows=rows, columns=columns, scale=scale))


def where(pixels: Array, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """Extents (left, top, right, bottom; ends excluded) of a colour, apart by rows of none."""
    rows = (pixels == colour).all(2)
    inked = np.flatnonzero(rows.any(1))
    parts = np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1) if len(inked) else []
    found = []
    for part in parts:
        columns = np.flatnonzero(rows[part[0] : part[-1] + 1].any(0))
        found.append((int(columns[0]), int(part[0]), int(columns[-1]) + 1, int(part[-1]) + 1))
    return found


def decoded(path: Path) -> Array:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


# --- pixels


def test_a_tile_is_enlarged_without_blur_and_has_an_edge() -> None:
    page = Page(20, 20)
    page.tile(np.array([[0, 1], [0.5, 2]], np.float32), 4, 5, 6)
    tile = page.pixels[5:11, 4:10, 0]
    assert (tile[:3, :3] == 255).all()
    assert (tile[:3, 3:] == 0).all()
    assert (tile[3:, :3] == 128).all()
    assert (tile[3:, 3:] == 0).all(), "more than full ink is full ink"
    assert (page.pixels[4, 3:11] == EDGE).all()
    assert (page.pixels[3] == 255).all()


@pytest.mark.parametrize(("scale", "side"), [(2.0, 40), (2.5, 50), (0.5, 10), (0.01, 1)])
def test_the_scale_is_screen_pixels_per_canvas_pixel(scale: float, side: int) -> None:
    page = sheets.reconstructions([made(0, 0)], settings_of(scale=scale), 1)
    edges = where(page.pixels, EDGE)
    assert [right - left for left, _, right, _ in edges] == [side + 2] * 2
    assert [bottom - top for _, top, _, bottom in edges] == [side + 2] * 2


def test_boxes_are_red_green_and_blue_by_slot_around_their_pixels() -> None:
    page = sheets.reconstructions([made(3, 3)], settings_of(), 1)
    assert page.canvases == 1
    tiles = [(left + 1, top + 1) for left, top, _, _ in where(page.pixels, EDGE)]
    for slot, colour in enumerate(SLOTS[:3]):
        expected = []
        for left, top in tiles:
            x, y = left + 2 * (5 * slot + 1), top + 2 * (2 * slot + 3)
            expected.append((x - 2, y - 2, x + 8 + 2, y + 10 + 2))
        assert where(page.pixels, colour) == expected
    assert [int(np.argmax(colour)) for colour in SLOTS[:3]] == [0, 1, 2]


def test_a_frame_leaves_the_ink_inside_it() -> None:
    page = Page(20, 20)
    page.tile(np.ones((5, 5), np.float32), 0, 0, 20).box((1, 1, 2, 2), SLOTS[0])
    assert (page.pixels[4:12, 4:12] == 0).all()
    assert (page.pixels[2:4, 2:14] == SLOTS[0]).all()
    assert (page.pixels[:2] == 0).all()


def test_a_box_at_the_edge_of_the_page_is_cut_there() -> None:
    page = Page(10, 10)
    page.tile(np.zeros((10, 10), np.float32), 0, 0, 10).box((0, 0, 10, 10), SLOTS[0])
    assert not (page.pixels == SLOTS[0]).all(2).any()


def test_the_first_object_is_drawn_on_top() -> None:
    page = Page(20, 20)
    tile = page.tile(np.zeros((20, 20), np.float32), 0, 0, 20)
    tile.boxes(np.array([[5, 5, 5, 5], [5, 5, 5, 5]]), SLOTS)
    assert where(page.pixels, SLOTS[0]) == [(3, 3, 12, 12)]
    assert where(page.pixels, SLOTS[1]) == []


def test_slot_colours_are_distinct_then_begin_anew() -> None:
    first = [slot_colour(slot) for slot in range(len(SLOTS))]
    assert len({*first, TRUTH, EDGE}) == len(first) + 2
    assert slot_colour(len(SLOTS)) == first[0]


def test_what_is_written_is_the_page_pixel_by_pixel(trained: Path, tmp_path: Path) -> None:
    picture = render(trained / "run", kind="data", out=tmp_path / "a.png")
    pixels = decoded(picture.path)
    left, top, right, bottom = _first_tile(pixels)
    truth = reader.read_split(trained / "data.h5", "test")
    shown = pixels[top:bottom, left:right][::2, ::2]
    inked = (shown == shown[:, :, :1]).all(2)  # grey, where no frame covers it
    assert inked.mean() > 0.7
    assert (shown[:, :, 0] == 255 - truth.image[0])[inked].all()


def _first_tile(pixels: Array) -> tuple[int, int, int, int]:
    """The inside of the upper left tile: within its edge, in whole canvas pixels of 2 x 2."""
    edge = (pixels == EDGE).all(2)
    top, left = (int(side[0]) + 1 for side in np.nonzero(edge))
    return left, top, left + 48, top + 48


def test_sheets_fill_row_by_row_and_shrink_to_what_there_is() -> None:
    layout = Sheet("Title", [], 5, 3, (200, 50))
    corners = [layout.corner(index) for index in range(5)]
    assert len({top for _, top in corners[:3]}) == 1
    assert [left for left, _ in corners[3:]] == [left for left, _ in corners[:2]]
    assert Sheet("Title", [], 2, 3, (200, 50)).width < layout.width


def test_long_notes_are_broken_to_the_width_of_the_page() -> None:
    one, many = (Sheet("Title", ["word " * n], 1, 1, (50, 50)) for n in (5, 60))
    assert one.width == many.width
    assert len(many.texts) > len(one.texts)
    assert many.height > one.height


def test_no_words_leave_the_page() -> None:
    for page in (
        sheets.reconstructions([made(3, 2)] * 2, settings_of(), 10_000),
        sheets.steps([made(3, 2)] * 2, settings_of(rows=2, scale=0.5), 10_000),
        sheets.errors([made(3, 2)] * 2, settings_of(columns=2), 10_000),
    ):
        figure = page.figure()
        for text in figure.texts:
            extent = text.get_window_extent()
            assert extent.x0 >= 0, text
            assert extent.x1 <= page.width, text
            assert extent.y0 >= 0, text
            assert extent.y1 <= page.height, text


def test_captions_side_by_side_do_not_overlap() -> None:
    busy = dataclasses.replace(made(2, 2, slots=12), true_count=10)
    for page in (
        sheets.reconstructions([busy] * 3, settings_of(columns=3, scale=0.5), 3),
        sheets.steps([busy], settings_of(scale=0.5), 1),
    ):
        boxes = [text.get_window_extent() for text in page.figure().texts]
        for index, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[index + 1 :])


# --- what is chosen


def test_only_miscounted_canvases_are_errors() -> None:
    canvases = [made(1, 1), made(2, 1), made(0, 0), made(1, 2), made(3, 2), made(2, 2)]
    found, looked_at = miscounted(canvases, 10)
    assert [(each.true_count, each.count) for each in found] == [(1, 2), (2, 1), (2, 3)]
    assert looked_at == 6


def test_the_search_for_errors_ends_with_a_full_sheet() -> None:
    def endless() -> Iterator[Explained]:
        while True:
            yield from (made(1, 1), made(2, 1))

    found, looked_at = miscounted(endless(), 3)
    assert (len(found), looked_at) == (3, 6)


def test_errors_have_true_boxes_above_and_found_ones_below() -> None:
    page = sheets.errors([made(1, 1), made(2, 1)], settings_of(), 2)
    above, below = where(page.pixels, EDGE)
    assert page.canvases == 1
    assert _within(where(page.pixels, TRUTH), above)
    assert _within(where(page.pixels, SLOTS[0]), below)
    assert _within(where(page.pixels, SLOTS[1]), below)
    assert _words(page)[1] == "test split, 1 among the 2 canvases"
    assert _words(page)[-1] == "1 → 2"


def test_errors_say_how_far_they_looked() -> None:
    page = sheets.errors([made(2, 1)] * 5, settings_of(), 1_500)
    assert _words(page)[1] == "test split, 1 among the first 1 of its 1,500 canvases"


def test_no_errors_are_told_with_how_many_were_looked_at() -> None:
    page = sheets.errors([made(1, 1)] * 4, settings_of(), 4)
    assert page.canvases == 0
    assert _words(page) == ["No miscounted canvas", "test split, all 4 canvases were counted right"]


def test_reconstructions_say_the_counts_and_mark_the_wrong_ones() -> None:
    page = sheets.reconstructions([made(1, 1), made(2, 1)], settings_of(columns=2), 9)
    captions = [(text.words, text.bold) for text in page.texts[-2:]]
    assert captions == [("1 → 1", False), ("1 → 2", True)]
    assert "the first 2 of 9 canvases, 1 counted right" in " ".join(_words(page))


def test_steps_mark_the_last_object_and_show_boxes_up_to_each_slot() -> None:
    page = sheets.steps([made(2, 2)], settings_of(), 1)
    words = [text.words for text in page.texts if text.bold]
    assert page.canvases == 1
    assert words == ["Slot by slot", "2 → 2", "slot 2: last"]
    assert [word for word in _words(page) if word.startswith("p = ")] == ["p = 1.00"] * 3
    red, green = (len(_columns(page.pixels, colour)) for colour in SLOTS[:2])
    assert (red, green) == (3, 2)
    assert where(page.pixels, SLOTS[2]) == []


def test_steps_after_the_last_object_are_faint() -> None:
    scene = made(1, 1, slots=2)
    scene = dataclasses.replace(scene, canvases=np.ones_like(scene.canvases))
    page = sheets.steps([scene], settings_of(), 1)
    lightest = {int(grey) for grey in np.unique(page.pixels[:, :, 0])}
    assert {0, 191} <= lightest


def test_varied_takes_counts_in_turn_the_greatest_first() -> None:
    canvases = [made(0, n) for n in (0, 0, 0, 1, 2, 0, 2)]
    assert [each.true_count for each in varied(canvases, 4, 7)] == [2, 1, 0, 2]
    assert [each.true_count for each in varied(canvases, 2, 2)] == [0, 0]
    assert len(varied(canvases, 50, 2)) == 7


def test_digits_are_named_or_counted_where_they_are_too_many() -> None:
    images = np.zeros((3, 20, 20), np.float32)
    labels = np.full((3, 12), -1)
    labels[1, :2], labels[2] = (7, 3), 1
    page = sheets.data(images, np.full((3, 12, 4), 2.0), labels, RenderConfig(), "val")
    assert _words(page)[-3:] == ["none", "7 3", "12 digits"]


def test_pictures_agree_with_the_measures(trained: Path) -> None:
    """The same canvases are miscounted in ``errors`` as in ``airkit eval``."""
    for looks, how in ((1, "mode"), (1, "sampled"), (3, "mode")):
        given = {"eval.looks": looks, "eval.counts": how}
        measures = evaluate(trained / "run", settings=given)
        opened = open_run(trained / "run", None, "best", given, SILENT)
        canvases = list(explained(opened, SILENT))
        assert np.mean([canvas.right for canvas in canvases]) == measures.count_accuracy
        errors = [canvas.squared_error for canvas in canvases]
        assert np.mean(errors) == pytest.approx(measures.mse, rel=1e-5)


def _within(extents: list[tuple[int, int, int, int]], tile: tuple[int, int, int, int]) -> bool:
    return bool(extents) and all(
        tile[0] <= left and tile[1] <= top and right <= tile[2] and bottom <= tile[3]
        for left, top, right, bottom in extents
    )


def _columns(pixels: Array, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    return where(pixels.transpose(1, 0, 2), colour)


def _words(page: Page) -> list[str]:
    return [text.words for text in page.texts]


# --- curves


ROWS = [
    {"step": 2, "loss": 9.0, "elbo": -9.0, "learning_rate": 1e-3, "seconds": 1.0},
    {"step": 4, "val_elbo": -8.0, "val_count_accuracy": 0.25},
    {"step": 4, "loss": 7.0, "elbo": -7.0, "learning_rate": 1e-3, "seconds": 2.0},
]


def test_curves_are_the_rows() -> None:
    bound, accuracy = curves(ROWS, "title").axes
    training, validation = (line.get_xydata() for line in bound.lines)
    assert np.array_equal(training, [[2, -9], [4, -7]])
    assert np.array_equal(validation, [[4, -8]])
    assert np.array_equal(accuracy.lines[0].get_xydata(), [[4, 25]])


def test_curves_say_the_newest_values() -> None:
    said = "training ELBO -7.0, validation ELBO -8.0, 25.0% of the val split counted right"
    assert newest(ROWS) == "step 4: " + said
    assert newest(ROWS[1:2]) == "step 4: validation ELBO -8.0, 25.0% of the val split counted right"


def test_first_steps_do_not_squeeze_the_rest() -> None:
    low, high = elbo_limits([-1e6, 500.0, 600.0, 610.0, 620.0])
    assert low is not None
    assert high is not None
    assert 0 < low < 500
    assert 620 < high < 660
    assert elbo_limits([]) == (None, None)
    assert elbo_limits([1.0, 1.0, 1.0]) == (None, None)
    assert elbo_limits([1.0, 2.0, 2.0, 2.0]) == (None, None)
    assert elbo_limits([0.0, 5e-324, 1e-323]) == (None, None)


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2]])
def test_curves_of_one_row_can_be_drawn(run: Path, rows: list[dict[str, float]]) -> None:
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert decoded(render(run, kind="curves").path).shape == (640, 900, 3)


def test_curves_need_neither_checkpoint_nor_data(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    assert render(tmp_path, kind="curves").path == tmp_path / "figures" / "curves.png"


# --- from a run to a file


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_png_in_the_run(kind: str, run: Path) -> None:
    picture = render(run, kind=kind)
    assert picture.path == run / "figures" / f"{kind}.png"
    assert picture.kind == kind
    assert decoded(picture.path).shape == (picture.height, picture.width, 3)
    assert [path.name for path in (run / "figures").iterdir()] == [f"{kind}.png"]
    most = {"steps": 2, "curves": 0, "policy": 10}.get(kind, 6)
    assert picture.canvases == most or (kind == "errors" and picture.canvases < most)


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_again_gives_the_same_bytes(kind: str, run: Path, tmp_path: Path) -> None:
    one = render(run, kind=kind, out=tmp_path / "one.png").path.read_bytes()
    torch.rand(3)
    assert render(run, kind=kind, out=tmp_path / "two.png").path.read_bytes() == one


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_the_picture_changes(kind: str, run: Path, tmp_path: Path) -> None:
    def state() -> list[Any]:
        files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        rng = np.random.get_state()
        return [files, torch.get_rng_state().tolist(), str(rng), random.getstate()]

    parameters = matplotlib.rcParams.copy()
    before = state()
    render(run, kind=kind, out=tmp_path / "picture.png")
    assert state() == before
    assert dict.__eq__(matplotlib.rcParams, parameters), "reading the backend would load pyplot"
    assert "matplotlib.pyplot" not in sys.modules


def test_the_kind_and_the_sheet_come_from_the_run_unless_given(run: Path) -> None:
    assert render(run).kind == "reconstructions"
    assert render(run).canvases == 6
    assert render(run, settings={"render.kind": "data"}).kind == "data"
    assert render(run, kind="prior", settings={"render.kind": "data"}).kind == "prior"
    assert render(run, settings={"render.rows": 1}).canvases == 3


def test_out_may_be_elsewhere_and_replaces_what_is_there(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "A.PNG"
    assert render(run, kind="data", out=str(target)).path == target
    before = target.read_bytes()
    assert render(run, kind="prior", out=target).path == target
    assert target.read_bytes() != before
    assert not (run / "figures").exists()


def test_a_checkpoint_and_a_split_can_be_chosen(run: Path, tmp_path: Path) -> None:
    first = run / "checkpoints" / "step-000000002.pt"
    pictures = [
        render(run, kind="prior", checkpoint=name, out=tmp_path / "a.png").path.read_bytes()
        for name in ("last", str(first))
    ]
    assert pictures[0] != pictures[1]
    assert render(run, settings={"eval.split": "val"}).canvases == 4


@pytest.mark.parametrize("kind", ["reconstructions", "steps", "errors", "policy", "data", "prior"])
def test_canvases_may_be_larger_and_fuller_than_the_run_knows(
    kind: str, run: Path, tmp_path: Path
) -> None:
    other = make(tmp_path / "other.h5", canvas_size=40, max_digits=4, min_digits=4)
    picture = render(run, kind=kind, data=other)
    edges = [right - left for left, _, right, _ in where(decoded(picture.path)[:, :100], EDGE)]
    assert edges[0] == 82


def test_data_needs_no_run(trained: Path, tmp_path: Path) -> None:
    picture = render(tmp_path / "none", kind="data", data=trained / "data.h5")
    assert picture.path == tmp_path / "none" / "figures" / "data.png"
    assert picture.canvases == 10


def test_data_defaults_to_the_file_that_make_data_writes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained / "data.h5", "multi-mnist.h5")
    assert render(kind="data").path == Path("runs/air/figures/data.png")


def test_prior_needs_no_data_file(run: Path, trained: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.h5"
    (trained / "data.h5").rename(hidden)
    try:
        assert render(run, kind="prior").canvases == 6
    finally:
        hidden.rename(trained / "data.h5")


def test_a_users_matplotlibrc_changes_nothing(run: Path, tmp_path: Path) -> None:
    plain = render(run, kind="curves", out=tmp_path / "plain.png").path.read_bytes()
    with matplotlib.rc_context({"savefig.bbox": "tight", "font.size": 30, "axes.facecolor": "red"}):
        odd = render(run, kind="curves", out=tmp_path / "odd.png").path.read_bytes()
    assert odd == plain


# --- what goes wrong


def failing(error: type[AirkitError], *arguments: Any, **options: Any) -> str:
    with pytest.raises(error) as caught:
        render(*arguments, **options)
    return str(caught.value)


def test_no_run(tmp_path: Path) -> None:
    run = tmp_path / "none"
    for kind in (None, "reconstructions", "prior", "data"):
        assert failing(CheckpointError, run, kind=kind) == (
            "There is no trained run here\n"
            f"  where     {run}\n"
            "  expected  a folder with checkpoints/step-*.pt\n"
            f"  try       airkit train --run {run}"
        )
    assert not run.exists()


@pytest.mark.parametrize("kind", ["reconstructions", "data"])
def test_no_data_file(kind: str, run: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.h5"
    assert failing(DataFileError, run, kind=kind, data=missing) == (
        "There is no such data file\n"
        f"  where     {missing}\n"
        f"  try       airkit make-data --out {missing}"
    )


@pytest.mark.parametrize("kind", ["reconstructions", "steps", "errors", "policy", "data"])
def test_an_empty_split(kind: str, run: Path, tmp_path: Path) -> None:
    empty = make(tmp_path / "empty.h5", test=0)
    assert failing(DataFileError, run, kind=kind, data=empty) == (
        "The data file has no canvases in its test split\n"
        f"  where     {empty}\n"
        "  expected  at least one\n"
        "  try       choose another with --split, or make a file that has some"
    )
    assert not (run / "figures").exists()


@pytest.mark.parametrize("place", ["there", "missing"])
def test_an_unknown_kind(place: str, run: Path, tmp_path: Path) -> None:
    folder = run if place == "there" else tmp_path / place
    assert failing(ConfigError, folder, kind="movie") == (
        "1 problem in the configuration\n"
        "  render.kind (kind): expected reconstructions or steps or errors or policy or data or "
        "curves or prior or package.module:Class, got 'movie' (str)\n"
        "  try       airkit config show, which prints every setting and its value"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_settings_are_refused_for_every_kind(kind: str, run: Path) -> None:
    assert "render.row (settings): unknown key; did you mean render.rows?" in failing(
        ConfigError, run, kind=kind, settings={"render.row": 3}
    )


@pytest.mark.parametrize(("name", "got"), [("a.jpg", "'.jpg'"), ("a", "a name without an ending")])
def test_out_is_no_png(name: str, got: str, run: Path, tmp_path: Path) -> None:
    assert failing(OutputError, run, out=tmp_path / name) == (
        "Pictures are written as PNG alone\n"
        f"  where     {tmp_path / name}\n"
        "  expected  a name that ends in .png\n"
        f"  got       {got}\n"
        f"  try       --out {tmp_path / 'a.png'}"
    )


def test_a_folder_in_the_way(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert failing(OutputError, run, out=tmp_path / "a.png") == (
        f"A folder is in the way\n  where     {tmp_path / 'a.png'}\n  try       another --out"
    )


def test_no_picture_that_is_there_is_suggested(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    told = failing(OutputError, run, kind="data", out=tmp_path / "a.jpg")
    assert told.endswith("  got       '.jpg'\n  try       another --out")


def test_a_place_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "a.png"
    assert failing(OutputError, run, kind="data", out=target) == (
        "A file is in the way\n"
        f"  where     {tmp_path / 'file'}\n"
        "  try       move it away, or name another path"
    )


def test_a_picture_that_fails_leaves_the_old_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "a.png"
    before = render(run, kind="data", out=target).path.read_bytes()

    def full(self: object, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert "No space left on device" in failing(OutputError, run, kind="data", out=target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_a_picture_too_large_is_refused(run: Path) -> None:
    given = {"render.scale": 20.0, "render.columns": 100, "render.rows": 100, "eval.split": "train"}
    message = failing(OutputError, run, kind="prior", settings=given)
    assert re.fullmatch(
        r"The picture would be too large\n"
        r"  expected  at most 32,768 pixels a side and 67,108,864 in all\n"
        r"  got       [\d,]+ x [\d,]+ pixels\n"
        r"  try       lower render.scale, render.rows or render.columns",
        message,
    )


@pytest.mark.parametrize(("content", "got"), [(None, "no such file"), ("", "no rows")])
def test_no_metrics(content: str | None, got: str, run: Path) -> None:
    """The run is trained: to train it again would do nothing."""
    (run / "metrics.jsonl").unlink()
    if content is not None:
        (run / "metrics.jsonl").write_text(content)
    assert failing(CheckpointError, run, kind="curves") == (
        "There are no metrics to draw\n"
        f"  where     {run / 'metrics.jsonl'}\n"
        "  expected  rows written by airkit train\n"
        f"  got       {got}\n"
        "  try       another --kind, such as steps, which is drawn from the run's checkpoints"
    )


def test_no_such_device(run: Path) -> None:
    failing(DeviceError, run, settings={"train.device": "cuda:99"})


def test_the_picture_is_frozen() -> None:
    picture = Picture(Path("a.png"), "data", 1, 2, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        picture.width = 5  # type: ignore[misc]


def test_curves_of_a_run_whose_name_is_not_utf8(run: Path) -> None:
    odd = run.rename(run.with_name("r\udcff"))
    assert render(odd, kind="curves").path.is_file()


def test_the_command_names_the_option_of_an_unknown_kind(run: Path) -> None:
    told = fails("render", "--run", run, "--kind", "foo").splitlines()[1]
    assert told.startswith("  render.kind (--kind): expected reconstructions or steps")
    told = fails("render", "--run", run, "--kind", "steps", "--set", "render.kind=foo")
    assert "  render.kind (--set): expected" in told
