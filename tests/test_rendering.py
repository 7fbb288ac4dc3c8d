"""Pictures of a run: what was asked for, nothing else changed, nothing left behind."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import tiny_runs
import torch
from command_line import fails
from pixels import ROWS, decoded, where

from airkit.data import reader
from airkit.errors import (
    AirkitError,
    CheckpointError,
    ConfigError,
    DataFileError,
    DeviceError,
    OutputError,
)
from airkit.evaluation.evaluate import evaluate
from airkit.figures.examples import explained
from airkit.figures.marks import EDGE
from airkit.figures.render import render
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

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


def test_what_is_written_is_the_page_pixel_by_pixel(trained: Path, tmp_path: Path) -> None:
    pixels = decoded(render(trained, kind="data", out=tmp_path / "a.png").path)
    top, left = (int(side[0]) + 1 for side in np.nonzero((pixels == EDGE).all(2)))
    shown = pixels[top : top + 48, left : left + 48][::2, ::2]
    inked = (shown == shown[:, :, :1]).all(2)  # grey, where no frame covers it
    assert inked.mean() > 0.7
    truth = reader.read_split(tiny_runs.data_file(), "test")
    assert (shown[:, :, 0] == 255 - truth.image[0])[inked].all()


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


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[1:2]])
def test_curves_need_neither_checkpoint_nor_data(
    tmp_path: Path, rows: list[dict[str, float]]
) -> None:
    run = tmp_path / "r\udcff$x$\u65e5"
    run.mkdir()
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    picture = render(run, kind="curves")
    assert picture.path == run / "figures" / "curves.png"
    assert decoded(picture.path).shape == (picture.height, 1600, 3)


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
    picture = render(run, kind=kind, data=other, settings={"render.scale": 2})
    edges = [right - left for left, _, right, _ in where(decoded(picture.path)[:, :100], EDGE)]
    assert 82 in edges


def test_data_needs_no_run_and_has_a_default_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = render(tmp_path / "none", kind="data", data=tiny_runs.data_file())
    assert picture.path == tmp_path / "none" / "figures" / "data.png"
    assert 10 < picture.canvases < 20, "few of them blank"
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


def test_a_data_file_without_any_canvas_is_told(run: Path) -> None:
    empty = tiny_runs.data_file(train=0, val=0, test=0)
    told = failing(DataFileError, run, kind="data", data=empty)
    assert told.startswith("The data file has no canvases in its test split\n")
    assert "eval.split" not in told


@pytest.mark.parametrize("kind", OF_CANVASES)
def test_no_data_file_or_an_empty_split(kind: str, run: Path, tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.h5", tiny_runs.data_file(test=0)
    told = failing(DataFileError, run, kind=kind, data=missing)
    assert told.startswith("There is no such data file\n")
    assert f"airkit make-data --out {missing}" in told
    settings = {"eval.split": "test"}
    told = failing(DataFileError, run, kind=kind, data=empty, settings=settings)
    assert told.startswith("The data file has no canvases in its test split\n")
    assert "eval.split=val" in told
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
        ("a.jpg", "Pictures are written as PNG or SVG or PDF", "a.png"),
        ("a", "Pictures are written as PNG or SVG or PDF", "a.png"),
        ("mine.jpg", "Pictures are written as PNG or SVG or PDF", "another --out"),
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
