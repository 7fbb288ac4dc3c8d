"""Objects on new pictures that are of another size than those of the training are told."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from own_pictures import Array, blobs
from tiny_runs import TRAIN, Recorder, folder

import airkit
from airkit.data.imports.importing import import_scenes


@cache
def run() -> Path:
    path = folder() / "sizes"
    report = import_scenes(blobs(60, 36, 36)["images"], path=folder() / "sizes.h5", most_objects=3)
    airkit.train(report.path, path, settings={**TRAIN, "train.steps": 2})
    return path


def zoomed(images: Array, factor: float) -> Array:
    """Pictures whose sides are so many times as long."""
    at = (np.arange(round(36 * factor)) / factor).astype(int)
    return np.asarray(images[:, at][:, :, at])


@pytest.mark.parametrize(("factor", "other"), [(1, False), (0.5, True), (2, True), (1.1, False)])
def test_another_size_is_told_with_the_factor(factor: float, other: bool) -> None:
    listener = Recorder()
    images = zoomed(blobs(30, 36, 36, seed=1)["images"], factor)
    found = airkit.infer(images, run(), listener=listener)
    assert {each.status == "size" for each in found} == {other}
    told = [note.split("by about ")[1] for note in listener.notes if "scale the images" in note]
    assert [float(each) * factor for each in told] == pytest.approx([1] * other, rel=0.3)


def test_few_pictures_do_not_tell_the_size() -> None:
    found = airkit.infer(zoomed(blobs(10, 36, 36, seed=1)["images"], 0.5), run())
    assert all(each.status != "size" for each in found)
