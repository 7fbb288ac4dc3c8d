"""Images are inferred on by the rules that the pictures of the training were imported by."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import Array, blobs
from PIL import Image
from tiny_runs import TRAIN, Recorder, folder

import airkit
from airkit.config.pictures import PicturesConfig
from airkit.data.imports.images import Images
from airkit.data.imports.pictures import Bad
from airkit.data.reader import read_info, read_split
from airkit.errors import DataFileError, ImageError
from airkit.evaluation import screening
from airkit.runs.folder import RunFolder


def pictures(many: int = 12) -> Array:
    """Objects in red, on green of other levels, half of it transparent, uint8 [N, 24, 24, 4]."""
    images = blobs(many)["images"]
    clear = np.where(np.arange(24) < 12, 255, 0) * np.ones_like(images)
    return np.stack([images, 200 - images // 2, 0 * images, clear], -1).astype(np.uint8)


@cache
def run(scale: float) -> Path:
    data, path = folder() / f"rules-{scale}.h5", folder() / f"rules-{scale}"
    how: dict[str, Any] = {"channel": "red", "behind": 0.25, "scale": scale}
    airkit.import_scenes(pictures(), path=data, most_objects=2, object_size=6, **how)
    airkit.train(data, path, settings={**TRAIN, "train.steps": 2})
    return path


def levels(given: Any, **how: Any) -> Array:
    (image,) = Images(given, pictures=PicturesConfig(**how)).walk(Bad(False))
    found: Array = np.rint(255 * image.pixels).astype(np.uint8)
    return found


@pytest.mark.parametrize("channel", ["grey", "red", "green", "blue"])
@pytest.mark.parametrize("behind", [0.0, 0.25, 1.0])
def test_an_image_becomes_what_it_became_at_import(
    tmp_path: Path, channel: str, behind: float
) -> None:
    picture, target = pictures(1), tmp_path / "a.h5"
    how: dict[str, Any] = {"channel": channel, "behind": behind, "color": "grey"}
    airkit.import_scenes(picture, path=target, levels=(0, 255), **how)
    found = read_info(target).config.pictures
    assert (found.channel, found.behind) == (channel, behind)
    Image.fromarray(picture[0]).save(tmp_path / "a.png")
    images = read_split(target, "train").image
    seen = levels(tmp_path / "a.png", channel=channel, behind=behind)
    assert np.array_equal(seen[0], images[0])


def test_infer_takes_the_rules_from_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Seen(Images):
        def __init__(self, given: Any, **how: Any) -> None:
            asked.append(how["pictures"])
            super().__init__(given, **how)

    monkeypatch.setattr(screening, "Images", Seen)
    airkit.infer(pictures(1), run(1.0))
    assert (asked[0].channel, asked[0].behind) == ("red", 0.25)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_tiles_are_measured_on_the_image_as_it_came(scale: float) -> None:
    """Objects of 6 px, once resized, take tiles of 18 px at least then, three objects wide."""
    least = round(18 / scale)
    image = np.tile(pictures(1)[0], (4, 4, 1))
    with pytest.raises(ImageError, match=f"at least {least} px(.|\n)*got +{least - 4} px"):
        airkit.infer(image, run(scale), tile=least - 4)
    (found,) = airkit.infer(image, run(scale), tile=least)
    assert (found.height, found.width) == image.shape[:2]


def test_full_slots_are_told_of_tiles() -> None:
    listener = Recorder()
    image = np.tile(pictures(1)[0], (4, 4, 1))
    settings = {"model.slots": 1, "eval.looks": 1}
    (found,) = airkit.infer(image, run(1.0), tile=48, settings=settings, listener=listener)
    if found.status == "slots full":
        (told,) = (note for note in listener.notes if "as many" in note)
        assert "on a tile" in told
        assert "smaller tiles than 48 px" in told


@pytest.mark.parametrize(("trouble", "told"), [(["all wet", "too dry"], True), ([], False)])
def test_a_verdict_of_doubt_is_repeated(tmp_path: Path, trouble: list[str], told: bool) -> None:
    verdict = RunFolder(run(1.0)).verdict
    before = verdict.read_text()
    assert json.loads(before)["verdict"] in ("trust", "doubt")
    listener = Recorder()
    try:
        verdict.write_text(json.dumps({"trouble": trouble}))
        given: Any = {"images": pictures(1), "run": run(1.0), "settings": {"model.slots": 20}}
        found = [each.status for each in airkit.infer(**given, listener=listener)]
        found += airkit.predict(**given).status.tolist()
        found += airkit.predict(**{**given, "images": None}).status.tolist()
    finally:
        verdict.write_text(before)
    assert ("run in doubt" in found, "ok" in found) == (told, not told)
    notes = [note for note in listener.notes if "in doubt" in note]
    assert len(notes) == told
    assert all(each in notes[0] for each in trouble)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"trouble": 3}', "\x00", "[" * 15_000])
def test_a_damaged_verdict_says_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        RunFolder(tmp_path).verdict.write_text(content)
    assert RunFolder(tmp_path).trouble() == []


def test_a_new_training_forgets_the_verdict(tmp_path: Path) -> None:
    data = folder() / "rules-1.0.h5"
    run(1.0)
    path = tmp_path / "r"
    airkit.train(data, path, settings={**TRAIN, "train.steps": 2})
    verdict = RunFolder(path).verdict
    first = verdict.stat().st_mtime_ns
    airkit.train(data, path, settings={**TRAIN, "train.steps": 2})
    assert verdict.stat().st_mtime_ns == first, "nothing was trained"
    airkit.train(data, path, settings={**TRAIN, "train.steps": 3})
    assert verdict.stat().st_mtime_ns != first


def test_data_without_a_test_split_is_drawn(tmp_path: Path) -> None:
    data = tmp_path / "a.h5"
    airkit.import_scenes(pictures(2), path=data)
    assert not read_info(data).splits["test"]
    drawn = airkit.render(kind="data", data=data, out=tmp_path / "a.png")
    assert drawn.path.exists()
    settings = {"eval.split": "test"}
    with pytest.raises(DataFileError, match="test"):
        airkit.render(kind="data", data=data, out=tmp_path / "b.png", settings=settings)
