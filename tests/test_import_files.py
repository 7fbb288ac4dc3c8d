"""Files and folders to import: every format, what other programs leave beside, tables, COCO."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from own_pictures import all_images, as_set, blobs, imported, save
from PIL import Image
from tiny_runs import Recorder, data_file

import airkit
from airkit.data.canvases import SPLITS
from airkit.data.imports.folders import files_of
from airkit.data.reader import read_split

GIVEN = blobs(20)


def tiff(folder: Path) -> Path:
    path = folder / "stack.tif"
    pages = [Image.fromarray(image) for image in GIVEN["images"]]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def hdf5(folder: Path) -> str:
    with h5py.File(folder / "a.h5", "w") as file:
        file["group/pictures"] = GIVEN["images"]
    return f"{folder / 'a.h5'}:/group/pictures"


def npz(folder: Path, **other: Any) -> Path:
    np.savez_compressed(folder / "a.npz", **{"images": GIVEN["images"], **other})
    return folder / "a.npz"


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", GIVEN["images"])
    return folder / "a.npy"


LOSSLESS: dict[str, Any] = {
    "png": lambda folder: save(folder / "f", GIVEN["images"]),
    "bmp": lambda folder: save(folder / "f", GIVEN["images"], ".bmp"),
    "tif": lambda folder: save(folder / "f", GIVEN["images"], ".TIF"),
    "webp": lambda folder: save(folder / "f", GIVEN["images"], ".webp", lossless=True),
    "tiff of pages": tiff,
    "folder with a stack": lambda folder: tiff(save(folder / "f", GIVEN["images"][:0])).parent,
    "npy": npy,
    "npz": npz,
    "hdf5": hdf5,
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_pictures_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    report = imported(LOSSLESS[name](tmp_path), tmp_path / "out.h5")
    assert as_set(all_images(report.path)) == as_set(GIVEN["images"])


def test_jpeg_is_read_about_as_it_is(tmp_path: Path) -> None:
    report = imported(save(tmp_path / "f", GIVEN["images"], ".jpg", quality=95), tmp_path / "o.h5")
    assert abs(all_images(report.path).mean() - GIVEN["images"].mean()) < 2


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_depths_of_files(tmp_path: Path, kind: Any) -> None:
    ending = ".png" if kind == np.uint16 else ".tif"
    folder = save(tmp_path / "f", GIVEN["images"].astype(kind) * 3, ending)
    report = imported(folder, tmp_path / "o.h5")
    assert (report.low, report.high) == (0, 720)


def test_exif_turns_a_picture_before_all_else(tmp_path: Path) -> None:
    folder = save(tmp_path / "f", GIVEN["images"])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.rot90(GIVEN["images"][0])
    Image.fromarray(np.ascontiguousarray(turned)).save(folder / "0.png", exif=exif)
    listener = Recorder()
    report = imported(folder, tmp_path / "o.h5", listener=listener)
    assert as_set(all_images(report.path)) == as_set(GIVEN["images"])
    assert any("1 picture was turned" in note for note in listener.notes)


@pytest.mark.parametrize(("behind", "level"), [(0.0, 0), (1.0, 255)])
def test_transparent_pixels_are_what_is_behind(tmp_path: Path, behind: float, level: int) -> None:
    alpha = np.where(GIVEN["images"] > 100, 255, 0).astype(np.uint8)
    pixels = np.stack([GIVEN["images"]] * 3 + [alpha], 3)
    listener = Recorder()
    folder = save(tmp_path / "f", pixels)
    for given, name in ((folder, "a.h5"), (pixels, "b.h5")):
        options = {"behind": behind, "levels": (0, 255), "listener": listener}
        report = imported(given, tmp_path / name, **options)
        expected = np.where(alpha == 255, GIVEN["images"], level).astype(np.uint8)
        assert as_set(all_images(report.path)) == as_set(expected)
    assert any("transparent" in note for note in listener.notes)


def test_palettes_and_bits(tmp_path: Path) -> None:
    bits = np.where(GIVEN["images"] > 100, 255, 0).astype(np.uint8)
    folder = tmp_path / "f"
    folder.mkdir()
    for number, image in enumerate(bits):
        mode = ("1", "P", "RGB", "LA")[number % 4]
        Image.fromarray(image).convert(mode).save(folder / f"{number}.png")
    report = imported(folder, tmp_path / "o.h5")
    assert as_set(all_images(report.path)) == as_set(bits)


def test_what_other_programs_leave_is_passed_over_and_told(tmp_path: Path) -> None:
    folder = save(tmp_path / "f", GIVEN["images"])
    for name in ("0_masks", "1_mask", "2_overlay", "3_cp_masks", "4_seg"):
        Image.new("L", (9, 9)).save(folder / f"{name}.png")
    for name in ("notes.txt", ".DS_Store", "._0.png", "Thumbs.db"):
        (folder / name).write_bytes(b"\0\1")
    (folder / "old").mkdir()
    listener = Recorder()
    report = imported(folder, tmp_path / "o.h5", listener=listener)
    assert sum(report.splits.values()) == 20
    told = " ".join(listener.notes)
    assert "5 files whose names end in _mask" in told
    assert "2 files that are no pictures" in told
    assert "1 folder inside was" in told


@pytest.mark.parametrize("val", ["val", "valid", None])
def test_folders_of_splits(tmp_path: Path, val: str | None) -> None:
    parts = {"train": slice(12), "test": slice(12, 16)} | ({val: slice(16, 20)} if val else {})
    for name, rows in parts.items():
        save(tmp_path / "f" / name, GIVEN["images"][rows])
    report = imported(tmp_path / "f", tmp_path / "o.h5")
    held_out = as_set(read_split(report.path, "test").image)
    assert held_out == as_set(GIVEN["images"][12:16])
    expected = {"train": 12, "val": 4, "test": 4} if val else {"train": 11, "val": 1, "test": 4}
    assert report.splits == expected


def test_names_of_any_kind_are_in_natural_order(tmp_path: Path) -> None:
    wanted = [
        *("0.png", "1.png", "001.PNG", "02.png", "2.png", "10.png", f"{10**20}.png", "A1.png"),
        *(
            "a2.png",
            "A10.png",
            "a-1.png",
            "b1-2.png",
            "b1-10.png",
            "b01-20.png",
            "é.png",
            "\udcff.png",
        ),
    ]
    for name in wanted:
        (tmp_path / name).touch()
    found = files_of(tmp_path, Counter())
    assert sorted(path.name for path in found) == sorted(wanted)
    keys = [
        [int(it) if it.isdigit() else it for it in re.split(r"(\d+)", name.lower())]
        for name in (path.name for path in found)
    ]
    assert keys == sorted(keys)
    assert len(found) == len(wanted)
    assert tmp_path / "é.png" in found


def test_names_take_few_bytes(tmp_path: Path) -> None:
    """The least of three measurements, as threads of earlier tests may take memory meanwhile."""
    many = 3000
    for place in range(many):
        (tmp_path / f"{place}.png").touch()

    def measured() -> tuple[int, int]:
        tracemalloc.start()
        try:
            found = files_of(tmp_path, Counter())
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert [path.name for path in found] == [f"{place}.png" for place in range(many)]
        return kept, peak

    kept, peak = map(min, zip(*(measured() for _ in range(3)), strict=True))
    assert kept < 20 * many
    assert peak < 250 * many


def test_files_are_in_natural_order(tmp_path: Path) -> None:
    test = save(tmp_path / "t", GIVEN["images"][:12])
    report = imported(GIVEN["images"][12:], tmp_path / "o.h5", test=test)
    assert np.array_equal(read_split(report.path, "test").image, GIVEN["images"][:12])


# What is known beside files


@pytest.mark.parametrize("style", ["{0}.png,{1}.0", "{0};{1}", '"{0}.png"\t{1}', "x/{0}.png, {1}"])
def test_a_table_of_counts(tmp_path: Path, style: str) -> None:
    folder = save(tmp_path / "f", GIVEN["images"])
    rows = [style.format(number, count) for number, count in enumerate(GIVEN["counts"])]
    head = "file" + ("," if "," in style else ";" if ";" in style else "\t") + "count"
    (tmp_path / "c.csv").write_text("\n".join([head, *rows[::-1]]), "utf-8-sig")
    report = imported(folder, tmp_path / "o.h5", counts=tmp_path / "c.csv")
    known = {image.tobytes(): n for image, n in zip(GIVEN["images"], GIVEN["counts"], strict=True)}
    found = read_split(report.path, "train")
    assert [known[image.tobytes()] for image in found.image] == found.known["count"].tolist()


def test_a_table_may_be_of_one_split(tmp_path: Path) -> None:
    train = save(tmp_path / "train", GIVEN["images"][:15])
    test = tmp_path / "test"
    test.mkdir()
    for number in range(15, 20):
        Image.fromarray(GIVEN["images"][number]).save(test / f"t{number}.png")
    rows = [f"t{number},{GIVEN['counts'][number]}" for number in range(15, 20)]
    (tmp_path / "c.csv").write_text("\n".join([*rows, "t99,3"]))
    listener = Recorder()
    options = {"test": test, "counts": tmp_path / "c.csv", "listener": listener}
    report = imported(train, tmp_path / "o.h5", **options)
    assert report.truth == {"train": (), "val": (), "test": ("count",)}
    assert any("1 row names no picture: " in note for note in listener.notes)


def test_a_table_of_a_part_of_one_folder_makes_it_the_test_split(tmp_path: Path) -> None:
    folder = save(tmp_path / "f", GIVEN["images"])
    counted = range(0, len(GIVEN["images"]), 3)
    (tmp_path / "c.csv").write_text("\n".join(f"{n}.png,{GIVEN['counts'][n]}" for n in counted))
    listener = Recorder()
    options = {"counts": tmp_path / "c.csv", "listener": listener}
    report = imported(folder, tmp_path / "o.h5", **options)
    assert report.truth == {"train": (), "val": (), "test": ("count",)}
    test = read_split(report.path, "test")
    assert np.array_equal(test.image, GIVEN["images"][counted])
    assert np.array_equal(test.known["count"], GIVEN["counts"][counted])
    assert report.splits["train"] + report.splits["val"] == len(GIVEN["images"]) - len(counted)
    assert any(f"the {len(counted)} counted pictures" in note for note in listener.notes)


def test_an_archive_may_know_the_truth(tmp_path: Path) -> None:
    report = imported(npz(tmp_path, **{**GIVEN, "y": np.array([{}, 1], object)}), tmp_path / "o.h5")
    assert report.truth["test"] == ("count", "label", "box", "mask")


def test_an_archive_of_other_names_and_pickles(tmp_path: Path) -> None:
    """As Pyro's ``multi_mnist_uint8.npz`` has it: x, and labels that would have to be unpickled."""
    path = tmp_path / "a.npz"
    np.savez(path, x=GIVEN["images"], y=np.array([[1], [2, 3]], object), count=GIVEN["counts"])
    listener = Recorder()
    report = imported(path, tmp_path / "o.h5", listener=listener)
    assert report.truth["train"] == ("count",)
    assert any("1 pickled" in note for note in listener.notes)


def test_what_is_exported_comes_back(tmp_path: Path) -> None:
    airkit.export(data_file(), tmp_path / "coco", split="train")
    report = imported(tmp_path / "coco", tmp_path / "o.h5", most_objects=2)
    expected = read_split(data_file(), "train")
    rows = {image.tobytes(): row for row, image in enumerate(expected.image)}
    found = read_split(report.path, "train")
    order = [rows[image.tobytes()] for image in found.image]
    for name in ("count", "label", "box"):
        assert np.array_equal(found.known[name], expected.known[name][order])


def coco(folder: Path, **change: Any) -> Path:
    """A COCO file of other categories and ids, beside its pictures."""
    save(folder / "images", GIVEN["images"])
    images = [{"id": 7 * n, "file_name": f"{n}.png"} for n in range(20)]
    annotations = [
        {"id": 99 - n, "image_id": 7 * n, "bbox": [1, 2, 6, 5], "category_id": 40 + n % 2}
        for n in range(10)
    ]
    kinds = [{"id": 41, "name": "dog"}, {"id": 40, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": kinds, **change}
    (folder / "any.json").write_text(json.dumps(content))
    return folder / "any.json"


def test_coco_of_other_programs(tmp_path: Path) -> None:
    odd = [
        {"id": 1, "image_id": 0, "bbox": [1, 2, 6, 0], "category_id": 40},
        {"id": 2, "image_id": 0, "bbox": [1, 2, 6, 6], "category_id": 41, "iscrowd": 1},
        {"id": 3, "image_id": 7, "bbox": [18, 2, 9, 6], "category_id": 41},
    ]
    odd[2]["segmentation"] = []
    odd.append({**odd[2], "id": 4, "image_id": 5})
    listener = Recorder()
    path = coco(tmp_path, annotations=odd)
    report = imported(path, tmp_path / "o.h5", listener=listener)
    found = np.concatenate([read_split(report.path, each).known["count"] for each in SPLITS])
    assert sorted(found) == [0] * 19 + [1], "pictures without objects are kept"
    told = " ".join(listener.notes)
    assert "2 annotations" in told
    assert "1 annotation of pictures that are not listed" in told
    boxes = np.concatenate([read_split(report.path, each).known["box"] for each in SPLITS])
    assert boxes[boxes[..., 2] > 0].tolist() == [[18, 2, 6, 6]], "cut off at the border"
    labels = np.concatenate([read_split(report.path, each).known["label"] for each in SPLITS])
    assert labels.max() == 1
