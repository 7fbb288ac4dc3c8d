"""Data files of drawn scenes: from a preset to a file, and what the file says of itself."""

from __future__ import annotations

import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from test_compose import POOL
from tiny_runs import Recorder

from airkit.config import settings
from airkit.config.schema import PicturesConfig, RenderConfig
from airkit.data import make, sources
from airkit.data.canvases import SPLITS
from airkit.data.make import MakeReport, make_data
from airkit.data.reader import read_info, read_split, verify
from airkit.data.sources import LoadedDigits
from airkit.errors import ConfigError, DataFileError
from airkit.figures.reconstructions import data as figure
from airkit.runs.export import export
from airkit.runs.training_data import make_data_command
from airkit.system.callbacks import SILENT
from airkit.training.resume import configure

PRESETS = ("sprites", "grey-sprites", "gradient-sprites", "cells")
FEW: dict[str, Any] = {"data.train": 300, "data.val": 20, "data.test": 0}


@pytest.fixture(autouse=True)
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits that take no time to draw."""
    found = LoadedDigits("ellipses", "ab" * 32, "", "", dict.fromkeys(SPLITS, POOL))
    monkeypatch.setattr(sources, "load", lambda source, listener: found)


def made(path: Path, preset: str, given: dict[str, Any] = FEW, workers: int = 1) -> MakeReport:
    layers = [settings.from_preset(preset), *settings.layers(FEW | given)]
    return make_data(path, settings=layers, workers=workers)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_make_files_with_counts_boxes_and_masks(preset: str, tmp_path: Path) -> None:
    path = tmp_path / "scenes.h5"
    report = made(path, preset)
    assert verify(path) == report.content_digest
    read = read_split(path, "train")
    assert read.source_index is None
    assert (read.label is None) == (preset == "cells")
    assert read.count is not None
    assert read.mask is not None
    assert read.mask.reshape(300, -1).max(1).tolist() == read.count.tolist()
    assert len(np.unique(read.count)) == read_info(path).config.data.max_digits + 1


def test_workers_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_STEP_BYTES", 1)
    for workers in (1, 2):
        made(tmp_path / f"{workers}.h5", "cells", FEW, workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("sprites", {"compositing": "over"}),
        ("gradient-sprites", {"background": "plane", "compositing": "over"}),
        ("cells", {"background": "smooth", "compositing": "add", "polarity": "bright"}),
        ("tiny", {}),
    ],
)
def test_files_say_what_a_look_at_them_finds(
    preset: str, wanted: dict[str, Any], tmp_path: Path
) -> None:
    made(tmp_path / "scenes.h5", preset)
    found = read_info(tmp_path / "scenes.h5").config.pictures
    assert wanted.items() <= found.model_dump().items()
    assert wanted or found == PicturesConfig()
    assert (found.noise > 0.01) == (preset in {"gradient-sprites", "cells"})


@pytest.mark.parametrize(
    ("grey", "background", "polarity"),
    [
        ((0.5, 1.0), (0.0, 0.4), "bright"),
        ((0.0, 0.2), (0.5, 1.0), "dark"),
        ((0, 1), (0, 1), "both"),
    ],
)
def test_polarity_follows_the_greys(
    grey: list[float], background: list[float], polarity: str, tmp_path: Path
) -> None:
    greys = {"scenes.grey": grey, "scenes.background_grey": background}
    made(tmp_path / "scenes.h5", "sprites", greys)
    assert read_info(tmp_path / "scenes.h5").config.pictures.polarity == polarity


def test_settings_of_another_source_are_told(tmp_path: Path) -> None:
    hearer = Recorder()
    few = {"data.source": "strokes", "data.train": 2, "data.val": 0, "data.test": 0}
    make_data(tmp_path / "1.h5", settings=few | {"scenes.noise": 0.1}, listener=hearer)
    assert "scenes.noise" in hearer.notes[0]
    few |= {"data.source": "sprites", "data.overlap": "none"}
    make_data(tmp_path / "2.h5", settings=few, listener=hearer)
    assert "data.overlap" in hearer.notes[1]
    assert len(hearer.notes) == 2


def test_the_command_that_makes_a_file_again_makes_the_same(tmp_path: Path) -> None:
    report = made(tmp_path / "scenes.h5", "cells")
    command = make_data_command(read_info(tmp_path / "scenes.h5").config, None, "again.h5")
    given = [settings.from_assignment(word) for word in shlex.split(command) if "=" in word]
    again = make_data(tmp_path / "again.h5", settings=given)
    assert again.content_digest == report.content_digest


def test_training_takes_the_scenes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scenes.h5"
    made(path, "grey-sprites")
    _, config = configure(path, [], SILENT)
    assert config.scenes.grey == (0.35, 1.0)
    with pytest.raises(DataFileError, match="contradict"):
        configure(path, settings.layers({"scenes.grey": [0.0, 0.1]}), SILENT)


def test_bad_settings_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="grey"):
        made(tmp_path / "scenes.h5", "sprites", {"scenes.grey": [0.9, 0.2]})
    with pytest.raises(ConfigError, match="shapes"):
        made(tmp_path / "scenes.h5", "sprites", {"scenes.shapes": ["star"]})
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("preset", ["sprites", "cells"])
def test_exports_have_masks_and_categories(preset: str, tmp_path: Path) -> None:
    made(tmp_path / "scenes.h5", preset, {"data.train": 0})
    export(tmp_path / "scenes.h5", tmp_path / "out", split="val")
    with redirect_stdout(StringIO()):
        coco = COCO(str(tmp_path / "out" / "annotations.json"))
    wanted = ["square", "ellipse", "heart"] if preset == "sprites" else ["cell"]
    assert [category["name"] for category in coco.cats.values()] == wanted
    read = read_split(tmp_path / "scenes.h5", "val")
    assert read.mask is not None
    for number, true in enumerate(read.mask, 1):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[number]))
        assert len(found) == true.max()
        for place, each in enumerate(found):
            assert np.array_equal(coco.annToMask(each), true == place + 1)
            assert each["area"] == (true == place + 1).sum()


def test_figures_of_scenes_speak_of_objects(tmp_path: Path) -> None:
    made(tmp_path / "scenes.h5", "sprites")
    read = read_split(tmp_path / "scenes.h5", "val")
    told = figure(read, RenderConfig(), "val").notes[0]
    assert "labels of its objects" in told
    assert "digits" not in told
