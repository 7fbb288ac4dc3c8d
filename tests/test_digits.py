"""Sources of digits: three pools that share no image; IDX files as they are, or one refusal."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import Bytes, idx_bytes, mnist_like, refusal, write_folder
from tiny_runs import Recorder

from airkit.data import idx, mnist, sources, strokes
from airkit.data.canvases import SPLITS
from airkit.data.digits import Digits
from airkit.errors import DigitsError
from airkit.system.callbacks import Listener

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def few_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strokes, "POOL_SIZES", {"train": 30, "val": 5, "test": 7})


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    """The last tenth of the train files makes the val pool."""
    arrays = mnist_like(train=30, test=8, side=20)
    monkeypatch.setenv("HOME", str(write_folder(tmp_path, arrays, zipped)))
    digits = sources.load("~")
    parts = {
        "train": (TRAIN_IMAGES, TRAIN_LABELS, slice(27)),
        "val": (TRAIN_IMAGES, TRAIN_LABELS, slice(27, 30)),
        "test": (TEST_IMAGES, TEST_LABELS, slice(8)),
    }
    assert list(digits.pools) == list(parts)
    for split, (images, labels, rows) in parts.items():
        pool = digits.pools[split]
        np.testing.assert_array_equal(pool.images, arrays[images][rows])
        np.testing.assert_array_equal(pool.labels, arrays[labels][rows])
        np.testing.assert_array_equal(pool.index, np.arange(30)[rows])
        kinds = [array.dtype.str for array in (pool.images, pool.labels, pool.index)]
        assert kinds == ["|u1", "|u1", "<i4"]
    assert (digits.name, digits.licence) == ("~", "not stated")
    assert digits.attribution == "digits of the folder ~"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("mnits", "--source mnist"),
        ("~nobody-of-this-name/digits", "--source strokes"),
        ("x" * 5000, "--source strokes"),
        ("MNITS", "--source mnist"),
    ],
)
def test_no_such_source(source: str, hint: str) -> None:
    assert refusal(source).hint == hint


def test_a_folder_that_lacks_files(tmp_path: Path) -> None:
    arrays = mnist_like()
    assert "none of MNIST's four files" in str(refusal(tmp_path))
    del arrays[TRAIN_LABELS], arrays[TEST_IMAGES]
    error = refusal(write_folder(tmp_path, arrays))
    assert f"expected  {TRAIN_LABELS}[.gz] and {TEST_IMAGES}[.gz]\n" in str(error)
    assert f"got       {TRAIN_IMAGES}.gz, {TEST_LABELS}.gz\n" in str(error)


def three(shape: tuple[int, ...] = (3, 8, 8), kind: Any = np.uint8, labels: Any = (0, 1, 2)) -> Any:
    return Digits(np.arange(np.prod(shape)).reshape(shape).astype(kind), np.array(labels))


@pytest.mark.parametrize(
    ("pools", "got"),
    [
        ({"val": three(kind=float)}, "float64 [3, 8, 8], int64 [3], int32 [3]"),
        ({"test": three((3, 8, 9))}, "uint8 [3, 8, 9], int64 [3], int32 [3]"),
        ({"train": three(labels=(0, 0))}, "uint8 [3, 8, 8], int64 [2], int32 [2]"),
        ({"train": three(labels=(0.0, 0.0, 0.0))}, "uint8 [3, 8, 8], float64 [3], int32 [3]"),
        ({"train": three(labels=(0, 1, -1))}, "-1"),
        ({"train": three(labels=(0, 127, 128))}, "128"),
        ({"train": [1, 2]}, "list"),
        ({"test": three((3, 9, 9))}, "sides of [8, 9] px"),
        ({"more": three()}, "['train', 'val', 'test', 'more']"),
    ],
)
def test_digits_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, pools: dict[str, Any], got: str
) -> None:
    """Whatever source they are from."""
    pools = dict.fromkeys(SPLITS, three()) | pools
    monkeypatch.setattr(strokes.Strokes, "pools", lambda self, listener: pools)
    error = refusal("strokes")
    assert error.what == "The digits cannot be used"
    assert f"  got       {got}\n" in str(error)


def test_the_digest_is_of_the_digits_alone(tmp_path: Path) -> None:
    arrays = mnist_like()
    plain = write_folder(tmp_path / "plain", arrays, zipped=False)
    zipped = write_folder(tmp_path / "zipped", arrays)
    digests = {sources.load(str(folder)).digest for folder in (plain, zipped)}
    assert len(digests) == 1
    for array in arrays.values():
        array.flat[-1] ^= 1
        digests.add(sources.load(str(write_folder(tmp_path, arrays))).digest)
    assert len(digests) == 5


def test_shared_images_stay_in_the_held_out_pool(tmp_path: Path) -> None:
    arrays = mnist_like()
    arrays[TRAIN_IMAGES][3] = arrays[TEST_IMAGES][0]
    arrays[TRAIN_IMAGES][29] = arrays[TEST_IMAGES][5]
    arrays[TRAIN_IMAGES][9] = arrays[TRAIN_IMAGES][28]
    arrays[TRAIN_IMAGES][1] = arrays[TRAIN_IMAGES][0]  # twice in one pool is no matter
    folder = write_folder(tmp_path, arrays)
    hearer = Recorder()
    pools = sources.load(str(folder), hearer).pools
    assert pools["train"].index.tolist() == [row for row in range(27) if row not in {3, 9}]
    assert pools["val"].index.tolist() == [27, 28]
    assert pools["test"].index.tolist() == list(range(8))
    assert hearer.notes == [
        f"{folder}: left out 1 val digit that a held-out split has too",
        f"{folder}: left out 2 train digits that a held-out split has too",
    ]


def test_strokes() -> None:
    digits = sources.load("strokes")
    assert (digits.name, digits.licence) == ("strokes", "Apache-2.0")
    assert [len(digits.pools[split].images) for split in SPLITS] == [30, 5, 7]


@pytest.mark.parametrize(("source", "patience"), [("mnist", mnist.LONG), ("auto", mnist.SHORT)])
def test_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, patience: mnist.Patience
) -> None:
    folder = write_folder(tmp_path, mnist_like())
    asked: list[mnist.Patience] = []

    def fetch(listener: Listener, patience: mnist.Patience) -> dict[str, Path]:
        asked.append(patience)
        return {name: folder / f"{name}.gz" for name in mnist.SHA256}

    monkeypatch.setattr(mnist, "fetch", fetch)
    digits = sources.load(source)
    assert asked == [patience]
    assert (digits.name, digits.licence) == ("mnist", "CC BY-SA 3.0")
    assert digits.digest == sources.load(str(folder)).digest
    assert "Yann LeCun" in digits.attribution


@pytest.mark.parametrize("offline", ["0", "1"])
def test_auto_falls_back_on_strokes_with_one_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: str
) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("AIRKIT_OFFLINE", offline)
    monkeypatch.setattr(mnist, "MIRRORS", ("nonsense://one/",))
    hearer = Recorder()
    assert sources.load("auto", hearer).name == "strokes"
    (note,) = hearer.notes
    assert note.endswith(
        ": using strokes, the built-in digits, instead (--source mnist waits longer and says more)"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


IMAGES = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
ZIPPED = gzip.compress(idx_bytes(IMAGES), mtime=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images"


def unreadable(path: Path, content: bytes, ndim: int = 3) -> DigitsError:
    path.write_bytes(content)
    with pytest.raises(DigitsError) as caught:
        idx.read(path, ndim)
    assert str(caught.value).startswith(f"Cannot read an IDX file\n  where     {path}\n")
    return caught.value


arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=7))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays, zipped=st.booleans())
def test_what_is_written_is_read(path: Path, array: Bytes, zipped: bool) -> None:
    """Gzip is recognised by content, not by name."""
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = idx.read(path, array.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


HEADER = struct.Struct(">HBB3I")
WHOLE = idx_bytes(IMAGES)
DAMAGED = {
    b"\x00\x00\x0d\x03" + WHOLE[4:]: "32-bit floats in 3 dimensions",
    idx_bytes(IMAGES[0]): "unsigned bytes in 2 dimensions",
    b"\x00\x00\x0a\x03" + WHOLE[4:]: "begins with 00 00 0a 03",  # no type
    b"<html>": "begins with 3c 68 74 6d",
    WHOLE[:15]: "begins with 00 00 08 03",
    b"": "begins with nothing",
    WHOLE[:-1]: "2 x 3 x 3, and 17 bytes",
    WHOLE + b"1": "2 x 3 x 3, and more bytes",
    HEADER.pack(0, 8, 3, 5, 0, 28): "5 x 0 x 28, not 1 to",
    HEADER.pack(0, 8, 3, *[2**32 - 1] * 3): "4294967295 x 4294967295 x 4294967295, not 1 to",
}
DAMAGED |= {gzip.compress(content, mtime=0): got for content, got in DAMAGED.items()} | {
    ZIPPED[:-9]: "",
    ZIPPED[:10] + bytes([ZIPPED[10] | 7]) + ZIPPED[11:]: "invalid",
    ZIPPED[:-8] + bytes(4) + ZIPPED[-4:]: "incorrect data check",
    ZIPPED + b"rest": "gzip stream that is cut or goes on",
    ZIPPED + ZIPPED: "gzip stream that is cut or goes on",
}


@pytest.mark.parametrize(("content", "got"), DAMAGED.items(), ids=map(str, range(len(DAMAGED))))
def test_damaged_files(path: Path, content: bytes, got: str) -> None:
    assert got in str(unreadable(path, content))


FORGED = HEADER.pack(0, 8, 3, 2**16, 2**5, 2**5) + bytes(100)


BOMB = gzip.compress(WHOLE + bytes(2**26), compresslevel=1, mtime=0)


@pytest.mark.parametrize(
    "content", [FORGED, gzip.compress(FORGED, mtime=0), BOMB], ids=["plain", "zipped", "bomb"]
)
def test_a_forged_file_costs_no_memory(path: Path, content: bytes) -> None:
    tracemalloc.start()
    try:
        assert f"and {'more' if content == BOMB else 100} bytes" in str(unreadable(path, content))
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_no_file_to_read(tmp_path: Path, path: Path) -> None:
    for place, got in ((path, "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(DigitsError, match=got):
            idx.read(place, 3)
