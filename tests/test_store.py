"""Data files: what is written is read back; whatever is wrong, the reader says in one error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from some_truth import whole
from test_compose import pool, rows, same
from tiny_runs import data_file
from torch.utils.data import DataLoader

import airkit
from airkit.config.schema import Config, DataConfig
from airkit.config.settings import to_json
from airkit.data import writer
from airkit.data.canvases import SPLITS
from airkit.data.compose import compose
from airkit.data.dataset import CanvasDataset
from airkit.data.format import CHUNK, pack
from airkit.data.format import DIGITS as ARRAYS
from airkit.data.info import DataInfo
from airkit.data.reader import read_info, read_parts, read_split, verify
from airkit.data.sources import LoadedDigits
from airkit.errors import DataFileError

POOL = pool()
DIGITS = LoadedDigits("ellipses", "ab" * 32, "CC0-1.0", "by the tests", dict.fromkeys(SPLITS, POOL))
DATA = {"canvas_size": 24, "digit_size": 9.0, "digit_size_sd": 0.5, "seed": 5}
DATA |= {"train": 300, "val": 7, "test": 0}


def config(**data: Any) -> Config:
    return Config(data=DataConfig(**(DATA | data)))


def write(path: Path, wanted: Config, step: int = 10**6) -> str:
    with writer.create(path, wanted, DIGITS) as file:
        for split in SPLITS:
            many = getattr(wanted.data, split)
            for start in range(0, many, step):
                part = compose(wanted.data, split, POOL, start, min(start + step, many))
                file.append(pack(wanted.data, split, part))
    return file.digest


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "data.h5"
    write(path, config())
    return path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good, tmp_path / "data.h5"))


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
def test_round_trip(tmp_path: Path, good: Path, compression: str) -> None:
    wanted = config(compression=compression)
    path = tmp_path / "data.h5"
    digest = write(path, wanted)
    assert digest == read_info(good).content_digest == verify(path)
    for split in SPLITS:
        whole = compose(wanted.data, split, POOL, 0, getattr(wanted.data, split))
        assert same(read_split(path, split), whole)
        assert same(read_split(path, split, limit=5), rows(whole, 0, 5))
    assert [len(part.image) for part in read_parts(path, "train")] == [256, 44]
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]


def test_the_file_without_airkit(good: Path) -> None:
    """The layout that the docs promise to any reader of HDF5, and what airkit reads from it."""
    splits = {"train": 300, "val": 7, "test": 0}
    digest = read_info(good).content_digest
    texts = (airkit.__version__, "ellipses", "ab" * 32, digest, "CC0-1.0", "by the tests")
    assert read_info(good) == DataInfo(good, config(), splits, ARRAYS, 1, *texts)
    with h5py.File(good) as file:
        assert dict(file.attrs) == {
            "format": b"airkit-canvases",
            "format_version": 1,
            "airkit_version": airkit.__version__.encode(),
            "config": to_json(config()).encode(),
            "seed": 5,
            "source": b"ellipses",
            "source_digest": b"ab" * 32,
            "licence": b"CC0-1.0",
            "attribution": b"by the tests",
            "content_digest": digest.encode(),
            "complete": True,
        }
        assert list(file) == sorted(SPLITS)
        assert list(file["test"]) == ["box", "count", "image", "label", "source_index"]
        image = file["train/image"]
        assert (image.shape, image.dtype) == ((300, 24, 24), np.uint8)
        assert (image.chunks, image.compression, image.shuffle) == ((CHUNK, 24, 24), "gzip", True)
        assert image.compression_opts == 4
        assert (file["train/box"].shape, file["train/box"].dtype) == ((300, 2, 4), np.float32)


def test_bytes_depend_on_the_content_alone(tmp_path: Path, good: Path) -> None:
    assert write(tmp_path / "steps.h5", config(), step=CHUNK) == read_info(good).content_digest
    write(tmp_path / "again.h5", config())
    assert (tmp_path / "again.h5").read_bytes() == good.read_bytes()
    assert write(tmp_path / "other.h5", config(seed=6)) != read_info(good).content_digest


@pytest.mark.parametrize(("size", "train", "chunk"), [(1024, 20, 16), (300, 520, 128)])
def test_chunks_of_large_canvases(tmp_path: Path, size: int, train: int, chunk: int) -> None:
    """Small ones, that divide the steps in which canvases are written."""
    path = tmp_path / "data.h5"
    digest = write(path, config(canvas_size=size, train=train, val=0, max_digits=1), step=CHUNK)
    with h5py.File(path) as file:
        assert file["train/image"].chunks == (chunk, size, size)
    assert verify(path) == digest


def test_it_holds_what_is_in_the_file() -> None:
    dataset, canvases = CanvasDataset(data_file(), "test"), whole("test")
    assert len(dataset) == 20
    for index in (0, 5, 19, -1):
        item = dataset[index]
        assert torch.equal(item["image"][0] * 255, torch.from_numpy(canvases.image[index]).float())
        assert item["count"] == canvases.count[index]
        assert item["label"].tolist() == canvases.label[index].tolist()
        assert item["box"].tolist() == canvases.box[index].tolist()
    with pytest.raises(IndexError):
        dataset[20]


def test_types_and_shapes() -> None:
    item = CanvasDataset(str(data_file()))[0]
    assert {name: (value.dtype, tuple(value.shape)) for name, value in item.items()} == {
        "image": (torch.float32, (1, 24, 24)),
        "count": (torch.int64, ()),
        "label": (torch.int64, (2,)),
        "box": (torch.float32, (2, 4)),
    }


def test_items_are_the_callers_own() -> None:
    """What is done to one in place leaves the data set as it is."""
    dataset = CanvasDataset(data_file(), "val")
    before = {name: value.clone() for name, value in dataset[3].items()}
    for index in (3, 3 - len(dataset)):
        for value in dataset[index].values():
            value.add_(1)
        assert all(torch.equal(dataset[3][name], value) for name, value in before.items())


def test_a_loader_batches_it() -> None:
    dataset = CanvasDataset(data_file(), "val")
    batches = list(DataLoader(dataset, batch_size=5))
    assert [len(batch["count"]) for batch in batches] == [5, 5, 2]
    assert torch.equal(torch.cat([batch["count"] for batch in batches]), dataset.truth("counts"))
    assert batches[0]["image"].shape == (5, 1, 24, 24)


def test_other_splits(tmp_path: Path) -> None:
    assert len(CanvasDataset(data_file(val=0), "val")) == 0
    with pytest.raises(DataFileError):
        CanvasDataset(tmp_path / "none.h5")
    with pytest.raises(DataFileError, match="No such split"):
        CanvasDataset(data_file(), "training")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_gives_back_what_it_could_not_take() -> None:
    """HDF5 reads what it wrote, and crashes where it finds something else."""
    with writer._Disk(Path("/dev/full")) as disk:
        disk.seek(3)
        assert disk.write(memoryview(b"abc")) == 3
        disk.seek(0)
        assert disk.read(8) == b"\0\0\0abc\0\0"
        with pytest.raises(OSError, match="No space left"):
            disk.check()


DAMAGED = "The data file cannot be read, is damaged, or is not one of airkit's"


def refusal(call: Callable[..., object], *arguments: Any) -> DataFileError:
    with pytest.raises(DataFileError) as error:
        call(*arguments)
    return error.value


def test_no_file_to_read(tmp_path: Path) -> None:
    error = refusal(read_info, tmp_path / "none.h5")
    assert error.what == "There is no such data file"
    assert "name another with --data" in error.hint
    assert f"airkit make-data --out {tmp_path / 'none.h5'}; " in error.hint
    assert f"airkit import PICTURES --out {tmp_path / 'none.h5'}" in error.hint


def test_a_folder_of_pictures_is_to_be_imported(tmp_path: Path) -> None:
    error = refusal(read_info, tmp_path)
    assert error.what == "This is a folder, not a data file"
    assert error.hint.endswith(f"airkit import {tmp_path} --out {tmp_path}.h5")


def test_other_files(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    for content in (b"canvases, honest", good.read_bytes()[:-100]):
        path.write_bytes(content)
        error = refusal(read_info, path)
        assert error.what == DAMAGED
        assert "expected  a whole HDF5 file" in str(error)
    with h5py.File(path, "w") as file:
        file["image"] = [1, 2, 3]
    assert "expected  the attribute format = airkit-canvases" in str(refusal(read_info, path))


def test_a_newer_format(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.attrs["format_version"] = 4
        file.attrs["airkit_version"] = np.bytes_("9.1")
    error = refusal(read_split, copy, "train")
    assert error.what == "This data file is from a newer airkit"
    assert "got       format version 4, written by airkit 9.1" in str(error)


def _delete(name: str) -> Callable[[Any], None]:
    return lambda file: file.__delitem__(name)


def _forget(name: str) -> Callable[[Any], None]:
    return lambda file: file.attrs.__delitem__(name)


def _set(name: str, value: object) -> Callable[[Any], None]:
    return lambda file: file.attrs.__setitem__(name, value)


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


def _chunks_missing(file: Any) -> None:
    """HDF5 would give zeros for them."""
    content = file["train/image"][:100]
    del file["train/image"]
    image = file["train"].create_dataset("image", (300, 24, 24), "u1", chunks=(100, 24, 24))
    image[:100] = content


def _forged(many: int, rows: int, chunk: bytes) -> Callable[[Any], None]:
    """An array of canvases of a megabyte each, the first chunks of which have this content."""

    def edit(file: Any) -> None:
        file.attrs["config"] = np.bytes_(to_json(config(canvas_size=1024, train=many)))
        del file["train/image"]
        shape, chunks = (many, 1024, 1024), (rows, 1024, 1024)
        file["train"].create_dataset("image", shape, "u1", chunks=chunks, compression="gzip")
        for row in range(0, 300 if chunk else 0, rows):
            file["train/image"].id.write_direct_chunk((row, 0, 0), chunk)

    return edit


def _unknown_filter(file: Any) -> None:
    """With parameters that no writer gives it, HDF5 itself would crash in one of these."""
    del file["val/count"]
    file["val"].create_dataset("count", (7,), "u1", chunks=(7,), scaleoffset=0, data=[1] * 7)


LINK = "nothing, a link or something else"
FAULTS: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "unfinished": (_forget("complete"), "the attribute complete = True", "nothing"),
    "version gone": (_forget("format_version"), "format_version = 1 or 2", "nothing"),
    "digest gone": (_forget("content_digest"), "text in the attribute content_digest", "nothing"),
    "text of variable length": (_set("source", "any"), "of fixed length in the attribute", "var"),
    "name of variable length": (_set("format", "any"), "length in the attribute format", "var"),
    "no JSON": (_set("config", np.bytes_("{")), "a configuration", "not JSON"),
    "unknown key": (
        _set("config", np.bytes_('{"data": {"colour": 3}}')), "a configuration that this airkit",
        f"by airkit {airkit.__version__}): unknown key",
    ),
    "group gone": (_delete("val"), "val/image", LINK),
    "array gone": (_delete("val/box"), "val/box", LINK),
    "type": (_put("val/count", lambda old: old.astype("i4")), "uint8 (7,)", "int32 (7,)"),
    "length": (_put("val/label", lambda old: old[:6]), "val/label of int8 (7, 2)", "int8 (6, 2)"),
    "soft link": (_put("val/count", lambda old: h5py.SoftLink("/train/count")), "val/count", LINK),
    "outer link": (
        _put("val/count", lambda old: h5py.ExternalLink("other.h5", "count")), "val/count", LINK,
    ),
    "virtual": (_virtual, "val/count", LINK),
    "external": (_external, "val/count", LINK),
    "array for group": (_put("val", lambda old: [1]), "val/image", LINK),
    "filter": (_unknown_filter, "val/count", "other filters than gzip and lzf"),
    "chunks missing": (_chunks_missing, "train/image", "57,600 bytes"),
    "a hundred terabytes": (_forged(10**8, 1, b""), "train/image", "0 bytes"),
    "a bomb": (_forged(300, 1, bytes(900)), "train/image", "270,000 bytes"),
    "huge chunks": (_forged(300, 300, bytes(300_000)), "train/image", "300,000 bytes"),
    "count": (_put("val/count", lambda old: old + 200), "counts of val up to 2", "a count of 20"),
    "box": (_put("val/box", np.float32("nan").__mul__), "finite boxes", "nan or inf"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(copy: Path, fault: str) -> None:
    edit, expected, got = FAULTS[fault]
    with h5py.File(copy, "r+") as file:
        edit(file)
    error = refusal(read_split, copy, "val")
    assert error.what == DAMAGED
    before, _, after = str(error).partition("\n  got")
    assert f"\n  where     {copy}\n" in before
    assert expected in before
    assert got in after
    if fault not in ("count", "box"):  # which are seen as they are read
        assert str(refusal(read_info, copy)) == str(error)


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
