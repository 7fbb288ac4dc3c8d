"""A run on colours reads images in colour, and one on grey canvases their luminance."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import read_all
from tiny_runs import Recorder, data_file, fit, folder, reference

import airkit
from airkit.data.reader import read_split
from airkit.evaluation.evaluate import Evaluation
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT


@cache
def coloured() -> Path:
    run = folder() / "coloured"
    fit(run, data_file(source="sprites", channels=3, digit_size_sd=1.0), train__steps=5)
    return run


def test_colours_are_kept() -> None:
    draws = np.random.default_rng(0)
    colours = draws.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    planes = np.moveaxis(colours, -1, 0) / np.float32(255)
    opaque = np.dstack([colours, np.full((9, 12), 255, np.uint8)])
    for given in (colours, colours / 255, opaque, Image.fromarray(colours)):
        (found,) = read_all(given, colour=True)
        np.testing.assert_allclose(found.pixels, planes, atol=1e-6)
        assert found.padded((12, 12), edge=True).shape == (3, 12, 12)
    (grey,) = read_all(colours[..., 0], colour=True)
    np.testing.assert_allclose(grey.pixels, np.repeat(planes[:1], 3, 0), atol=1e-6)


def test_counts_are_those_of_evaluation(home: Path) -> None:
    given = {"eval.looks": 2}
    evaluation = Evaluation(open_run(coloured(), None, "best", given, SILENT))
    scenes = [batch.scene for batch in evaluation.batches(SILENT)]
    images = read_split(data_file(source="sprites", channels=3, digit_size_sd=1.0), "test").image
    for place, image in enumerate(images):
        Image.fromarray(image).save(f"{place}.png")
    files = [f"{place}.png" for place in range(len(images))]
    expected = np.concatenate([scene.score.numpy() for scene in scenes])
    for source in (images, files):
        found = airkit.infer(source, coloured(), settings=given, overlay="seen")
        assert [each.score for each in found] == pytest.approx(expected.tolist(), rel=1e-5)
    seen = [np.asarray(Image.open(f"seen/{name}").convert("RGB")).astype(int) for name in files]
    assert max(np.ptp(pixels[14:400, 14:400], axis=-1).max() for pixels in seen) > 50


def test_grey_images_are_told_once_to_a_run_on_colours() -> None:
    listener = Recorder()
    image = read_split(data_file(), "test").image[:3]
    airkit.infer(image, coloured(), listener=listener, settings={"eval.looks": 1})
    assert len([note for note in listener.notes if note.startswith("3 images are grey")]) == 1
    listener = Recorder()
    colours = np.repeat(image[..., None], 3, -1)
    airkit.infer(colours, coloured(), listener=listener, settings={"eval.looks": 1})
    assert not any("are grey" in note for note in listener.notes)


def test_large_images_in_colour() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    image[20:28, 30:38] = 255, 80, 0
    (found,) = airkit.infer(image, coloured(), tile=40, settings={"eval.looks": 1})
    assert (found.width, found.height) == (90, 60)


def test_a_run_on_grey_reads_the_luminance() -> None:
    image = read_split(data_file(), "test").image[1]
    one, other = airkit.infer(
        [image, np.repeat(image[..., None], 3, -1)], reference(), settings={"eval.looks": 1}
    )
    assert one.count_probability == pytest.approx(other.count_probability, abs=1e-5)
