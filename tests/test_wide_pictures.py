"""Pictures that are not square, from import to report: no pixel is added."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from own_pictures import blobs, imported, save
from PIL import Image
from tiny_runs import (
    TRAIN,
    CrashError,
    Recorder,
    assert_as_if_never_stopped,
    crash,
    fit,
    go_on,
    options,
)

import airkit
from airkit.data.dataset import CanvasDataset
from airkit.data.reader import read_info, read_split, verify
from airkit.errors import CanvasError, ConfigError, DataFileError

SHAPE = (20, 32)
GIVEN = blobs(height=SHAPE[0], width=SHAPE[1])
SMALL: dict[str, Any] = {**TRAIN, "train.steps": 2, "eval.looks": 2}


@cache
def wide() -> Path:
    """A data file of pictures of 20 x 32."""
    return imported(path=Path(mkdtemp()) / "wide.h5", **GIVEN).path


@cache
def run(kind: str = "saliency") -> Path:
    """A run on it."""
    path = Path(mkdtemp()) / kind
    airkit.train(wide(), path, settings={**SMALL, "guide.kind": kind})
    return path


@pytest.mark.parametrize("shape", [(20, 32), (32, 20), (8, 40)])
def test_pictures_are_imported_as_they_are(shape: tuple[int, int], tmp_path: Path) -> None:
    given, listener = blobs(height=shape[0], width=shape[1]), Recorder()
    report = imported(path=tmp_path / "a.h5", listener=listener, **given)
    assert (report.height, report.width, report.canvas_size) == (*shape, max(shape))
    info, known = read_info(report.path), read_split(report.path, "train").known
    assert (info.config.data.shape, info.format_version) == (shape, 3)
    assert verify(report.path) == report.content_digest
    assert {image.tobytes() for image in known["image"]} <= {it.tobytes() for it in given["images"]}
    assert known["image"].shape[1:] == known["mask"].shape[1:] == shape
    assert not any("padded" in note for note in listener.notes)
    assert CanvasDataset(report.path)[0]["image"].shape == (1, *shape)


def test_square_pictures_make_the_file_of_ever(tmp_path: Path) -> None:
    report = imported(path=tmp_path / "a.h5", **blobs())
    info = read_info(report.path)
    assert info.format_version == 2
    assert (info.config.data.height, info.config.data.width) == ("auto", "auto")


def test_mixed_sizes_are_padded_to_the_greatest_of_each(tmp_path: Path) -> None:
    for place, (height, width) in enumerate([(20, 32), (16, 40), (20, 32)]):
        save(tmp_path / f"{place}", blobs(3, height, width, place)["images"])
        for path in (tmp_path / f"{place}").iterdir():
            path.rename(tmp_path / f"{place}-{path.name}")
        (tmp_path / f"{place}").rmdir()
    listener = Recorder()
    report = imported(tmp_path, tmp_path / "a.h5", pad=True, listener=listener)
    assert (report.height, report.width) == (20, 40)
    assert any("padded" in note and "40 x 20 px" in note for note in listener.notes)
    images = np.concatenate([read_split(report.path, it).image for it in ("train", "val", "test")])
    assert all((it[16:] == it[19, 0]).all() or (it[:, 32:] == it[0, 39]).all() for it in images)


def test_strips_lower_than_a_tile_make_tiles_as_low(tmp_path: Path) -> None:
    report = imported(blobs(12, 20, 90)["images"], tmp_path / "a.h5", tile=30)
    assert (report.height, report.width) == (20, 30)
    assert sum(report.splits.values()) == 36


@pytest.mark.parametrize(("guide", "estimator"), [("saliency", "exact"), ("lstm", "nvil")])
def test_a_run_is_evaluated_and_goes_on_to_the_bit(
    guide: str, estimator: str, tmp_path: Path
) -> None:
    keys: dict[str, Any] = options(guide, estimator) | {"train__steps": 6}
    fit(tmp_path / "whole", wide(), **keys)
    with pytest.raises(CrashError):
        fit(tmp_path / "run", wide(), Recorder(step5=crash), **keys)
    go_on(tmp_path / "run")
    assert_as_if_never_stopped(tmp_path / "run", tmp_path / "whole", 6)
    measures = airkit.evaluate(tmp_path / "run")
    assert measures.canvases == 4
    assert np.isfinite([measures.elbo, measures.log_likelihood_bound, measures.ari]).all()


def test_the_same_weights_serve_other_shapes(tmp_path: Path) -> None:
    other = imported(path=tmp_path / "b.h5", **blobs(20, 36, 24)).path
    assert airkit.evaluate(run(), other, settings={"eval.looks": 1}).canvases == 2
    with pytest.raises(DataFileError, match="24x36"):
        airkit.evaluate(run("lstm"), other)


@pytest.mark.parametrize("kind", ["reconstructions", "steps", "policy", "data", "prior"])
def test_figures(kind: str, tmp_path: Path) -> None:
    picture = airkit.render(run(), kind=kind, out=tmp_path / "a.png")
    assert picture.width > 100


def test_a_report_and_coco(tmp_path: Path) -> None:
    airkit.report(run(), out=tmp_path / "a.html")
    assert "32 \N{MULTIPLICATION SIGN} 20 px" in (tmp_path / "a.html").read_text("utf-8")
    airkit.export(wide(), tmp_path / "coco")
    about = json.loads((tmp_path / "coco/annotations.json").read_text())
    assert {(it["width"], it["height"]) for it in about["images"]} == {(32, 20)}
    again = imported(tmp_path / "coco/annotations.json", tmp_path / "again.h5", most_objects=3)
    assert (again.height, again.width) == SHAPE


def test_infer_takes_the_runs_shape_other_shapes_and_tiles(tmp_path: Path) -> None:
    images = blobs(3, *SHAPE, seed=5)["images"]
    one, tall, tiled = (
        airkit.infer(given, run(), **options)
        for given, options in (
            (images, {"overlay": tmp_path / "seen"}),
            (np.swapaxes(images, 1, 2), {"labels": tmp_path / "labels"}),
            (np.tile(images, (1, 2, 2)), {"tile": 24}),
        )
    )
    assert [(it.height, it.width) for it in (one[0], tall[0], tiled[0])] == [
        SHAPE,
        (32, 20),
        (40, 64),
    ]
    for found in (*one, *tall, *tiled):
        for each in found.objects:
            x, y, width, height = each.box
            assert 0 <= x < x + width <= found.width
            assert 0 <= y < y + height <= found.height
    with Image.open(next((tmp_path / "labels").iterdir())) as labels:
        assert labels.size == (20, 32)
    padded = airkit.infer(images[:, :15], run("lstm"))
    assert (padded[0].height, padded[0].width) == (15, 32)
    with pytest.raises(DataFileError, match="20x32 px"):
        airkit.infer(np.swapaxes(images, 1, 2), run("lstm"))


@pytest.mark.parametrize("kind", ["saliency", "lstm"])
def test_infer_counts_as_eval_does(kind: str) -> None:
    test, one = read_split(wide(), "test"), {"eval.looks": 1}
    found = [it.count for it in airkit.infer(test.image, run(kind), settings=one)]
    accuracy = airkit.evaluate(run(kind), settings=one).count_accuracy
    assert accuracy == np.mean(np.array(found) == test.known["count"])


def test_make_data_is_square_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(CanvasError, match="square"):
        airkit.make_data(tmp_path / "a.h5", settings={"data.height": 30})
    with pytest.raises(ConfigError, match="canvas_size"):
        airkit.make_data(tmp_path / "a.h5", settings={"data.height": 90})
    asked = {**SMALL, "data.width": 24, "data.height": 32, "data.canvas_size": 32}
    with pytest.raises(DataFileError, match="contradict"):
        airkit.train(wide(), tmp_path / "run", settings=asked)
