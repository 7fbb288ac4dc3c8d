"""Exports: read back with the programs that they are for."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
from command_line import run
from exports import contents, names, spoilt
from idx_files import mnist_like, write_folder
from own_pictures import blobs
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file
from some_truth import whole
from tiny_runs import DATA, STEPS, TRAIN, data_file, reference, same, state, trained

import airkit
from airkit.config import settings
from airkit.data import reader
from airkit.data.canvases import SPLITS
from airkit.errors import DataFileError
from airkit.runs.export import export
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT


def coco(folder: Path) -> Any:
    """An export as pycocotools read it."""
    with redirect_stdout(StringIO()):
        return COCO(str(folder / "annotations.json"))


# Canvases as COCO


def test_every_pixel_box_and_label_is_there(home: Path) -> None:
    done = export(data_file(), "out", split="all")
    truth, found = (
        {split: whole(split) for split in SPLITS},
        coco(Path("out")),
    )
    places = [(split, n) for split in SPLITS for n in range(len(truth[split].count))]
    assert list(found.imgs) == list(range(1, len(places) + 1))
    assert list(found.anns) == list(range(1, len(found.anns) + 1))
    for (split, n), (number, image) in zip(places, found.imgs.items(), strict=True):
        assert image["file_name"] == f"{split}-{n:06d}.png"
        with Image.open(Path("out/images") / image["file_name"]) as picture:
            assert (picture.format, picture.mode) == ("PNG", "L")
            assert np.array_equal(np.asarray(picture), truth[split].image[n])
            assert picture.size == (image["width"], image["height"])
        boxes = found.loadAnns(found.getAnnIds(imgIds=[number]))
        many = int(truth[split].count[n])
        assert [box["bbox"] for box in boxes] == truth[split].box[n, :many].tolist()
        labels = [found.cats[box["category_id"]]["name"] for box in boxes]
        assert labels == [str(label) for label in truth[split].label[n, :many]]
        assert all(box["area"] == box["bbox"][2] * box["bbox"][3] for box in boxes)
        assert not any(box["iscrowd"] for box in boxes)
    counts = {"images": 92, "annotations": len(found.anns)}
    assert (done.path, done.format, done.counts) == (Path("out"), "COCO", counts)


def test_the_file_identifies_the_data(home: Path) -> None:
    export(data_file(), "out")
    found, about = coco(Path("out")).dataset, reader.read_info(data_file())
    assert found["info"] == {
        "airkit_version": about.airkit_version,
        "description": "canvases of digits: test",
        "version": "1",
        "contributor": "digits drawn by airkit",
        "content_digest": about.content_digest,
        "seed": 0,
    }
    assert [(it["id"], it["name"]) for it in found["licenses"]] == [(1, "Apache-2.0")]
    assert {it["license"] for it in found["images"]} == {1}
    assert found["categories"] == [
        {"id": label + 1, "name": str(label), "supercategory": "digit"} for label in range(10)
    ]


def test_the_truth_as_detections_has_average_precision_one(home: Path) -> None:
    export(data_file(), "out")
    truth = coco(Path("out"))
    keys = ("image_id", "category_id", "bbox")
    detections = [{**{key: box[key] for key in keys}, "score": 1.0} for box in truth.anns.values()]
    with redirect_stdout(StringIO()):
        measured = COCOeval(truth, truth.loadRes(detections), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    assert measured.stats[0] == pytest.approx(1, abs=1e-12)


def test_ids_continue_from_part_to_part(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(data_file(), "whole")
    monkeypatch.setattr(reader, "chunk_rows", lambda shape: 7)
    export(data_file(), "parts")
    assert contents(Path("parts")) == contents(Path("whole"))


def test_labels_above_nine_become_categories(home: Path) -> None:
    export(spoilt(home, count=1, label=42), "out")
    found = coco(Path("out"))
    assert found.cats[43] == {"id": 43, "name": "42", "supercategory": "digit"}
    assert len(found.cats) == 11
    assert [box["image_id"] for box in found.anns.values() if box["category_id"] == 43] == [1]


# Weights as safetensors


def test_the_file_holds_the_checkpoint_bit_for_bit(home: Path) -> None:
    """And the same bytes from another process."""
    done, found = export(reference(), "out", checkpoint="last"), state(reference())
    tensors = load_file("out/model.safetensors")
    assert same(tensors, {name: found.model[name] for name in tensors})
    assert len(tensors) == len(found.model)
    many = sum(value.numel() for value in tensors.values())
    assert (done.format, done.counts) == (
        "safetensors",
        {"step": STEPS, "parameters": many},
    )
    about = json.loads(Path("out/config.json").read_text())
    assert settings.from_json(json.dumps(about.pop("config")), "config.json") == found.config
    best = found.best
    assert best is not None
    assert about == {
        "airkit_version": reader.read_info(data_file()).airkit_version,
        "format_version": 2,
        "step": STEPS,
        "best": vars(best),
        "data": data_file().name,
        "data_digest": reader.read_info(data_file()).content_digest,
        "data_source": "strokes",
        "seconds": found.seconds,
    }
    one = RunFolder(reference()).file(STEPS)
    assert forks.airkit("export", one, "--out", "again").returncode == 0
    assert contents(Path("again")) == contents(Path("out"))


def test_which_checkpoint_is_exported(home: Path) -> None:
    folder = RunFolder(trained(home / "run"))
    first, best = folder.saved()[0], folder.find("best", SILENT)[1].step
    step = int(first.stem.removeprefix("step-"))
    assert step < STEPS
    assert export("run", "best").counts["step"] == best
    assert export("run", "last", checkpoint="last").counts["step"] == STEPS
    assert export("run", "first", checkpoint=str(first)).counts["step"] == step
    assert export(first, "file").counts["step"] == step


def test_the_card_of_a_checkpoint_file_tells_what_is_in_doubt(home: Path) -> None:
    folder = RunFolder(trained(home / "run"))
    folder.verdict.write_text(json.dumps({"trouble": ["all slots are in use"]}))
    export("run", "one")
    export(folder.file(STEPS), "two")
    for out in ("one", "two"):
        assert "all slots are in use" in Path(out, "README.md").read_text()


def test_a_folder_of_digits_is_told_by_its_name_alone(home: Path) -> None:
    secret = home / "secret" / "my digits"
    write_folder(secret, mnist_like())
    airkit.make_data("d.h5", settings={**DATA, "data.source": str(secret)})
    airkit.train("d.h5", "run", settings={**TRAIN, "train.steps": 1})
    export("run", "model")
    export("d.h5", "canvases")
    for content in (*contents(Path("model")).values(), *contents(Path("canvases")).values()):
        assert b"secret" not in content
    assert "my digits" in Path("canvases/README.md").read_text()
    assert airkit.load("model").slots == airkit.load("run").slots


def test_texts_with_slashes_are_told_whole(home: Path) -> None:
    airkit.train(data_file(), "run", settings={**TRAIN, "train.steps": 1, "own.scale": "a/b"})
    export("run", "out")
    assert "| own.scale | a/b |" in Path("out/README.md").read_text()


def test_the_command_prints_what_it_wrote(home: Path) -> None:
    result = run("export", data_file(), "--out", "deep/out", "--split", "val")
    many = int(whole("val").count.sum())
    assert (result.exit_code, result.stdout) == (
        0,
        f"folder       deep/out\nformat       COCO\nimages       12\nannotations  {many}\n",
    )
    assert result.stderr == "exporting val: 12 of 12\n"
    assert names(home / "deep") == ["out"]


def test_objects_without_labels_beside_labelled_ones_are_refused(tmp_path: Path) -> None:
    given = blobs(20)
    test = {"images": given["images"][:4], "boxes": given["boxes"][:4]}
    boxes, labels = given["boxes"], np.full(given["boxes"].shape[:2], 3)
    labels[boxes[..., 2] <= 0] = -1
    path = tmp_path / "blobs.h5"
    airkit.import_scenes(given["images"], path=path, boxes=boxes, labels=labels, test=test)
    with pytest.raises(DataFileError, match="no label"):
        airkit.export(path, tmp_path / "out", split="all")
    airkit.export(path, tmp_path / "out", split="test")
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [each["id"] for each in content["categories"]] == [1]
