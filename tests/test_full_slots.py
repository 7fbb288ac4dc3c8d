"""What is said of images on which all slots are in use: the way that is best for their size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_import_rules import pictures, run
from tiny_runs import Recorder, data_file, reference

import airkit
from airkit.config import settings
from airkit.config.schema import Config
from airkit.data.reader import read_split
from airkit.evaluation.screening import full_slots, training_tile


def config(**given: Any) -> Config:
    """A run on pictures of 96x96 px with objects of 14 px."""
    size = {"data.canvas_size": 96, "data.digit_size": 14.0, "data.digit_size_sd": 0.0}
    layers = {"data.source": "pictures", "data.max_digits": 8, **size}
    layers |= {key.replace("__", "."): value for key, value in given.items()}
    return settings.resolve(*settings.layers(layers))


def told(*shape: int, slots: int = 9, tile: int | None = None, tiles: bool = True) -> str:
    return full_slots(config(), slots, shape, tile, tiles=tiles)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(96, 96), (60, 90), (200, 40)])
def test_images_no_larger_than_the_canvases_need_more_slots(shape: tuple[int, int]) -> None:
    assert told(*shape).endswith("slots, 9; there may be more, try more --slots")


def test_larger_images_are_cut_into_tiles_or_get_slots_in_proportion() -> None:
    large = "larger than the 96x96 px of the training: try --tile 96, which cuts it into tiles"
    assert told(140, 120).endswith(f"{large}, or --slots 17")
    assert told(384, 384).endswith(f"{large}, or --slots 128"), "no more than there can be"
    assert told(384, 384, slots=128).endswith(large)


def test_a_command_without_tiles_names_the_one_that_has_them() -> None:
    assert told(140, 120, tiles=False).endswith("try --slots 17, or airkit infer --tile 96")
    assert told(140, 120, tiles=False, slots=128).endswith("try airkit infer --tile 96")


def test_tiles_become_smaller_unless_they_are_the_least() -> None:
    assert told(96, 96, tile=96).endswith("try smaller tiles than 96 px, or more --slots")
    least = 2 * 20
    assert told(least, least, tile=least).endswith("there may be more, try more --slots")


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("side", [48, 97])
def test_tiles_are_in_pixels_of_the_image_as_it_came(side: int, scale: float) -> None:
    found = training_tile(config(data__canvas_size=side, pictures__scale=scale))
    assert side <= round(scale * found) <= side + scale


def test_tiles_are_never_smaller_than_infer_takes() -> None:
    assert training_tile(config(data__canvas_size=50, data__digit_size=21.0)) == 60


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_tiles_that_infer_names_are_taken(scale: float) -> None:
    image, listener = np.tile(pictures(1)[0], (4, 4, 1)), Recorder()
    few = {"model.slots": 1, "eval.looks": 1}
    (found,) = airkit.infer(image, run(scale), settings=few, listener=listener)
    assert found.status == "slots full"
    (note,) = (note for note in listener.notes if "as many objects" in note)
    tile = int(note.split("--tile ")[1].split(",")[0])
    assert tile < max(image.shape[:2])
    assert airkit.infer(image, run(scale), settings=few, tile=tile)[0].count > 1


def test_more_digits_than_in_training_that_are_large_are_in_doubt(home: Path) -> None:
    """Found in pieces by a model that has slots enough: no other sign tells."""
    images = read_split(data_file(), "test").image[:8]
    large = np.kron(images, np.ones((1, 2, 2), np.uint8))
    for given, doubt in ((images, False), (large, True)):
        listener = Recorder()
        found = airkit.infer(given, reference(), settings={"model.slots": 9}, listener=listener)
        assert any(it.count > 2 for it in found)
        assert any(it.status == "size" for it in found if it.count > 2) == doubt
        assert not any(it.status == "size" for it in found if it.count <= 2)
        assert doubt == any("scale the images by about" in note for note in listener.notes)
