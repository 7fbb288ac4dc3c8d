"""COCO files as other programs write them: where pictures are, ids, sizes, what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import Array, blobs, imported, save
from PIL import Image
from tiny_runs import Recorder

import airkit
from airkit.data.canvases import SPLITS
from airkit.data.reader import read_split
from airkit.errors import ImageError

GIVEN = blobs(20)


def content(**change: Any) -> dict[str, Any]:
    """Of 20 pictures, each with the objects that it has, with ids that are not contiguous."""
    ids = [7 * n + 3 for n in range(20)]
    boxes = [(n, box) for n in range(20) for box in GIVEN["boxes"][n] if box[2] > 0]
    return {
        "images": [
            {"id": ids[n], "file_name": f"{n}.png", "height": 24, "width": 24} for n in range(20)
        ],
        "annotations": [
            {"id": 9 * k, "image_id": ids[n], "bbox": box.tolist(), "category_id": 5}
            for k, (n, box) in enumerate(boxes)
        ],
        "categories": [{"id": 5, "name": "cell"}],
        **change,
    }


def write(path: Path, **change: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content(**change)))
    return path


def counts(path: Path) -> dict[bytes, int]:
    known = [read_split(path, split).known for split in SPLITS]
    return {
        image.tobytes(): int(count)
        for each in known
        for image, count in zip(each["image"], each["count"], strict=True)
    }


EXPECTED = {
    image.tobytes(): int(count)
    for image, count in zip(GIVEN["images"], GIVEN["counts"], strict=True)
}
PLACES = {
    "beside": ("a.json", ".", "a.json"),
    "images": ("a.json", "images", "a.json"),
    "FiftyOne": ("labels.json", "data", "."),
    "Roboflow": ("_annotations.coco.json", ".", "."),
    "COCO": ("annotations/instances_train2017.json", "train2017", None),
    "COCO, images": ("annotations/instances_all.json", "images", None),
}


@pytest.mark.parametrize("name", PLACES)
def test_where_pictures_are(tmp_path: Path, name: str) -> None:
    file, folder, named = PLACES[name]
    save(tmp_path / "set" / folder, GIVEN["images"])
    path = write(tmp_path / "set" / file)
    given = path if named is None else tmp_path / "set" / named
    assert counts(imported(given, tmp_path / "o.h5").path) == EXPECTED


def test_only_listed_files_are_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "images", GIVEN["images"])
    (folder / "unlisted.png").write_bytes(b"no picture")
    path = write(tmp_path / "a.json", images=content()["images"][:15])
    listener = Recorder()
    report = imported(path, tmp_path / "o.h5", listener=listener)
    assert sum(report.splits.values()) == 15
    left = int(GIVEN["counts"][15:].sum())
    assert any(f"{left} annotations of pictures" in note for note in listener.notes)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    (save(tmp_path / "images", GIVEN["images"]) / "4.png").unlink()
    path = write(tmp_path / "a.json")
    with pytest.raises(ImageError, match=r"4\.png"):
        imported(path, tmp_path / "o.h5")
    report = imported(path, tmp_path / "o.h5", skip_bad=True)
    assert [Path(each).name for each in report.skipped] == ["4.png"]
    assert sum(report.splits.values()) == 19


def test_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder = save(tmp_path / "images", GIVEN["images"])
    (folder / "4.png").rename(tmp_path.parent / f"{tmp_path.name}.png")
    (folder / "4.png").symlink_to(tmp_path.parent / f"{tmp_path.name}.png")
    with pytest.raises(ImageError, match="link"):
        imported(write(tmp_path / "a.json"), tmp_path / "o.h5")


@pytest.mark.parametrize("swapped", [True, False])
def test_sizes_before_a_turn_by_exif_are_told(tmp_path: Path, swapped: bool) -> None:
    given = blobs(20, 24, 40)
    folder, exif = save(tmp_path / "images", given["images"]), Image.Exif()
    exif[0x0112] = 6
    turned = np.ascontiguousarray(np.rot90(given["images"][0]))
    Image.fromarray(turned).save(folder / "0.png", exif=exif)
    images = [{**each, "width": 40} for each in content()["images"]]
    if swapped:
        images[0] |= {"height": 40, "width": 24}
    listener = Recorder()
    path = write(tmp_path / "a.json", images=images, annotations=[])
    report = imported(path, tmp_path / "o.h5", listener=listener)
    assert set(counts(report.path).values()) == {0}
    assert any("swapped" in note for note in listener.notes) == swapped


def image_with(**change: Any) -> Any:
    images = content()["images"]
    images[1] |= change
    return images


def box_with(**change: Any) -> Any:
    annotations = content()["annotations"]
    annotations[1] |= change
    return annotations


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another size": ({"images": image_with(width=48)}, "48 x 24 px"),
    "an id twice": ({"images": image_with(id=3)}, "twice"),
    "a file twice": ({"images": image_with(file_name="0.png")}, "twice"),
    "a file elsewhere": ({"images": image_with(file_name="../b.png")}, "b.png"),
    "a box beyond the border": ({"annotations": box_with(bbox=[30, 2, 5, 5])}, "24 x 24 px"),
    "a box of words": ({"annotations": box_with(bbox=["a", 2, 5, 5])}, "not a COCO file"),
    "a list": ({"images": "all"}, "not a COCO file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    change, fact = WRONG[name]
    save(tmp_path / "set/images", GIVEN["images"])
    Image.fromarray(GIVEN["images"][0]).save(tmp_path / "b.png")
    with pytest.raises(ImageError) as error:
        imported(write(tmp_path / "set/a.json", **change), tmp_path / "o.h5")
    assert fact in str(error.value)
    assert not (tmp_path / "o.h5").exists()


def boxes_of(path: Path) -> Array:
    found = np.concatenate([read_split(path, split).known["box"] for split in SPLITS])
    return found[found[..., 2] > 0]


@pytest.mark.parametrize(
    "change", [{"bbox": [1, 2, 0, 6]}, {"bbox": []}, {"bbox": None}, {"iscrowd": 1}]
)
def test_boxes_without_extent_and_crowds_are_dropped_and_told(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    save(tmp_path / "images", GIVEN["images"])
    listener = Recorder()
    path = write(tmp_path / "a.json", annotations=box_with(**change))
    report = imported(path, tmp_path / "o.h5", listener=listener)
    assert len(boxes_of(report.path)) == GIVEN["counts"].sum() - 1
    assert any("1 annotation without an extent" in note for note in listener.notes)


def test_a_file_without_annotations_tells_no_count(tmp_path: Path) -> None:
    """As of COCO's test pictures: unknown, and not 0."""
    save(tmp_path, GIVEN["images"][:20])
    listed = {key: each for key, each in content().items() if key != "annotations"}
    path, listener = tmp_path / "a.json", Recorder()
    path.write_text(json.dumps(listed), "utf-8-sig")
    report = imported(path, tmp_path / "o.h5", listener=listener)
    assert report.truth["train"] == ()
    assert any("20 pictures of a COCO file without annotations" in each for each in listener.notes)
    images = [*listed["images"][1:], {"id": 1, "file_name": "../../../etc/passwd"}]
    path.write_text(json.dumps({**listed, "images": images}))
    with pytest.raises(ImageError, match="not there"):
        imported(path, tmp_path / "o.h5", force=True)


@pytest.mark.parametrize("lacking", ["bbox", "category_id", "image_id"])
def test_what_an_annotation_lacks_is_told(tmp_path: Path, lacking: str) -> None:
    save(tmp_path, GIVEN["images"][:20])
    annotations = content()["annotations"]
    del annotations[1][lacking]
    with pytest.raises(ImageError, match=f"an entry without '{lacking}'"):
        imported(write(tmp_path / "a.json", annotations=annotations), tmp_path / "o.h5")


def test_names_that_are_the_same_number_stay_two_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    annotations = [{**each, "category_id": 5 + k % 2} for k, each in
                   enumerate(content()["annotations"])]  # fmt: skip
    write(path, annotations=annotations,
          categories=[{"id": 5, "name": "1"}, {"id": 6, "name": "01"}])  # fmt: skip
    for n in range(20):
        Image.fromarray(GIVEN["images"][n]).save(tmp_path / f"{n}.png")
    report = airkit.import_scenes(path, path=tmp_path / "a.h5")
    labels = np.concatenate([read_split(report.path, split).known["label"] for split in SPLITS])
    assert set(labels.ravel().tolist()) == {-1, 0, 1}
