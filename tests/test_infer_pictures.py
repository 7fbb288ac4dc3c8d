"""Images for a model of imported pictures are scaled and padded as those pictures were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from own_pictures import sixteen
from PIL import Image
from reading import read_all
from tiny_runs import TRAIN

import airkit
from airkit.config.pictures import PicturesConfig
from airkit.data.imports.importing import import_scenes
from airkit.data.reader import read_split


def test_an_image_has_the_levels_of_the_pictures_imported(tmp_path: Path) -> None:
    images = sixteen()
    report = import_scenes(images, path=tmp_path / "o.h5")
    Image.fromarray(images[0]).save(tmp_path / "0.png")
    pictures = PicturesConfig(low=report.low, high=report.high)
    (grey,) = read_all(tmp_path / "0.png", pictures=pictures)
    found = grey.ink
    known = {image.tobytes() for split in ("train", "val", "test")
             for image in read_split(report.path, split).image}  # fmt: skip
    assert (255 * found).round().astype(np.uint8).tobytes() in known
    (dark,) = read_all(tmp_path / "0.png", pictures=pictures, invert=True)
    np.testing.assert_allclose(dark.ink, 1 - found, atol=1e-6)


@pytest.mark.parametrize(("edge", "wanted"), [(False, 0), (True, 1)])
def test_padding_is_as_grey_as_the_edge_where_asked(
    edge: bool, wanted: float, tmp_path: Path
) -> None:
    np.save(tmp_path / "wide.npy", np.ones((8, 12), np.float32))
    (grey,) = read_all(tmp_path / "wide.npy")
    assert (grey.padded((12, 12), edge=edge)[0, 8:] == wanted).all()


def test_infer_scales_as_import_did(tmp_path: Path) -> None:
    """An object of 4,000 in 16 bits is as plain as it was in training, not a sixteenth of it."""
    report = import_scenes(sixteen(), path=tmp_path / "o.h5")
    airkit.train(report.path, tmp_path / "run", settings={**TRAIN, "train.steps": 2})
    images = np.stack([sixteen()[0], np.full((24, 24), 1000, np.uint16)])
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    one, blank = airkit.infer(paths, tmp_path / "run")
    assert abs(one.score - blank.score) > 50
