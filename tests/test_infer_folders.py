"""``airkit infer`` on folders: files of any kind, tables, files that cannot be read."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import fails, run
from own_pictures import Array, sixteen
from PIL import Image
from reading import read_all
from tiny_runs import TRAIN, Recorder, folder, reference

import airkit
from airkit.config.pictures import PicturesConfig
from airkit.config.settings import layers, resolve
from airkit.data.imports.images import Images
from airkit.data.imports.importing import import_scenes
from airkit.data.imports.pictures import Bad
from airkit.errors import ImageError, OutputError
from airkit.evaluation.doubts import Doubts
from airkit.evaluation.found import interval


@cache
def imported() -> Path:
    """A run on pictures of 16 bits, trained a little."""
    data, path = folder() / "sixteen.h5", folder() / "sixteen"
    import_scenes(sixteen(), path=data, most_objects=2, object_size=6)
    airkit.train(data, path, settings={**TRAIN, "train.steps": 2})
    return path


def write(path: Path, image: Array, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def archive(path: Path, image: Array) -> str:
    np.savez(path / "a.npz", images=image[None], counts=np.array([1]))
    return str(path / "a.npz")


def dataset(path: Path, image: Array) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        file["frames/raw"] = image[None]
    return f"{path}/a.h5:/frames/raw"


def pages(path: Path, image: Array) -> Path:
    first = Image.fromarray(image)
    first.save(path / "p.tif", save_all=True, append_images=[first, first])
    return path / "p.tif"


def saved(path: Path, array: Array) -> Path:
    np.save(path / "a.npy", array)
    return path / "a.npy"


SAME: dict[str, Any] = {
    "PNG": lambda path, image: write(path / "a.png", image),
    "another name": lambda path, image: write(path / "a.dat", image, format="PNG"),
    "TIFF": lambda path, image: write(path / "a.tif", image),
    "pages": pages,
    "npy": saved,
    "npy, transposed": lambda path, image: saved(path, np.asfortranarray(image)),
    "floats": lambda path, image: saved(path, image.astype(np.float32)),
    "int32": lambda path, image: saved(path, image.astype(np.int32)),
    "stack": lambda path, image: saved(path, np.stack([image, image])),
    "npz": archive,
    "HDF5": dataset,
    "in memory": lambda path, image: image,
    "PIL": lambda path, image: Image.fromarray(image),
}


@pytest.mark.parametrize("name", SAME)
def test_whatever_import_reads_is_read_alike(name: str, tmp_path: Path) -> None:
    image = sixteen()[3]
    expected = airkit.infer(image, imported(), settings={"eval.looks": 1})[0].score
    for each in airkit.infer(SAME[name](tmp_path, image), imported(), settings={"eval.looks": 1}):
        assert each.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("ending", [".bmp", ".webp", ".jpg", ".tiff"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_formats_of_8_bits(ending: str, mode: str, tmp_path: Path) -> None:
    levels = np.kron([[0, 200], [90, 255]], np.ones((8, 8))).astype(np.uint8)
    image = Image.fromarray(levels).convert(mode)
    options: dict[str, Any] = {"lossless": True} if ending == ".webp" else {"quality": 100}
    image.save(tmp_path / f"a{ending}", **({} if ending in (".bmp", ".tiff") else options))
    (grey,) = read_all(tmp_path / f"a{ending}")
    np.testing.assert_allclose(grey.ink, levels / 255, atol=0.02)


def test_a_turn_by_exif_is_made(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = np.kron([[0, 200, 90]], np.ones((8, 8))).astype(np.uint8)
    for options in ({"suffix": ".png"}, {"suffix": ".tif", "compression": "tiff_lzw"}):
        path = write(tmp_path / f"a{options.pop('suffix')}", levels, exif=exif, **options)
        (grey,) = read_all(path)
        np.testing.assert_allclose(grey.ink, np.rot90(levels, 3) / 255, atol=1e-6)
    with pytest.raises(ImageError, match="garbles"):
        read_all(write(tmp_path / "b.tif", levels, exif=exif))


def test_a_folder_in_natural_order(home: Path) -> None:
    image = sixteen()[0]
    for name in ("10.png", "2.png", "1.tif", ".hidden.png", "2_masks.png", "1_overlay.png"):
        write(Path("f") / name, image)
    Path("f/notes.txt").write_text("x")
    Path("f/inside").mkdir()
    listener = Recorder()
    found = airkit.infer("f", imported(), listener=listener)
    assert [each.image for each in found] == ["f/1.tif", "f/2.png", "f/10.png"]
    told = "\n".join(listener.notes)
    assert "2 files whose names end in _mask" in told
    assert "1 file that is no picture" in told
    assert "1 folder inside" in told
    assert [each.image for each in airkit.infer(["f", "f/2.png"], imported())][3:] == ["f/2.png"]
    write(Path("f/inside/deeper/0.png"), image)
    write(Path("f/inside/7.png"), image)
    found = airkit.infer("f", imported(), sub_folders=True)
    assert [each.image for each in found][3:] == ["f/inside/7.png"]
    Path("empty").mkdir()
    with pytest.raises(ImageError, match="no pictures in this folder"):
        airkit.infer("empty", imported())


def test_a_bad_file_ends_nothing_if_asked(home: Path) -> None:
    for name in ("1", "2", "10"):
        write(Path(f"f/{name}.png"), sixteen()[0])
    whole = Path("f/2.png").read_bytes()
    Path("f/2.png").write_bytes(whole[: len(whole) // 2])
    np.save("nan.npy", np.full((24, 24), np.nan))
    given = ["f", "nan.npy", "none.png", "--run", str(imported()), "--csv", "c.csv", "--looks", "1"]
    assert "f/2.png" in fails("infer", *given)
    assert not Path("c.csv").exists()
    result = run("infer", *given, "--skip-bad")
    assert result.exit_code == 1
    assert len([line for line in result.stdout.splitlines() if line.startswith("{")]) == 2
    assert "3 files could not be read" in result.output
    table = rows("c.csv")
    assert [each["image"] for each in table[:2]] == ["f/1.png", "f/10.png"]
    bad = {each["image"]: (each["count"], each["status"][:9]) for each in table[2:]}
    assert bad == dict.fromkeys(["f/2.png", "nan.npy", "none.png"], ("", "bad file:"))
    library = airkit.infer("f", imported(), skip_bad=True)
    assert list(library.bad) == ["f/2.png"]


def test_all_files_may_be_bad(home: Path) -> None:
    Path("a.png").write_bytes(b"none")
    found = airkit.infer("a.png", imported(), skip_bad=True, csv="c.csv", objects="o.csv")
    assert (list(found), [each["image"] for each in rows("c.csv")], rows("o.csv")) == (
        [], ["a.png"], [],
    )  # fmt: skip


def test_tables_tell_what_was_found(home: Path) -> None:
    images = sixteen(4)
    images[2] = 1000
    np.save("stack.npy", images)
    found = airkit.infer("stack.npy", imported(), csv="t/c.csv", objects="t/o.csv")
    table = rows("t/c.csv")
    assert [each["index"] for each in table] == ["0", "1", "2", "3"]
    assert [int(each["count"]) for each in table] == [each.count for each in found]
    for row, each in zip(table, found, strict=True):
        assert (int(row["least"]), int(row["greatest"])) == each.interval
        assert each.interval[0] <= each.count <= each.interval[1]
        assert (row["width"], row["height"], row["status"]) == ("24", "24", each.status)
    objects = rows("t/o.csv")
    assert len(objects) == sum(each.count for each in found)
    for row in objects:
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
        assert float(row["centre_x"]) == x + width / 2
        assert float(row["centre_y"]) == y + height / 2
        assert found[int(row["index"])].objects[int(row["object"]) - 1].box == (x, y, width, height)


@pytest.mark.parametrize("option", ["csv", "objects"])
def test_a_table_of_the_users_stays(option: str, home: Path) -> None:
    Path("mine.csv").write_text("file,count\na.png,3\n")
    infer: Any = airkit.infer
    with pytest.raises(OutputError, match=f"earlier --{option}"):
        infer(sixteen(2), imported(), **{option: "mine.csv"})
    assert Path("mine.csv").read_text() == "file,count\na.png,3\n"
    for many in (2, 3):  # an earlier table is replaced
        infer(sixteen(many), imported(), **{option: "own.csv"})
    with pytest.raises(OutputError, match="one file"):
        airkit.infer(sixteen(2), imported(), csv="a.csv", objects="./a.csv")
    assert not Path("a.csv").exists()


@pytest.mark.parametrize("name", ["c.txt", "c", "folder.csv"])
def test_a_table_that_cannot_be_written_is_told_first(name: str, home: Path) -> None:
    Path("folder.csv").mkdir()
    with pytest.raises(OutputError, match=r"\.csv"):
        airkit.infer("none.png", imported(), csv=name)
    with pytest.raises(OutputError, match=r"--objects"):
        airkit.infer("none.png", imported(), objects=name)


@pytest.mark.parametrize(
    ("probability", "count", "expected"),
    [
        ([1, 0, 0], 0, (0, 0)),
        ([0.01, 0.98, 0.01], 1, (1, 1)),
        ([0.01, 0.98, 0.01], 2, (1, 2)),
        ([0.3, 0.4, 0.3], 1, (0, 2)),
        ([0.5, 0, 0.5], 0, (0, 2)),
        ([0.94999, 0.05001], 0, (0, 1)),
    ],
)
def test_the_interval_of_a_count(
    probability: list[float], count: int, expected: tuple[int, int]
) -> None:
    assert interval(np.array(probability), count) == expected


def test_images_that_change_meanwhile_are_told(home: Path) -> None:
    np.save("a.npy", sixteen(5))

    class Meddler(Recorder):
        def progress(self, task: str, done: int, total: int) -> None:
            if task == "inferring":
                np.save("a.npy", sixteen(2))

    settings = {"eval.batch_size": 1}
    given = ["a.npy", *[sixteen()[0]] * 3, "a.npy"]
    with pytest.raises(ImageError, match="changed"):
        airkit.infer(given, imported(), settings=settings, listener=Meddler())


def test_images_are_read_one_after_the_other(home: Path) -> None:
    """A folder is read anew for each walk, and no image is opened before its turn."""
    for name in range(3):
        write(Path(f"f/{name}.png"), sixteen()[name])
    images = Images("f")
    walk = images.walk(Bad(False))
    assert next(walk).name == "0"
    Path("f/1.png").unlink()
    with pytest.raises(ImageError, match=r"f/1\.png"):
        next(walk)


def test_grey_levels_of_another_range_are_told() -> None:
    """8 bits for a run of 16, as one line; not of pictures that are as those imported."""
    eight = (sixteen()[:3] // 256).astype(np.uint8)
    for given, told in ((eight, True), (sixteen()[:3], False), (sixteen()[0] + 200, False)):
        listener = Recorder()
        found = airkit.infer(given, imported(), listener=listener)
        assert any("1000 to 4000" in note for note in listener.notes) == told
        assert not told or {each.status for each in found} == {"levels"}


def test_one_image_of_another_kind_is_told(home: Path) -> None:
    """Of 8 bits for a run of 16, or far brighter; not an empty one, dim or bright."""
    empty = np.full((24, 24), 1000, np.uint16)
    others = [(sixteen()[0] // 256).astype(np.uint8), sixteen()[0] + 9000]
    given = [sixteen()[0], empty, *others, empty + 40, empty + 3050, empty - 60]
    listener = Recorder()
    found = airkit.infer(given, imported(), listener=listener, settings={"eval.looks": 1})
    assert [place for place, each in enumerate(found) if each.status == "levels"] == [2, 3]
    assert [note.split(":")[0] for note in listener.notes if "levels" in note] == [
        "image-2 and 1 more"
    ]


def test_8_bits_in_16_are_told_to_a_run_on_drawn_scenes() -> None:
    trained = resolve(*layers({"data.source": "cells", "pictures.background": "smooth"}))
    for image, cause in ((sixteen()[0] // 16, "levels"), (sixteen()[0] * 10, None)):
        doubts = Doubts(trained, invert=False)
        doubts.add(read_all(image)[0])
        doubts.end()
        assert [fault and fault.cause for fault in doubts.faults] == [cause]


def test_floats_are_a_share_of_white_for_a_run_of_8_bits() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for given in (levels, levels / np.float32(255), levels.astype(np.uint16)):
        (grey,) = read_all(given, pictures=PicturesConfig())
        np.testing.assert_allclose(grey.ink, levels / 255, atol=1e-6)


def test_a_run_on_digits_counts_a_folder(home: Path) -> None:
    write(Path("f/a.png"), np.zeros((24, 24), np.uint8))
    (found,) = airkit.infer("f", reference())
    assert (found.count, found.status) == (0, "nothing stands out")
