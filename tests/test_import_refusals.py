"""What cannot be imported is told in one message, and nothing half-written is left."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import fails, run
from exports import names
from own_pictures import blobs, imported, save
from PIL import Image

import airkit
from airkit.errors import ImageError, OutputError
from airkit.system.callbacks import Listener

GIVEN = blobs(12)
IMAGES = GIVEN["images"]


def with_text(path: Path, name: str = "notes.txt") -> Path:
    (path / "f").mkdir()
    (path / "f" / name).write_text("hello")
    return path / "f"


def folder(path: Path) -> Path:
    return save(path / "f", IMAGES)


def with_file(name: str, content: bytes) -> Callable[[Path], Any]:
    def make(path: Path) -> Path:
        (folder(path) / name).write_bytes(content)
        return path / "f"

    return make


def truncated(path: Path) -> Path:
    content = (folder(path) / "3.png").read_bytes()
    (path / "f/3.png").write_bytes(content[: len(content) // 2])
    return path / "f"


def mixed(path: Path) -> Path:
    Image.new("L", (30, 24)).save(folder(path) / "5.png")
    return path / "f"


def huge(path: Path) -> Path:
    """A TIFF whose header alone says 10,000 x 10,000, as of one that is all there."""
    folder(path)
    Image.new("1", (10_000, 10_000)).save(path / "f/big.tif", compression="group4")
    return path / "f"


def archive(**arrays: Any) -> Callable[[Path], Any]:
    def make(path: Path) -> Path:
        np.savez(path / "a.npz", **arrays)
        return path / "a.npz"

    return make


def inside(name: str) -> Callable[[Path], Any]:
    def make(path: Path) -> str:
        with h5py.File(path / "a.h5", "w") as file:
            file["x"] = IMAGES
            file["link"] = h5py.SoftLink("/x")
            file["outer"] = h5py.ExternalLink("/etc/passwd", "x")
        return f"{path / 'a.h5'}:{name}"

    return make


def coco(**change: Any) -> Callable[[Path], Any]:
    def make(path: Path) -> Path:
        folder(path)
        content = {"images": [{"id": 1, "file_name": "f/0.png"}], "annotations": []} | change
        (path / "a.json").write_text(json.dumps(content))
        return path / "a.json"

    return make


NAN = np.where(IMAGES > 100, np.nan, 0.5)
SOURCES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "nothing": (lambda path: path / "none", "Cannot read", "No such file"),
    "folder of GIFs": (
        lambda path: save(path / "g", IMAGES, ".gif"), "no pictures in this", "convert them",
    ),
    "black on clear": (
        lambda path: save(path / "f", np.stack([0 * IMAGES, IMAGES], 3)), "same grey", "behind=1",
    ),
    "empty folder": (lambda path: save(path / "f", IMAGES[:0]), "no pictures in", ".png"),
    "folder of text": (with_text, "no pictures in this folder", "1 other"),
    "no picture": (with_file("x.png", b"hello"), "Cannot read", "x.png"),
    "empty file": (with_file("x.png", b""), "Cannot read", "x.png"),
    "truncated": (truncated, "Cannot read", "3.png"),
    "mixed sizes": (mixed, "several sizes", "30 x 24 px"),
    "huge": (huge, "too large", "tile=S"),
    "tiny": (lambda path: np.zeros((9, 4, 9)), "too small", "9 x 4 px"),
    "nan": (lambda path: NAN, "cannot be used", "nan or inf"),
    "flat": (lambda path: np.full((9, 20, 20), 3), "same grey level", "3 everywhere"),
    "rows": (lambda path: np.zeros((9, 784)), "holds no pictures", "reshape"),
    "complex": (lambda path: IMAGES * 1j, "holds no pictures", "complex128"),
    "objects": (lambda path: np.array([{}] * 9), "holds no pictures", "object"),
    "five axes": (lambda path: np.zeros((2,) * 5), "holds no pictures", "[2, 2, 2, 2, 2]"),
    "no rows": (lambda path: np.zeros((0, 20, 20)), "holds no pictures", "[0, 20, 20]"),
    "two arrays": (archive(a=IMAGES, b=IMAGES), "which array", "b [12, 24, 24]"),
    "a list of nothing": (lambda path: [IMAGES[0], None], "no picture", "picture 1"),
    "a list of numbers": (lambda path: [1, 2.5], "holds no pictures", "float64 [2]"),
    "a ragged list": (lambda path: [[1, 2], [3]], "no picture", "sequence"),
    "a list of rows": (lambda path: [IMAGES[0], IMAGES[1, :9]], "several sizes", "24 x 9 px"),
    "a list of kinds": (lambda path: [IMAGES[0], IMAGES[1] / 255], "several types", "float64"),
    "infinite": (lambda path: np.where(NAN > 0, np.inf, 0), "cannot be used", "nan or inf"),
    "pickles alone": (archive(a=np.array([{}])), "which array", "a [1]"),
    "no archive": (lambda path: with_text(path, "a.npz") / "a.npz", "Cannot read", "a.npz"),
    "no array": (lambda path: with_text(path, "a.npy") / "a.npy", "Cannot read", "a.npy"),
    "no dataset": (inside("/y"), "no such array", "/x"),
    "soft link": (inside("/link"), "no such array", "link"),
    "outer link": (inside("/outer"), "no such array", "link"),
    "no COCO": (lambda path: with_text(path, "a.json") / "a.json", "Cannot read", "a.json"),
    "COCO of a list": (coco(images=3), "not a COCO file", "a.json"),
    "COCO without pictures": (coco(images=[]), "not a COCO file", "no images"),
    "COCO of a file elsewhere": (
        coco(images=[{"id": 1, "file_name": "../../etc/passwd"}]), "not there", "passwd",
    ),
    "COCO of an unknown category": (
        coco(annotations=[{"image_id": 1, "bbox": [1, 1, 3, 3], "category_id": 9}]), "a COCO", "9",
    ),
    "another kind": (lambda path: with_text(path, "a.docx") / "a.docx", "Cannot read", "identify"),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_sources(tmp_path: Path, name: str) -> None:
    make, what, fact = SOURCES[name]
    given = make(tmp_path)
    before = names(tmp_path)
    with pytest.raises(ImageError) as error:
        imported(given, tmp_path / "out.h5")
    assert what in error.value.what
    assert fact in str(error.value)
    assert names(tmp_path) == before


MOST = np.full(12, 3)
TRUTH: dict[str, tuple[dict[str, Any], str]] = {
    "counts of another length": ({"counts": [1, 2]}, "as many counts"),
    "masks of another length": ({"masks": GIVEN["masks"][:3]}, "as many masks"),
    "too many to count": ({"counts": MOST + 98}, "tile=S"),
    "counts below 0": ({"counts": -MOST}, "0 objects or more"),
    "more than expected": ({"counts": MOST + 4}, "most_objects=7"),
    "counts that are not the boxes'": ({"counts": MOST - 3, "boxes": GIVEN["boxes"]}, "boxes"),
    "boxes off the picture": ({"boxes": [[[40, 2, 5, 5]]] * 12}, "24 x 24 px"),
    "boxes of nan": ({"boxes": [[[np.nan, 2, 5, 5]]] * 12}, "nan"),
    "labels above 127": ({"labels": [[128]] * 12}, "0 to 127"),
    "labels without boxes": (
        {"boxes": [[[1, 2, 5, 5]]] * 12, "labels": [[1, 2]] * 12},
        "label from 0",
    ),
    "masks of another size": ({"masks": GIVEN["masks"][:, :20]}, "[20, 24]"),
    "masks of floats": ({"masks": GIVEN["masks"] / 9}, "float64"),
    "masks beyond the boxes": ({"boxes": [[[1, 2, 5, 5]]] * 12, "masks": GIVEN["masks"]}, "mask"),
}


@pytest.mark.parametrize("name", TRUTH)
def test_truth_that_contradicts(tmp_path: Path, name: str) -> None:
    given, fact = TRUTH[name]
    with pytest.raises(ImageError) as error:
        imported(IMAGES, tmp_path / "out.h5", **given)
    assert fact in str(error.value)
    assert names(tmp_path) == []


TABLES = {
    "a row is missing": ("\n".join(f"{n},1" for n in range(11)), "none for 11.png"),
    "more than half": ("\n".join(f"{n},1" for n in range(7)), "at most half"),
    "no number": ("file,count\n0.png,many", "line 2"),
    "no whole number": ("file,count\n0.png,8.5", "8.5 for 0.png"),
    "one column": ("file\n0.png", "line 2"),
    "other names": ("a,1\nb,2", "a, b"),
    "empty": ("", "no rows"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, name: str) -> None:
    text, fact = TABLES[name]
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ImageError) as error:
        imported(folder(tmp_path), tmp_path / "out.h5", counts=tmp_path / "c.csv")
    assert fact in str(error.value)
    assert str(tmp_path / "c.csv") in str(error.value)


def test_a_table_needs_files_and_arrays_need_arrays(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("0,1")
    with pytest.raises(ImageError, match="pictures in files"):
        imported(IMAGES, tmp_path / "out.h5", counts=tmp_path / "c.csv")
    with pytest.raises(ImageError, match="pictures in an array"):
        imported(folder(tmp_path), tmp_path / "out.h5", counts=[1] * 12)


def test_a_split_all_of_which_is_held_out(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures to train on"):
        imported(IMAGES, tmp_path / "out.h5", test=IMAGES)


def test_other_refusals(tmp_path: Path) -> None:
    imported(IMAGES, tmp_path / "out.h5")
    before = (tmp_path / "out.h5").read_bytes()
    with pytest.raises(OutputError, match="already"):
        imported(IMAGES, tmp_path / "out.h5")
    with pytest.raises(ImageError):
        imported(NAN, tmp_path / "out.h5", force=True)
    for size in (25.0, 3.0):
        with pytest.raises(ImageError, match=r"object_size\n.*4 to 24 px(.|\n)*measured"):
            imported(IMAGES, tmp_path / "out.h5", force=True, object_size=size)
    with pytest.raises(ImageError, match="images"):
        imported(IMAGES, tmp_path / "b.h5", test={"pictures": IMAGES})
    assert (tmp_path / "out.h5").read_bytes() == before
    assert names(tmp_path) == ["out.h5"]


PARTIAL: dict[str, Any] = {
    "counts": [1, None, *[2] * 10],
    "boxes": [[[1, 2, 5, 5]], None, *[[]] * 10],
    "labels": [[0], None, *[[]] * 10],
    "masks": [IMAGES[0] > 0, None, *(IMAGES[2:] > 0)],
}


@pytest.mark.parametrize("part", PARTIAL)
@pytest.mark.parametrize("kind", [np.asarray, list, lambda it: [*map(Image.fromarray, it)]])
def test_truth_of_some_pictures_is_refused_in_words(
    tmp_path: Path, part: str, kind: Callable[[Any], Any]
) -> None:
    with pytest.raises(ImageError, match=f"Only some pictures have {part}") as error:
        imported(kind(IMAGES), tmp_path / "out.h5", skip_bad=True, **{part: PARTIAL[part]})
    assert "none for 1 picture, the first at place 1" in str(error.value)
    with pytest.raises(ImageError, match="1 picture, the first at place 11"):
        imported(kind(IMAGES), tmp_path / "out.h5", counts=np.array([1.0] * 11 + [np.nan]))
    with pytest.raises(ImageError, match=r"boxes \[M, 4\] for each picture"):
        imported(kind(IMAGES), tmp_path / "out.h5", boxes=[5] * 12)


def test_arguments_are_named_as_the_caller_writes_them(tmp_path: Path, home: Path) -> None:
    mixed(home)
    assert "--pad pads them to the largest, --tile S cuts" in fails("import", "f")
    with pytest.raises(ImageError, match=r"pad=True pads them to the largest, tile=S cuts"):
        imported(home / "f", tmp_path / "a.h5")
    with pytest.raises(ImageError, match=r"pad=True of airkit\.import_scenes pads"):
        airkit.train(images=home / "f", run=tmp_path / "run")
    (home / "b.h5").touch()
    assert "try       another --out" in fails("import", "f", "--out", "b.h5")
    with pytest.raises(OutputError, match="another path"):
        imported(IMAGES, home / "b.h5")
    with pytest.raises(OutputError, match=f"path='{home}/' to write inside it"):
        imported(IMAGES, home)


def test_a_picture_that_changes_meanwhile(tmp_path: Path) -> None:
    class Meanwhile(Listener):
        def progress(self, task: str, done: int, total: int) -> None:
            if task == "surveying train" and done == total:
                (tmp_path / "f/3.png").unlink()

    with pytest.raises(ImageError, match=r"3\.png"):
        imported(folder(tmp_path), tmp_path / "out.h5", listener=Meanwhile())
    assert names(tmp_path) == ["f"]


def test_bad_files_are_left_out_if_asked_for(home: Path) -> None:
    (folder(home) / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 99))
    words = ("import", "f", "--most-objects", "3", "--object-size", "6", "--out", "out.h5")
    assert "3.png" in fails(*words)
    assert not Path("out.h5").exists()
    done = run(*words, "--skip-bad")
    assert done.exit_code == 1
    assert "1 file could not be read" in done.stderr
    assert "3.png" in done.stderr
    assert sum(airkit.describe("out.h5", verify=True).facts["canvases"].values()) == 11


def test_the_command_prints_what_it_wrote(home: Path) -> None:
    folder(home)
    words = ("import", "f", "--most-objects", "3", "--object-size", "6")
    done = run(*words, "--levels", "0,255", "--tile", "12", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["path"], found["canvas_size"], found["high"]) == ("pictures.h5", 12, 255)
    assert found["splits"] == {"train": 40, "val": 4, "test": 4}
    assert "nothing" in run(*words, "--force").stdout
    assert "--levels" in fails(*words, "--levels", "9,3")
    assert run("import").exit_code == 2


@pytest.mark.parametrize("kind", ["folder", "pages"])
def test_truth_in_arrays_is_not_ignored_beside_files(tmp_path: Path, kind: str) -> None:
    path = folder(tmp_path)
    if kind == "pages":
        pages = [*map(Image.fromarray, IMAGES)]
        path = tmp_path / "a.tif"
        pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="files, and counts"):
        imported(path, tmp_path / "out.h5", counts=GIVEN["counts"])


def test_a_count_without_a_place_is_refused(tmp_path: Path) -> None:
    """A 0-d array is iterable by its type alone."""
    for counts in (np.array(1), 1):
        with pytest.raises(ImageError, match="not as many counts"):
            airkit.import_scenes(IMAGES[:1], counts, path=tmp_path / "out.h5")
