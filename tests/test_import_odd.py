"""Unusual pictures that are right all the same; odd truth, which is refused or left out."""

from __future__ import annotations

import io
import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from own_pictures import all_images, blobs, imported, save
from PIL import Image
from tiny_runs import Recorder

from airkit.config.pictures import PicturesConfig
from airkit.data.imports.coco_pictures import is_coco
from airkit.data.imports.geometry import resized
from airkit.data.imports.images import Images
from airkit.data.imports.levels import luminance
from airkit.data.imports.pictures import Bad, Picture
from airkit.data.look.findings import look
from airkit.data.reader import read_info, read_split
from airkit.errors import ImageError

MANY = 12


@pytest.fixture(name="images")
def _images() -> Any:
    return blobs(MANY)["images"]


def test_a_crop_is_of_the_picture_as_exif_turns_it(tmp_path: Path) -> None:
    tall = np.random.default_rng(0).integers(0, 255, (MANY, 100, 20), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turns it by a right angle, to 100 x 20 px
    save(tmp_path / "turned", tall, ".tif", exif=exif, compression="tiff_lzw")
    save(tmp_path / "plain", np.rot90(tall, -1, (1, 2)))
    for name in ("turned", "plain"):
        imported(tmp_path / name, tmp_path / f"{name}.h5", crop=(60, 0, 30, 0))
    one, other = (all_images(tmp_path / f"{name}.h5") for name in ("turned", "plain"))
    assert one.shape[1:] == (20, 10)
    assert {each.tobytes() for each in one} == {each.tobytes() for each in other}


def test_one_row_for_two_pictures_is_unclear(tmp_path: Path, images: Any) -> None:
    folder = save(tmp_path / "g", images)
    Image.fromarray(images[1]).save(folder / "0.bmp")
    (tmp_path / "c.csv").write_text("".join(f"g/{i},1\n" for i in range(MANY)))
    with pytest.raises(ImageError, match="unclear") as caught:
        imported(folder, tmp_path / "o.h5", counts=tmp_path / "c.csv")
    assert "g/0 for" in str(caught.value)


def test_lines_of_a_table_are_counted_with_the_empty_ones(tmp_path: Path, images: Any) -> None:
    folder = save(tmp_path / "g", images)
    (tmp_path / "c.csv").write_text("0.png,1\n\n\n1.png,x\n")
    with pytest.raises(ImageError, match="line 4"):
        imported(folder, tmp_path / "o.h5", counts=tmp_path / "c.csv")


@pytest.mark.parametrize(
    "head", ["count,file", "n,image", "who,count,file", "file,count", "filename,who,count"]
)
def test_named_columns_may_come_in_any_order(head: str, tmp_path: Path, images: Any) -> None:
    folder = save(tmp_path / "g", images)
    cells = {"file": "{}.png", "image": "{}.png", "filename": "{}.png", "who": "me"}
    row = ",".join(cells.get(name, "2") for name in head.split(","))
    rows = [row.format(place) for place in range(MANY)]
    (tmp_path / "c.csv").write_text("\n".join([head, *rows]))
    imported(folder, tmp_path / "o.h5", counts=tmp_path / "c.csv")
    assert set(read_split(tmp_path / "o.h5", "train").known["count"].tolist()) == {2}


def test_a_true_count_far_above_what_is_seen_is_doubted(tmp_path: Path, images: Any) -> None:
    counts = [40, *[1] * (MANY - 1)]
    report = imported(images, tmp_path / "o.h5", counts=counts, most_objects=None)
    assert any("greatest true count is 40" in doubt for doubt in report.doubts)
    report = imported(images, tmp_path / "p.h5", counts=[1] * MANY, most_objects=None)
    assert not any("true count" in doubt for doubt in report.doubts)


def test_transparency_is_told_of_images_to_infer_on_too(images: Any) -> None:
    clear = np.full((24, 24), 128, np.uint8)
    pictures, listener = [np.dstack([images[0]] * 3 + [clear])], Recorder()
    source = Images(pictures, pictures=PicturesConfig())
    assert len([*source.walk(Bad(False))]) == 1
    source.note(listener)
    assert ["transparent" in note for note in listener.notes] == [True]


def test_specks_are_no_objects_where_none_are_faint() -> None:
    pictures = np.zeros((64, 96, 96), np.uint8)
    for x in (5, 35, 65):
        pictures[:, 10:20, x : x + 10] = 204
    specked = pictures.copy()
    for x in range(5, 85, 12):
        specked[0, 60:70, x : x + 10] = 8
    found = look(specked)
    assert found.stretch == 0
    assert found.most_objects == look(pictures).most_objects == 3


def test_crowds_on_a_large_picture_are_at_most_a_hundred(tmp_path: Path) -> None:
    crowded = np.zeros((30, 128, 128), np.uint8)
    for y in range(4, 120, 16):
        for x in range(4, 120, 16):
            crowded[:, y : y + 8, x : x + 8] = 200
    crowded[np.arange(30), 0, np.arange(30)] = 1  # none is another's copy
    folder = save(tmp_path / "g", crowded)
    Image.fromarray(np.pad(crowded[0], 192)).save(folder / "large.png")
    imported(folder, tmp_path / "o.h5", pad=True, most_objects=None, object_size=None)
    assert read_info(tmp_path / "o.h5").config.data.max_digits == 100


def test_splits_of_a_folder_at_home(
    tmp_path: Path, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "e" / "train", images[:8])
    save(tmp_path / "e" / "test", images[8:])
    imported("~/e", tmp_path / "o.h5")
    assert len(read_split(tmp_path / "o.h5", "test").image) == MANY - 8


def test_an_archive_whose_pictures_have_no_objects(tmp_path: Path, images: Any) -> None:
    np.savez(tmp_path / "a.npz", images=images, boxes=np.zeros((MANY, 0, 4)))
    imported(tmp_path / "a.npz", tmp_path / "o.h5")
    assert not np.any(read_split(tmp_path / "o.h5", "train").count)


def test_a_link_on_the_way_to_an_array_is_not_followed(tmp_path: Path, images: Any) -> None:
    with h5py.File(tmp_path / "o.h5", "w") as other:
        other["images"] = images
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["g"] = h5py.ExternalLink("o.h5", "/")
    with pytest.raises(ImageError, match="no such array"):
        imported(f"{tmp_path / 'm.h5'}:/g/images", tmp_path / "d.h5")


def test_pictures_are_not_their_own_truth(tmp_path: Path, images: Any) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["masks"] = images
        file["count"] = np.ones(MANY, int)
    imported(f"{tmp_path / 'm.h5'}:/masks", tmp_path / "o.h5")
    train = read_split(tmp_path / "o.h5", "train")
    assert set(train.known) == {"image", "count"}


@pytest.mark.parametrize("form", [list, np.stack])
@pytest.mark.parametrize(
    "truth",
    [
        {"labels": [["a"]] * MANY},
        {"labels": np.full((MANY, 1), 1.7)},
        {"masks": np.ones((MANY, 2, 24, 24, 3), np.uint8)},
        {"counts": [1.5] * MANY},
    ],
    ids=["words", "fractions", "colours", "count"],
)
def test_odd_truth_is_refused_in_words(
    form: Any, truth: dict[str, Any], images: Any, tmp_path: Path
) -> None:
    given = [Image.fromarray(each) for each in images] if form is list else form(images)
    with pytest.raises(ImageError, match="cannot be used") as caught:
        imported(given, tmp_path / "o.h5", **truth)
    assert "ufunc" not in str(caught.value)


@pytest.mark.parametrize("form", [list, np.stack])
def test_odd_truth_is_left_out_with_its_picture(form: Any, images: Any, tmp_path: Path) -> None:
    given = [Image.fromarray(each) for each in images] if form is list else form(images)
    counts = [1.5, *[1] * (MANY - 1)]
    report = imported(given, tmp_path / "o.h5", counts=counts, skip_bad=True)
    assert len(report.skipped) == 1
    assert len(all_images(tmp_path / "o.h5")) == MANY - 1


def test_a_damaged_or_small_picture_of_a_list_is_left_out(images: Any, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)).save(
        content, "PNG"
    )
    broken = Image.open(io.BytesIO(content.getvalue()[:200]))
    given = [*map(Image.fromarray, images), broken, Image.new("L", (4, 24))]
    report = imported(given, tmp_path / "o.h5", skip_bad=True)
    assert len(report.skipped) == 2
    assert len(all_images(tmp_path / "o.h5")) == MANY
    with pytest.raises(ImageError, match="truncated"):
        imported(given[:-1], tmp_path / "p.h5")


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i4", "i8"])
def test_white_stays_white_in_whole_numbers_of_any_size(dtype: str) -> None:
    most = np.iinfo(dtype).max
    white = np.full((20, 20, 3), most, dtype)
    smaller = resized(Picture("", white[..., 0]), 0.5).levels
    for levels in (luminance(white), smaller):
        assert levels.dtype == dtype
        assert (levels > 0.999 * most).all()


def test_coco_with_a_byte_order_mark_is_coco(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(BOM_UTF8 + json.dumps({"images": []}).encode())
    assert is_coco(path)


def test_all_images_are_walked_through_in_the_end(images: Any) -> None:
    source = Images([*images])
    assert len([*source.walk(Bad(False))]) == source.done == MANY


@pytest.mark.parametrize(
    ("how", "shape", "fault", "facts"),
    [
        ({"scale": 2.0}, (600, 600), "large", ("600 x 600 px, times 2", "tile=")),
        ({"scale": 0.1}, (60, 60), "small", ("60 x 60 px, times 0.1", "scale it")),
        ({"crop": (1, 1, 1, 1)}, (1200, 60), "large", ("58 x 1,198 px once cropped", "tile=")),
        ({"crop": (9, 9, 9, 9)}, (24, 24), "small", ("6 x 6 px once cropped", "crop less")),
    ],
)
def test_a_size_is_refused_with_all_that_made_it(
    how: dict[str, Any], shape: tuple[int, int], fault: str, facts: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=f"too {fault}") as caught:
        imported(np.ones((MANY, *shape), np.uint8), tmp_path / "o.h5", **how)
    for fact in facts:
        assert fact in str(caught.value)
