"""Whatever is wrong with a data file, its reader says so in one message, and never crashes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_store import config, write

import airkit
from airkit.config.settings import to_json
from airkit.data.reader import read_info, read_split, verify
from airkit.errors import DataFileError

REMAKE = "\n  try       name another, or write one beside it: airkit make-data --out NAME"
DAMAGED = "The data file is damaged or not one of airkit's"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "data.h5"
    write(path, config())
    return path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good, tmp_path / "data.h5"))


def message(call: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(DataFileError) as error:
        call(*arguments)
    return str(error.value)


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "none.h5"
    assert message(read_info, path) == (
        f"There is no such data file\n  where     {path}\n  try       airkit make-data --out {path}"
    )


def test_a_folder(tmp_path: Path) -> None:
    assert message(read_info, tmp_path) == (
        f"This is a folder, not a data file\n  where     {tmp_path}\n  expected  an HDF5 file\n"
        "  try       name a file with --data; airkit make-data writes one"
    )


def test_not_permitted(monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "a long story")

    monkeypatch.setattr(h5py, "File", refuse)
    assert message(read_info, good) == (
        f"Cannot read the data file\n  where     {good}\n  got       Permission denied\n"
        "  try       check the file's permissions, or name another with --data"
    )


def test_not_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    path.write_bytes(b"canvases, honest")
    assert message(read_info, path) == (
        f"{DAMAGED}\n  where     {path}\n  expected  a whole HDF5 file\n"
        "  got       Unable to synchronously open file (file signature not found)" + REMAKE
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(copy: Path, share: float) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: int(len(content) * share)])
    found = message(read_info, copy)
    assert found.startswith(f"{DAMAGED}\n  where     {copy}\n  expected  a whole HDF5 file\n")
    assert found.endswith(REMAKE)


def test_flipped_bytes_never_show_a_traceback(copy: Path) -> None:
    """Anywhere in the file: read as ever, or refused in airkit's words."""
    content = copy.read_bytes()
    refused = 0
    for at in np.linspace(0, len(content) - 1, 150).astype(int):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        copy.write_bytes(damaged)
        try:
            verify(copy)
        except DataFileError:
            refused += 1
    assert refused > 100


def test_another_programs_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["image"] = [1, 2, 3]
    assert message(read_info, path) == (
        f"This HDF5 file is not one of airkit's\n  where     {path}\n"
        "  expected  the attribute format = airkit-canvases\n  got       no such attribute\n"
        "  try       airkit make-data writes a data file"
    )


def test_newer(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.attrs["format_version"] = 2
        file.attrs["airkit_version"] = np.bytes_("9.1")
    assert message(read_split, copy, "train") == (
        "This data file is of a newer format than this airkit reads\n"
        f"  where     {copy}\n  expected  format version 1\n"
        "  got       2, written by airkit 9.1\n"
        "  try       upgrade airkit: pip install --upgrade airkit"
    )


def test_no_such_split(good: Path) -> None:
    assert message(read_split, good, "trian") == (
        f"No such split\n  where     {good}\n"
        "  expected  train or val or test\n  got       'trian'\n"
        f"  try       airkit info {good}, which says what each split holds"
    )


def _delete(name: str) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file[name]

    return edit


def _forget(name: str) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file.attrs[name]

    return edit


def _say(name: str, value: object) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        file.attrs[name] = value

    return edit


def _put(name: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        old = file[name][:]
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


def _squeezed(file: Any) -> None:
    """All chunks are there, but even zeros cannot be squeezed so much."""
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


HERE = "in the file itself"
FAULTS: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "unfinished": (_forget("complete"), "a file written to its end", "no mark of completeness"),
    "version gone": (_forget("format_version"), "format version 1", "nothing"),
    "version 0": (_say("format_version", 0), "format version 1", "0"),
    "digest gone": (_forget("content_digest"), "text in the attribute content_digest", "nothing"),
    "source of variable length": (
        _say("source", "any"), "text in the attribute source", "nothing",
    ),
    "source a number": (_say("source", 3), "text in the attribute source", "3"),
    "group gone": (_delete("val"), f"val {HERE}", "nothing or a link to elsewhere"),
    "array gone": (_delete("val/box"), f"val/box {HERE}", "nothing or a link to elsewhere"),
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
    "soft link": (
        _put("val/count", lambda old: h5py.SoftLink("/train/count")),
        f"val/count {HERE}", "nothing or a link to elsewhere",
    ),
    "outer link": (
        _put("val/count", lambda old: h5py.ExternalLink("other.h5", "count")),
        f"val/count {HERE}", "nothing or a link to elsewhere",
    ),
    "virtual": (_virtual, f"an array val/count {HERE}", "something else"),
    "external": (_external, f"an array val/count {HERE}", "something else"),
    "filter": (
        _unknown_filter, "val/count plain or squeezed by gzip or lzf", "other filters",
    ),
    "unwritten": (_unwritten, "172,800 bytes of train/image", "0 bytes in the file"),
    "huge": (_huge, "104,857,600,000,000 bytes of train/image", "0 bytes in the file"),
    "squeezed": (
        _squeezed, "314,572,800 bytes of train/image", "270,000 bytes in the file",
    ),
    "huge chunks": (
        _huge_chunks, "314,572,800 bytes of train/image", "300,000 bytes in the file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(copy: Path, fault: str) -> None:
    edit, expected, got = FAULTS[fault]
    with h5py.File(copy, "r+") as file:
        edit(file)
    wanted = f"{DAMAGED}\n  where     {copy}\n  expected  {expected}\n  got       {got}{REMAKE}"
    assert message(read_split, copy, "val") == wanted
    assert message(read_info, copy) == wanted


def test_a_group_in_an_arrays_place(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["val/count"]
        file.create_group("val/count")
    assert "an array val/count in the file itself" in message(read_info, copy)


def test_an_array_in_a_groups_place(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["val"]
        file["val"] = [1]
    assert message(read_info, copy).startswith(DAMAGED)


def test_a_configuration_of_another_airkit(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.attrs["config"] = np.bytes_('{"data": {"colour": 3, "train": -1}}')
        file.attrs["airkit_version"] = np.bytes_("0.0.7")
    origin = f"{copy}, by airkit 0.0.7"
    found = message(read_info, copy)
    assert "a configuration that this airkit reads" in found
    assert f"data.colour ({origin}): unknown key" in found
    assert f"data.train ({origin}): expected" in found


def test_a_configuration_that_is_no_json(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.attrs["config"] = np.bytes_("{")
    assert f"config ({copy}, by airkit {airkit.__version__}): not JSON" in message(read_info, copy)


def test_counts_above_the_places(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["val/count"][3] = 200
    assert message(read_split, copy, "val") == (
        f"{DAMAGED}\n  where     {copy}\n  expected  counts of val up to 2\n"
        f"  got       a count of 200{REMAKE}"
    )


def test_boxes_that_are_no_numbers(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["val/box"][3, 0, 0] = np.nan
    assert message(read_split, copy, "val") == (
        f"{DAMAGED}\n  where     {copy}\n  expected  boxes of val in numbers\n"
        f"  got       nan or inf{REMAKE}"
    )


def test_changed_content(copy: Path) -> None:
    digest = read_info(copy).content_digest
    with h5py.File(copy, "r+") as file:
        file["val/image"][3, 0, 0] += 1
    found = message(verify, copy)
    assert found.startswith(
        f"{DAMAGED}\n  where     {copy}\n  expected  content of digest {digest}\n  got       "
    )


def test_no_memory(monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError("Unable to allocate 1.00 TiB")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    assert message(read_split, good, "train") == (
        f"The canvases do not fit into memory\n  where     {good}\n"
        "  got       Unable to allocate 1.00 TiB\n"
        "  try       make fewer: airkit make-data --train N --val N --test N"
    )
