"""Pictures: the right pixels in the right place, nothing else changed, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import tiny_runs
import torch
from command_line import fails
from PIL import Image

from airkit.config.schema import Config, RenderConfig
from airkit.data import reader
from airkit.data.compose import Canvases
from airkit.errors import (
    AirkitError,
    CheckpointError,
    ConfigError,
    DataFileError,
    DeviceError,
    OutputError,
)
from airkit.evaluation.evaluate import evaluate
from airkit.figures import reconstructions
from airkit.figures.curves import curves, elbo_limits, newest
from airkit.figures.examples import Explained, explained, miscounted, varied
from airkit.figures.overlay import overlay
from airkit.figures.page import EDGE, SLOTS, TRUTH, Page, Sheet, slot_colour
from airkit.figures.render import render
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]
Extent = tuple[int, int, int, int]
KINDS = ("reconstructions", "steps", "errors", "policy", "data", "curves", "prior")
OF_CANVASES = tuple(kind for kind in KINDS if kind not in ("curves", "prior"))


@pytest.fixture(scope="module")
def trained() -> Path:
    """A run of a few steps; for reading only."""
    path = tiny_runs.folder() / "rendering"
    sheet: Any = {"render__rows": 2, "render__columns": 3}
    tiny_runs.fit(path, train__steps=4, train__checkpoint_every=2, train__val_every=2, **sheet)
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, to write to."""
    return shutil.copytree(trained, tmp_path / "run")


def made(count: int, true_count: int, *, side: int = 20, slots: int = 3) -> Explained:
    """A scene of blank canvases, with a box of 4 x 5 pixels at (5 t + 1, 2 t + 3) in slot t."""
    boxes = np.array([[5 * t + 1, 2 * t + 3, 4, 5] for t in range(slots)], np.float32)
    return Explained(
        image=np.zeros((1, side, side), np.float32),
        true_count=true_count,
        true_boxes=boxes[:true_count] + np.array([0, 6, 0, 0], np.float32),
        count=count,
        boxes=boxes[:count],
        presence=np.ones(slots, np.float32),
        windows=np.zeros((slots, 1, 8, 8), np.float32),
        canvases=np.zeros((slots + 1, 1, side, side), np.float32),
    )


def sized(rows: int = 1, columns: int = 1, scale: float = 2.0) -> Config:
    return Config(render=RenderConfig(rows=rows, columns=columns, scale=scale))


def where(pixels: Array, colour: tuple[int, int, int]) -> list[Extent]:
    """Extents (left, top, right, bottom; ends excluded) of a colour, apart by rows of none."""
    rows = (pixels == colour).all(2)
    inked = np.flatnonzero(rows.any(1))
    parts = np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1) if len(inked) else []
    found = []
    for part in parts:
        columns = np.flatnonzero(rows[part[0] : part[-1] + 1].any(0))
        found.append((int(columns[0]), int(part[0]), int(columns[-1]) + 1, int(part[-1]) + 1))
    return found


def words(page: Page) -> list[str]:
    return [text.words for text in page.texts]


def decoded(path: Path) -> Array:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


# --- pixels


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


def test_boxes_are_red_green_and_blue_by_slot_around_their_pixels() -> None:
    sheet = reconstructions.reconstructions([made(3, 3)], sized(), 1)
    tiles = [(left + 1, top + 1) for left, top, _, _ in where(sheet.pixels, EDGE)]
    for slot, colour in enumerate(SLOTS[:3]):
        corners = [(left + 2 * (5 * slot + 1), top + 2 * (2 * slot + 3)) for left, top in tiles]
        expected = [(x - 2, y - 2, x + 8 + 2, y + 10 + 2) for x, y in corners]
        assert where(sheet.pixels, colour) == expected
    assert [int(np.argmax(colour)) for colour in SLOTS[:3]] == [0, 1, 2]
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


def test_what_is_written_is_the_page_pixel_by_pixel(trained: Path, tmp_path: Path) -> None:
    pixels = decoded(render(trained, kind="data", out=tmp_path / "a.png").path)
    top, left = (int(side[0]) + 1 for side in np.nonzero((pixels == EDGE).all(2)))
    shown = pixels[top : top + 48, left : left + 48][::2, ::2]
    inked = (shown == shown[:, :, :1]).all(2)  # grey, where no frame covers it
    assert inked.mean() > 0.7
    truth = reader.read_split(tiny_runs.data_file(), "test")
    assert (shown[:, :, 0] == 255 - truth.image[0])[inked].all()


def test_an_overlay_has_the_image_above_its_reconstruction(tmp_path: Path) -> None:
    image, reconstruction = np.ones((1, 10, 10)), np.zeros((1, 10, 10))
    overlay(tmp_path / "a.png", image, reconstruction, np.array([[2, 3, 4, 5]]), 2.0)
    pixels = decoded(tmp_path / "a.png")
    above, below = where(pixels, EDGE)
    assert (pixels[above[1] + 1, above[0] + 1] == 0).all()
    assert (pixels[below[1] + 1, below[0] + 1] == 255).all()
    frames = [(left + 3, top + 5, left + 15, top + 19) for left, top, _, _ in (above, below)]
    assert where(pixels, SLOTS[0]) == frames


def test_sheets_fill_row_by_row_and_are_cut_into_their_cells() -> None:
    sheet = Sheet("Title", [], 5, 3, (200, 50))
    corners = [sheet.corner(index) for index in range(5)]
    assert len({top for _, top in corners[:3]}) == 1
    assert [left for left, _ in corners[3:]] == [left for left, _ in corners[:2]]
    assert Sheet("Title", [], 2, 3, (200, 50)).width < sheet.width
    sheet.cell_tile(4, np.ones((1, 5, 5), np.float32), 30).caption("five")
    parts = [np.asarray(Image.open(BytesIO(part)).convert("RGB")) for part in sheet.parts()]
    assert [(part == 0).all(2).sum() >= 30 * 30 for part in parts] == [False] * 4 + [True]
    assert [(part < 200)[:20].any() for part in parts] == [False] * 4 + [True], "its caption"
    sizes = [Image.open(BytesIO(part)).size for part in sheet.parts(3)]
    assert sizes == [(200 * 3 + 2 * 10 + 6, 56), (200 * 2 + 10 + 6, 56)]


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
        extents = [text.get_window_extent() for text in sheet.figure().texts]
        for index, one in enumerate(extents):
            assert 0 <= one.x0 < one.x1 <= sheet.width
            assert 0 <= one.y0 < one.y1 <= sheet.height
            assert not any(one.overlaps(other) for other in extents[index + 1 :])


# --- what is chosen, and what is said of it


def test_only_miscounted_canvases_are_errors_and_the_search_ends_with_a_full_sheet() -> None:
    def endless() -> Iterator[Explained]:
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
        (extent,) = where(sheet.pixels, colour)
        assert tile[0] <= extent[0] < extent[2] <= tile[2]
        assert tile[1] <= extent[1] < extent[3] <= tile[3]
    assert sheet.canvases == 1
    assert words(sheet)[-1] == "1 → 2"


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
    captions = [(text.words, text.bold) for text in sheet.texts[-2:]]
    assert captions == [("1 → 1", False), ("1 → 2", True)]
    assert "the first 2 of 9 canvases, 1 counted right" in " ".join(words(sheet))
    assert sheet.canvases == 2


def test_steps_mark_the_last_object_and_are_faint_after_it() -> None:
    scene = dataclasses.replace(made(2, 2), canvases=np.ones((4, 1, 20, 20), np.float32))
    sheet = reconstructions.steps([scene], sized(), 1)
    bold = [text.words for text in sheet.texts if text.bold]
    assert bold == ["Slot by slot", "2 → 2", "slot 2: last"]
    assert words(sheet).count("p = 1.00") == 3
    boxes = [len(where(sheet.pixels.transpose(1, 0, 2), colour)) for colour in SLOTS[:3]]
    assert boxes == [3, 2, 0], "each step has the boxes found up to it"
    assert {0, 191} <= {int(grey) for grey in np.unique(sheet.pixels[:, :, 0])}
    assert sheet.canvases == 1


def test_varied_takes_counts_in_turn_the_greatest_first() -> None:
    canvases = [made(0, n) for n in (0, 0, 0, 1, 2, 0, 2)]
    assert [each.true_count for each in varied(canvases, 4, 7)] == [2, 1, 0, 2]
    assert [each.true_count for each in varied(canvases, 2, 2)] == [0, 0]
    assert len(varied(canvases, 50, 2)) == 7


def test_digits_are_named_or_counted_where_they_are_too_many() -> None:
    labels = np.full((3, 12), -1)
    labels[1, :2], labels[2] = (7, 3), 1
    boxes, images = np.full((3, 12, 4), 2.0, np.float32), np.zeros((3, 20, 20), np.uint8)
    canvases = Canvases(images, label=labels.astype(np.int8), box=boxes)
    sheet = reconstructions.data(canvases, RenderConfig(), "val")
    assert words(sheet)[-3:] == ["none", "7 3", "12 objects"]
    digits = replace(canvases, source_index=labels.astype(np.int32))
    assert words(reconstructions.data(digits, RenderConfig(), "val"))[-1] == "12 digits"


def test_pictures_agree_with_the_measures(trained: Path) -> None:
    """The same canvases are miscounted in ``errors`` as in ``airkit eval``."""
    for looks, how in ((1, "mode"), (1, "sampled"), (3, "mode")):
        given = {"eval.looks": looks, "eval.counts": how}
        measures = evaluate(trained, settings=given)
        opened = open_run(trained, None, "best", given, SILENT)
        canvases = list(explained(opened, SILENT))
        assert np.mean([canvas.right for canvas in canvases]) == measures.count_accuracy
        errors = [canvas.squared_error for canvas in canvases]
        assert np.mean(errors) == pytest.approx(measures.mse, rel=1e-5)


# --- curves


ROWS = [
    {"step": 2, "loss": 9.0, "elbo": -9.0, "learning_rate": 1e-3, "seconds": 1.0},
    {"step": 4, "val_elbo": -8.0, "val_count_accuracy": 0.25},
    {"step": 4, "loss": 7.0, "elbo": -7.0, "learning_rate": 1e-3, "seconds": 2.0},
]


def test_curves_are_the_rows_and_say_the_newest_values() -> None:
    elbo, accuracy = curves(ROWS, "title").axes
    training, validation = (line.get_xydata() for line in elbo.lines)
    assert np.array_equal(training, [[2, -9], [4, -7]])
    assert np.array_equal(validation, [[4, -8]])
    assert np.array_equal(accuracy.lines[0].get_xydata(), [[4, 25]])
    said = "validation ELBO -8.0, 25.0% of the val split counted right"
    assert newest(ROWS) == f"step 4: training ELBO -7.0, {said}"
    assert newest(ROWS[1:2]) == f"step 4: {said}"


def test_first_steps_do_not_squeeze_the_rest() -> None:
    low, high = elbo_limits([-1e6, 500.0, 600.0, 610.0, 620.0])
    assert low is not None
    assert high is not None
    assert 0 < low < 500
    assert 620 < high < 660
    for values in ([], [1.0] * 3, [1.0, 2.0, 2.0, 2.0], [0.0, 5e-324, 1e-323]):
        assert elbo_limits(values) == (None, None)


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2]])
def test_curves_need_neither_checkpoint_nor_data(
    tmp_path: Path, rows: list[dict[str, float]]
) -> None:
    run = tmp_path / "r\udcff$x$"
    run.mkdir()
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    picture = render(run, kind="curves")
    assert picture.path == run / "figures" / "curves.png"
    assert decoded(picture.path).shape == (640, 900, 3)


# --- from a run to a file


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_png_in_the_run(kind: str, run: Path) -> None:
    picture = render(run, kind=kind)
    assert picture.path == run / "figures" / f"{kind}.png"
    assert picture.kind == kind
    assert decoded(picture.path).shape == (picture.height, picture.width, 3)
    assert [path.name for path in (run / "figures").iterdir()] == [f"{kind}.png"]
    most = {"steps": 2, "curves": 0, "policy": 20}.get(kind, 6)
    assert picture.canvases == most or (kind == "errors" and picture.canvases < most)


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_changes_nothing_and_gives_the_same_bytes_again(
    kind: str, run: Path, tmp_path: Path
) -> None:
    def state() -> list[Any]:
        files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        rng = np.random.get_state()
        return [files, torch.get_rng_state().tolist(), str(rng), random.getstate()]

    parameters, before = matplotlib.rcParams.copy(), state()
    first = render(run, kind=kind, out=tmp_path / "one.png").path.read_bytes()
    assert state() == before
    assert dict.__eq__(matplotlib.rcParams, parameters), "reading the backend would load pyplot"
    assert "matplotlib.pyplot" not in sys.modules
    torch.rand(3)
    with matplotlib.rc_context({"savefig.bbox": "tight", "font.size": 30, "axes.facecolor": "red"}):
        again = render(run, kind=kind, out=tmp_path / "two.png").path.read_bytes()
    assert again == first, "whatever a user's matplotlibrc says"


def test_the_kind_and_the_sheet_come_from_the_run_unless_given(run: Path) -> None:
    assert render(run).kind == "reconstructions"
    assert render(run).canvases == 6
    assert render(run, settings={"render.kind": "data"}).kind == "data"
    assert render(run, kind="prior", settings={"render.kind": "data"}).kind == "prior"
    assert render(run, settings={"render.rows": 1}).canvases == 3
    given = {"render.rows": 9, "eval.split": "val"}
    assert render(run, settings=given).canvases == 12


def test_out_may_be_elsewhere_and_replaces_what_is_there(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "A.PNG"
    assert render(run, kind="data", out=str(target)).path == target
    before = target.read_bytes()
    assert render(run, kind="prior", out=target).path == target
    assert target.read_bytes() != before
    assert not (run / "figures").exists()


def test_a_checkpoint_can_be_chosen(run: Path, tmp_path: Path) -> None:
    first = run / "checkpoints" / "step-000000002.pt"
    pictures = {
        render(run, kind="prior", checkpoint=name, out=tmp_path / "a.png").path.read_bytes()
        for name in ("last", str(first))
    }
    assert len(pictures) == 2


@pytest.mark.parametrize("kind", [*OF_CANVASES, "prior"])
def test_canvases_may_be_larger_and_fuller_than_the_run_knows(kind: str, run: Path) -> None:
    other = tiny_runs.data_file(canvas_size=40, max_digits=4, min_digits=4)
    picture = render(run, kind=kind, data=other)
    edges = [right - left for left, _, right, _ in where(decoded(picture.path)[:, :100], EDGE)]
    assert edges[0] == 82


def test_data_needs_no_run_and_has_a_default_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = render(tmp_path / "none", kind="data", data=tiny_runs.data_file())
    assert picture.path == tmp_path / "none" / "figures" / "data.png"
    assert picture.canvases == 20
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_runs.data_file(), "multi-mnist.h5")
    assert render(kind="data").path == Path("runs/air/figures/data.png")


def test_prior_needs_no_data_file(tmp_path: Path) -> None:
    data, run = tmp_path / "data.h5", tmp_path / "run"
    shutil.copy(tiny_runs.data_file(), data)
    tiny_runs.fit(run, data, train__steps=1)
    data.unlink()
    assert render(run, kind="prior").canvases == 32


# --- what goes wrong


def failing(error: type[AirkitError], *arguments: Any, **options: Any) -> str:
    with pytest.raises(error) as caught:
        render(*arguments, **options)
    return str(caught.value)


def test_no_run(tmp_path: Path) -> None:
    run = tmp_path / "none"
    for kind in (None, "reconstructions", "prior", "data", "curves"):
        told = failing(CheckpointError, run, kind=kind)
        assert told.startswith("There is no trained run here\n")
        assert f"airkit train --run {run}" in told
    assert not run.exists()


@pytest.mark.parametrize("kind", OF_CANVASES)
def test_no_data_file_or_an_empty_split(kind: str, run: Path, tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.h5", tiny_runs.data_file(test=0)
    told = failing(DataFileError, run, kind=kind, data=missing)
    assert told.startswith("There is no such data file\n")
    assert f"airkit make-data --out {missing}" in told
    told = failing(DataFileError, run, kind=kind, data=empty)
    assert told.startswith("The data file has no canvases in its test split\n")
    assert "--split" in told
    assert not (run / "figures").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_settings_are_refused_for_every_kind(kind: str, run: Path, tmp_path: Path) -> None:
    told = failing(ConfigError, run, kind=kind, settings={"render.row": 3})
    assert "render.row (settings): unknown key; did you mean render.rows?" in told


@pytest.mark.parametrize("place", ["run", "missing"])
def test_an_unknown_kind(place: str, run: Path) -> None:
    told = failing(ConfigError, run.with_name(place), kind="movie")
    assert "render.kind (kind): expected reconstructions or steps or errors or policy" in told
    assert "or package.module:Class, got 'movie'" in told
    told = fails("render", "--run", run, "--kind", "foo")
    assert "  render.kind (--kind): expected reconstructions or steps" in told
    told = fails("render", "--run", run, "--kind", "steps", "--set", "render.kind=foo")
    assert "  render.kind (--set): expected" in told


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("a.jpg", "Pictures are written as PNG alone", "a.png"),
        ("a", "Pictures are written as PNG alone", "a.png"),
        ("mine.jpg", "Pictures are written as PNG alone", "another --out"),
        ("folder.png", "A folder is in the way", "another --out"),
        ("mine.png/a.png", "A file is in the way", "name another path"),
    ],
)
def test_a_target_that_cannot_be_written(
    name: str, what: str, hint: str, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    told = failing(OutputError, run, kind="data", out=tmp_path / name)
    assert told.startswith(f"{what}\n")
    assert told.endswith(hint)
    assert (tmp_path / "mine.png").read_bytes() == b"mine"


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
    given = {"render.scale": 20.0, "render.columns": 100, "render.rows": 100}
    told = failing(OutputError, run, kind="prior", settings=given)
    assert told.startswith("The picture would be too large\n")
    assert "lower render.scale, render.rows or render.columns" in told


@pytest.mark.parametrize(("content", "got"), [(None, "no such file"), ("", "no rows")])
def test_no_metrics(content: str | None, got: str, run: Path) -> None:
    """The run is trained: to train it again would do nothing."""
    (run / "metrics.jsonl").unlink()
    if content is not None:
        (run / "metrics.jsonl").write_text(content)
    told = failing(CheckpointError, run, kind="curves")
    assert told.startswith("There are no metrics to draw\n")
    assert f"got       {got}\n" in told
    assert "another --kind" in told


def test_no_such_device(run: Path) -> None:
    failing(DeviceError, run, settings={"train.device": "cuda:99"})
