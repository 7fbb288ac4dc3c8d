"""Whatever is wrong with a data file, its reader says so in one DataFileError."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_store import config, write

from airkit.config.settings import to_json
from airkit.data.reader import read_info, read_split, verify
from airkit.errors import DataFileError

DAMAGED = "The data file is damaged or not one of airkit's"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "data.h5"
    write(path, config())
    return path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good, tmp_path / "data.h5"))


def refusal(call: Callable[..., object], *arguments: Any) -> DataFileError:
    with pytest.raises(DataFileError) as error:
        call(*arguments)
    return error.value


def test_no_file_to_read(tmp_path: Path) -> None:
    error = refusal(read_info, tmp_path / "none.h5")
    assert error.what == "There is no such data file"
    assert error.hint == f"airkit make-data --out {tmp_path / 'none.h5'}"
    assert refusal(read_info, tmp_path).what == "This is a folder, not a data file"


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
    """The reason is the operating system's: h5py tells a long story."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "a long story")

    monkeypatch.setattr(h5py, "File", refuse)
    error = refusal(read_info, good)
    assert error.what == "Cannot read the data file"
    assert "got       Permission denied" in str(error)


def test_other_files(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    for content in (b"canvases, honest", good.read_bytes()[:-100]):
        path.write_bytes(content)
        error = refusal(read_info, path)
        assert error.what == DAMAGED
        assert "expected  a whole HDF5 file" in str(error)
    with h5py.File(path, "w") as file:
        file["image"] = [1, 2, 3]
    assert refusal(read_info, path).what == "This HDF5 file is not one of airkit's"


def test_a_newer_format(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.attrs["format_version"] = 2
        file.attrs["airkit_version"] = np.bytes_("9.1")
    error = refusal(read_split, copy, "train")
    assert error.what == "This data file is of a newer format than this airkit reads"
    assert "got       2, written by airkit 9.1" in str(error)


def test_no_such_split(good: Path) -> None:
    error = refusal(read_split, good, "trian")
    assert error.what == "No such split"
    assert "expected  train or val or test" in str(error)


def _delete(name: str) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file[name]

    return edit


def _forget(name: str) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file.attrs[name]

    return edit


def _set(name: str, value: object) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        file.attrs[name] = value

    return edit


def _put(name: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        old = file[name][:] if "/" in name else None
        del file[name]
        file[name] = make(old)

    return edit


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((7,), "u1")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "count", (7,))
    del file["val/count"]
    file.create_virtual_dataset("val/count", layout)


def _external(file: Any) -> None:
    del file["val/count"]
    file["val"].create_dataset("count", (7,), "u1", external=[("/etc/passwd", 0, 7)])


def _unwritten(file: Any) -> None:
    del file["train/image"]
    file["train"].create_dataset("image", (300, 24, 24), "u1", chunks=(100, 24, 24))


def _huge(file: Any) -> None:
    """A few bytes that claim to be 100 million canvases of a megabyte each."""
    file.attrs["config"] = np.bytes_(to_json(config(canvas_size=1024, train=10**8)))
    del file["train/image"]
    file["train"].create_dataset("image", (10**8, 1024, 1024), "u1", chunks=(1, 1024, 1024))


def _huge_chunks(file: Any) -> None:
    shape = (300, 1024, 1024)
    file.attrs["config"] = np.bytes_(to_json(config(canvas_size=1024)))
    del file["train/image"]
    file["train"].create_dataset("image", shape, "u1", chunks=shape, compression="gzip")
    file["train/image"].id.write_direct_chunk((0, 0, 0), bytes(300_000))


def _compressed(file: Any) -> None:
    """All chunks are there, but even zeros cannot be compressed so far."""
    shape = (300, 1024, 1024)
    file.attrs["config"] = np.bytes_(to_json(config(canvas_size=1024)))
    del file["train/image"]
    file["train"].create_dataset("image", shape, "u1", chunks=(1, *shape[1:]), compression="gzip")
    for row in range(300):
        file["train/image"].id.write_direct_chunk((row, 0, 0), bytes(900))


def _unknown_filter(file: Any) -> None:
    """With parameters that no writer gives it, HDF5 itself would crash in one of these."""
    del file["val/count"]
    file["val"].create_dataset("count", (7,), "u1", chunks=(7,), scaleoffset=0, data=[1] * 7)


def _group_for_array(file: Any) -> None:
    del file["val/count"]
    file.create_group("val/count")


LINK = "nothing or a link to elsewhere"
FAULTS: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "unfinished": (_forget("complete"), "a file written to its end", "no mark of completeness"),
    "version gone": (_forget("format_version"), "format version 1", "nothing"),
    "version 0": (_set("format_version", 0), "format version 1", "0"),
    "digest gone": (_forget("content_digest"), "text in the attribute content_digest", "nothing"),
    "text of variable length": (_set("source", "any"), "text in the attribute source", "nothing"),
    "source a number": (_set("source", 3), "text in the attribute source", "3"),
    "no JSON": (_set("config", np.bytes_("{")), "a configuration", "not JSON"),
    "group gone": (_delete("val"), "val in the file itself", LINK),
    "array gone": (_delete("val/box"), "val/box in the file itself", LINK),
    "type": (
        _put("val/count", lambda old: old.astype("i4")), "val/count of uint8 (7,)", "int32 (7,)",
    ),
    "dimensions": (
        _put("val/image", lambda old: old.reshape(7, -1)),
        "val/image of uint8 (7, 24, 24)", "uint8 (7, 576)",
    ),
    "length": (
        _put("val/label", lambda old: old[:6]), "val/label of int8 (7, 2)", "int8 (6, 2)",
    ),
    "canvas size": (
        _put("val/image", lambda old: old[:, :20]),
        "val/image of uint8 (7, 24, 24)", "uint8 (7, 20, 24)",
    ),
    "soft link": (_put("val/count", lambda old: h5py.SoftLink("/train/count")), "val/count", LINK),
    "outer link": (
        _put("val/count", lambda old: h5py.ExternalLink("other.h5", "count")), "val/count", LINK,
    ),
    "virtual": (_virtual, "an array val/count in the file itself", "something else"),
    "external": (_external, "an array val/count in the file itself", "something else"),
    "group for array": (_group_for_array, "an array val/count in the file itself", "something"),
    "array for group": (_put("val", lambda old: [1]), "val/image in the file itself", LINK),
    "filter": (_unknown_filter, "val/count plain or compressed by gzip or lzf", "other filters"),
    "unwritten": (_unwritten, "172,800 bytes of train/image", "0 bytes in the file"),
    "huge": (_huge, "104,857,600,000,000 bytes of train/image", "0 bytes in the file"),
    "compressed": (_compressed, "314,572,800 bytes of train/image", "270,000 bytes in the file"),
    "huge chunks": (_huge_chunks, "314,572,800 bytes of train/image", "300,000 bytes in the file"),
    "count": (_put("val/count", lambda old: old + 200), "counts of val up to 2", "a count of 20"),
    "box": (_put("val/box", np.float32("nan").__mul__), "finite boxes in val", "nan or inf"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(copy: Path, fault: str) -> None:
    edit, expected, got = FAULTS[fault]
    with h5py.File(copy, "r+") as file:
        edit(file)
    error = refusal(read_split, copy, "val")
    assert error.what == DAMAGED
    _, where, after = str(error).split("\n", 2)
    assert where == f"  where     {copy}"
    assert expected in after.partition("\n  got")[0]
    assert got in after.partition("\n  got")[2]
    if fault not in ("count", "box"):  # which are seen as they are read
        assert str(refusal(read_info, copy)) == str(error)


def test_a_configuration_of_another_airkit(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.attrs["config"] = np.bytes_('{"data": {"colour": 3, "train": -1}}')
        file.attrs["airkit_version"] = np.bytes_("0.0.7")
    found = str(refusal(read_info, copy))
    assert "a configuration that this airkit reads" in found
    assert f"data.colour ({copy}, by airkit 0.0.7): unknown key" in found
    assert f"data.train ({copy}, by airkit 0.0.7): expected" in found


def test_changed_content(copy: Path) -> None:
    digest = read_info(copy).content_digest
    with h5py.File(copy, "r+") as file:
        file["val/image"][3, 0, 0] += 1
    assert f"expected  content of digest {digest}" in str(refusal(verify, copy))


def test_no_memory(monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError("Unable to allocate 1.00 TiB")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    assert refusal(read_split, good, "train").what == "The canvases do not fit into memory"
