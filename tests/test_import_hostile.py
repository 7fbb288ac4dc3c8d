"""Damaged, forged and odd input to import: one message that names it, and nothing half-written."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from own_pictures import Array, blobs, imported, save
from PIL import Image

from airkit.data.canvases import SPLITS
from airkit.data.reader import read_split
from airkit.errors import ImageError

IMAGES = blobs(12)["images"]
BOMB = 10**5


def folder(path: Path, ending: str = ".png") -> Path:
    return save(path / "f", IMAGES, ending)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *chunks, chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def beside(content: bytes, name: str = "x.png") -> Callable[[Path], Path]:
    """A folder of pictures, and a file of this content."""

    def make(path: Path) -> Path:
        (folder(path) / name).write_bytes(content)
        return path / "f"

    return make


def cut_short(name: str) -> Callable[[Path], Path]:
    """A folder of pictures, one of which lacks its last bytes."""

    def make(path: Path) -> Path:
        file = folder(path, Path(name).suffix) / name
        file.write_bytes(file.read_bytes()[:-40])
        return path / "f"

    return make


def tiff_of(side: int) -> Callable[[Path], Path]:
    """A folder of TIFFs, one of which says that it is larger than it is."""

    def make(path: Path) -> Path:
        content = bytearray((folder(path, ".tif") / "3.tif").read_bytes())
        for tag in (256, 257):
            place = content.find(struct.pack("<H", tag))
            content[place + 2 : place + 12] = struct.pack("<HII", 4, 1, side)
        (path / "f/3.tif").write_bytes(content)
        return path / "f"

    return make


def pipe(name: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        os.mkfifo(path / name)
        return path / name

    return make


def link(name: str, target: str, *, inside: bool = True) -> Callable[[Path], Path]:
    """A symbolic link, in a folder of pictures or alone."""

    def make(path: Path) -> Path:
        place = folder(path) if inside else path
        (place / name).symlink_to(target)
        return place if inside else place / name

    return make


def mixed(image: Any, name: str = "3.tif") -> Callable[[Path], Path]:
    """A folder of pictures, one of which has other grey levels."""

    def make(path: Path) -> Path:
        (folder(path) / "3.png").unlink()
        Image.fromarray(image).save(path / "f" / name)
        return path / "f"

    return make


def archive(**members: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        with zipfile.ZipFile(path / "a.npz", "w") as file:
            for name, content in members.items():
                file.writestr(f"{name}.npy", content)
        return path / "a.npz"

    return make


def npy(array: Array = IMAGES, **forged: Any) -> bytes:
    """A NumPy file, whose head may say something else."""
    file = io.BytesIO()
    head = {"shape": array.shape, "fortran_order": False, "descr": array.dtype.str, **forged}
    np.lib.format.write_array_header_1_0(file, head)
    return bytes(file.getvalue()) + array.tobytes()


def flipped(path: Path) -> Path:
    np.savez_compressed(path / "a.npz", images=IMAGES)
    content = bytearray((path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (path / "a.npz").write_bytes(content)
    return path / "a.npz"


def hdf5(path: Path) -> str:
    noise = np.random.default_rng(0).integers(0, 9, (12, 64, 64), np.uint8)
    with h5py.File(path / "a.h5", "w") as file:
        place = file.create_dataset("x", data=noise, compression="gzip", fletcher32=True)
        offset = place.id.get_chunk_info(0).byte_offset
    content = bytearray((path / "a.h5").read_bytes())
    content[offset + 50] ^= 255
    (path / "a.h5").write_bytes(content)
    return f"{path / 'a.h5'}:x"


def alone(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        (path / name).write_bytes(content)
        return path / name

    return make


LISTED = {"images": [{"id": 1, "file_name": "a\0.png"}]}
CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "JPEG cut short": (cut_short("3.jpg"), "3.jpg"),
    "BMP cut short": (cut_short("3.bmp"), "3.bmp"),
    "WebP cut short": (cut_short("3.webp"), "3.webp"),
    "PNG bomb": (beside(png(BOMB, BOMB)), "x.png"),
    "PNG with a text bomb": (
        beside(png(24, 24, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))))), "x.png",
    ),
    "PNG of no width": (beside(png(0, 9)), "x.png"),
    "TIFF of a huge size": (tiff_of(2**31 - 1), "3.tif"),
    "TIFF of a size it lacks": (tiff_of(1000), "3.tif"),
    "text as PNG": (beside(b"hello"), "x.png"),
    "pickle as TIFF": (beside(b"\x80\x04K\x01.", "x.tif"), "x.tif"),
    "pipe": (pipe("x.png"), "regular"),
    "pipe as .npy": (pipe("x.npy"), "regular"),
    "pipe as .npz": (pipe("x.npz"), "regular"),
    "pipe as JSON": (pipe("x.json"), "regular"),
    "device as JSON": (link("x.json", "/dev/zero", inside=False), "regular"),
    "device in a folder": (link("x.png", "/dev/zero"), "regular"),
    "link to itself": (link("x.png", "x.png"), "x.png"),
    "link to itself, alone": (link("x", "x", inside=False), "symbolic links"),
    "link to nothing": (link("x.png", "nothing"), "x.png"),
    "one of 16 bits": (mixed(IMAGES[3].astype(np.uint16), "3.png"), "levels="),
    "one of floats": (mixed(IMAGES[3].astype(np.float32)), "float32"),
    "a NaN in TIFF": (mixed(np.full((24, 24), np.nan, np.float32)), "nan or inf"),
    ".npy cut short": (alone("a.npy", npy()[:-9]), "a.npy"),
    "array cut short": (archive(images=npy()[:-9]), "a.npz"),
    "array of a forged shape": (archive(images=npy(shape=(10**9, 24, 24))), "a.npz"),
    "boxes of a forged shape": (
        archive(images=npy(), boxes=npy(np.zeros(0), shape=(12, 10**10, 4))), "a.npz",
    ),
    "negative shape": (archive(images=npy(shape=(-3, 24, 24))), "no pictures"),
    "array in Fortran's order": (archive(images=npy(fortran_order=True)), "Fortran"),
    "archive of a flipped byte": (flipped, "a.npz"),
    "archive of NaN counts": (archive(images=npy(), counts=npy(np.full(12, np.nan))), "nan"),
    "archive of nothing": (archive(), "a.npz"),
    "archive of no arrays": (archive(x=npy(np.zeros(3))), "which array"),
    "HDF5 of a flipped byte": (hdf5, "a.h5:x"),
    "deep JSON": (alone("a.json", b"[" * 10**5), "a.json"),
    "JSON of a name with a zero": (alone("a.json", json.dumps(LISTED).encode()), "not there"),
    "name with a zero": (lambda path: path / "a\0b", "a folder"),
    "name that is too long": (lambda path: path / ("a" * 5000), "too long"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_message_and_nothing_half_written(tmp_path: Path, name: str) -> None:
    make, fact = CASES[name]
    given = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ImageError) as error:
        imported(given, tmp_path / "out.h5")
    assert fact in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


SKIPPED = ("JPEG cut short", "PNG bomb", "TIFF of a huge size", "link to itself", "text as PNG")


@pytest.mark.parametrize("name", SKIPPED)
def test_bad_files_are_left_out(tmp_path: Path, name: str) -> None:
    make, fact = CASES[name]
    report = imported(make(tmp_path), tmp_path / "out.h5", skip_bad=True)
    assert [Path(each).name for each in report.skipped] == [fact]
    assert sum(report.splits.values()) in (11, 12)


@pytest.mark.parametrize("kind", ["files", "npy"])
def test_pictures_that_cannot_be_used_are_left_out_too(tmp_path: Path, kind: str) -> None:
    images = IMAGES.astype(np.float32)
    images[3, 0, 0] = np.nan
    np.save(tmp_path / "a.npy", images)
    given = save(tmp_path / "f", images, ".tif") if kind == "files" else tmp_path / "a.npy"
    report = imported(given, tmp_path / "out.h5", skip_bad=True)
    assert len(report.skipped) == 1
    assert "3" in report.skipped[0]
    assert sum(report.splits.values()) == 11


def test_an_unreadable_file(tmp_path: Path) -> None:
    (folder(tmp_path) / "3.png").chmod(0)
    if os.access(tmp_path / "f/3.png", os.R_OK):
        pytest.skip("this user reads all files")
    with pytest.raises(ImageError, match=r"3\.png"):
        imported(tmp_path / "f", tmp_path / "out.h5")


def test_modes_of_eight_bits_go_together(tmp_path: Path) -> None:
    path = folder(tmp_path)
    for number, mode in enumerate(("P", "LA", "RGB", "RGBA")):
        Image.fromarray(IMAGES[number]).convert(mode).save(path / f"{number}.png")
    (path / "5.png").unlink()
    Image.fromarray(IMAGES[5]).convert("CMYK").save(path / "5.tif")
    (path / "inner").mkdir()
    (path / "inner.png").mkdir()
    (path / "loop").symlink_to(path)
    report = imported(path, tmp_path / "out.h5")
    found = np.concatenate([read_split(report.path, split).image for split in SPLITS])
    assert {each.tobytes() for each in found} == {each.tobytes() for each in IMAGES}


def test_several_types_are_taken_where_levels_are_named(tmp_path: Path) -> None:
    given = mixed(IMAGES[3].astype(np.uint16), "3.png")(tmp_path)
    report = imported(given, tmp_path / "out.h5", levels=(0, 255))
    found = np.concatenate([read_split(report.path, split).image for split in SPLITS])
    assert {each.tobytes() for each in found} == {each.tobytes() for each in IMAGES}


def test_big_endian_and_odd_members_are_read(tmp_path: Path) -> None:
    archive(x=npy(IMAGES.astype(">u2")))(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file:
        file.writestr("README.txt", "hello")
    assert imported(tmp_path / "a.npz", tmp_path / "out.h5").high == 240


# Truth


@pytest.mark.parametrize(
    ("counts", "fact"),
    [
        (np.full(12, np.nan), "nan"),
        (np.full(12, 1.5), "1.5"),
        (["a"] * 12, "whole number"),
        (np.array([None] * 12), "None"),
        (np.ones((12, 2)), "whole number"),
        (3, "as many counts"),
        (np.float64(3), "as many counts"),
    ],
)
def test_counts_that_are_none(tmp_path: Path, counts: Any, fact: str) -> None:
    with pytest.raises(ImageError, match=fact):
        imported(IMAGES, tmp_path / "out.h5", counts=counts)


@pytest.mark.parametrize("options", [{"levels": (5, 5)}, {"levels": (9, np.inf)}, {"tile": 12.5}])
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ImageError, match=rf"where     {name}\n"):
        imported(IMAGES, tmp_path / "out.h5", **options)


ROWS = [f"{number},1" for number in range(12)]
TABLES = {
    "a name with two counts": ("\n".join([*ROWS, "3,2"]), "line 13"),
    "a count below 0": ("\n".join([*ROWS, "3,-1"]), "line 13"),
    "a count of many digits": ("\n".join([*ROWS, "3," + "9" * 99]), "line 13"),
    "not UTF-8": ("\udce4,1", "UTF-8"),
    "two rows for a picture": ("\n".join([*ROWS[:3], *ROWS[4:], "a/3,1", "b/3,2"]), "unclear"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, name: str) -> None:
    content, fact = TABLES[name]
    (tmp_path / "c.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ImageError, match=fact):
        imported(folder(tmp_path), tmp_path / "out.h5", counts=tmp_path / "c.csv")


def test_a_table_that_is_a_pipe(tmp_path: Path) -> None:
    table = pipe("c.csv")(tmp_path)
    with pytest.raises(ImageError, match="regular"):
        imported(folder(tmp_path), tmp_path / "out.h5", counts=table)


def test_equal_names_in_several_folders(tmp_path: Path) -> None:
    """A row goes to the picture of its folder; one that may be of two pictures is refused."""
    save(tmp_path / "f/train", IMAGES[:8])
    save(tmp_path / "f/test", IMAGES[8:])
    rows = [f"train/{n}.png,1" for n in range(8)] + [f"test\\{n}.png,2" for n in range(4)]
    (tmp_path / "c.csv").write_text("\n".join([*rows, rows[0]]))
    report = imported(tmp_path / "f", tmp_path / "out.h5", counts=tmp_path / "c.csv")
    assert set(read_split(report.path, "test").known["count"]) == {2}
    assert set(read_split(report.path, "train").known["count"]) == {1}
    (tmp_path / "c.csv").write_text("\n".join(ROWS[:8]))
    with pytest.raises(ImageError, match="unclear"):
        imported(tmp_path / "f", tmp_path / "b.h5", counts=tmp_path / "c.csv")
